// Logistic regression on test/data/breast_cancer.csv (Wisconsin diagnostic, UCI): what the Hogwild! test trains in
// the main thread and in workers.
import { readFileSync } from 'node:fs';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';

export interface Rows {
  /** Standardised features, [count, features]. */
  readonly x: Tensor;
  /** 0 or 1, [count, 1]. */
  readonly y: Tensor;
  readonly count: number;
}

/** Reads a CSV with a header line and the class in the last column. */
export function loadRows(file: string): Rows {
  const lines = readFileSync(file, 'utf8').trim().split('\n').slice(1);
  const table = lines.map((line) => line.split(',').map(Number));
  const features = table[0]!.length - 1;
  const columns = Array.from({ length: features }, (_, j) => table.map((row) => row[j]!));
  const scaled = columns.map((column) => {
    const mean = column.reduce((a, b) => a + b, 0) / column.length;
    const deviation = Math.sqrt(column.reduce((a, b) => a + (b - mean) ** 2, 0) / column.length);
    return column.map((v) => (v - mean) / deviation);
  });
  const x = table.flatMap((_, i) => scaled.map((column) => column[i]!));
  const float64 = { dtype: 'float64' } as const;
  return {
    x: tg.keep(tg.tensor(x, { ...float64, shape: [table.length, features] })),
    y: tg.keep(
      tg.tensor(
        table.map((row) => [row[features]!]),
        float64,
      ),
    ),
    count: table.length,
  };
}

/** The mean loss of some rows, or of all, with an l2 penalty that makes the optimum unique. */
export function logistic(model: tg.nn.Linear, { x, y }: Rows, at?: Tensor): Tensor {
  const [rows, wanted] = at ? [tg.indexSelect(x, at), tg.indexSelect(y, at)] : [x, y];
  const loss = tg.losses.binaryCrossEntropyWithLogits(model.forward(rows), wanted);
  return loss.mean().add(model.weight.square().sum().mul(0.01));
}
