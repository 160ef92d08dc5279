// Metrics of predicted numbers: prediction and target [n] or [n, outputs]; outputs are averaged.
import { readPair, type Data, type Matrix } from './arrays.js';

function meanOver([f, y]: readonly [Matrix, Matrix], of: (d: number) => number): number {
  return f.values.reduce((sum, v, i) => sum + of(v - y.values[i]!), 0) / f.values.length;
}

/** The mean of (f - y)². @throws TypeError, RangeError */
export const meanSquaredError = (prediction: Data, target: Data): number =>
  meanOver(readPair('meanSquaredError', prediction, target), (d) => d * d);

/** The root of {@link meanSquaredError}. @throws TypeError, RangeError */
export const rootMeanSquaredError = (prediction: Data, target: Data): number =>
  Math.sqrt(meanOver(readPair('rootMeanSquaredError', prediction, target), (d) => d * d));

/** The mean of |f - y|. @throws TypeError, RangeError */
export const meanAbsoluteError = (prediction: Data, target: Data): number =>
  meanOver(readPair('meanAbsoluteError', prediction, target), Math.abs);

/** 1 - Σ(f - y)² / Σ(y - ȳ)² of one output. */
function rSquaredOf(f: Float64Array, y: Float64Array): number {
  const mean = y.reduce((a, b) => a + b, 0) / y.length;
  const left = f.reduce((sum, v, i) => sum + (v - y[i]!) ** 2, 0);
  const spread = y.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  if (spread === 0) return left === 0 ? 1 : 0;
  return 1 - left / spread;
}

/**
 * The coefficient of determination R²: 1 for a perfect prediction, 0 for that of the mean, negative for worse. A
 * constant target has 1 if it is predicted exactly, else 0.
 * @throws TypeError, RangeError, also for a single example
 */
export function rSquared(prediction: Data, target: Data): number {
  const op = 'rSquared';
  const [f, y] = readPair(op, prediction, target);
  const [n, outputs = 1] = f.shape as [number, number?];
  if (n < 2) throw new RangeError(`${op}: R² needs two examples at least, got ${n}`);
  const column = ({ values }: Matrix, j: number): Float64Array =>
    Float64Array.from({ length: n }, (_, i) => values[i * outputs + j]!);
  let sum = 0;
  for (let j = 0; j < outputs; ++j) sum += rSquaredOf(column(f, j), column(y, j));
  return sum / outputs;
}
