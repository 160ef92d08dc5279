// What metrics are given: predictions and targets as plain arrays of float64. No metric here.
import { tensorFor, type NestedNumbers } from '../create.js';
import { wrongType } from '../errors.js';
import { checkTensor, isTensor, shapeOf, type Tensor } from '../tensor.js';

/** A tensor, a typed array (1-d) or nested arrays of numbers. */
export type Data = Tensor | NestedNumbers | ArrayBufferView;

/** @internal */
export interface Matrix {
  readonly values: Float64Array;
  /** Of one or two axes. */
  readonly shape: readonly number[];
}

const print = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/** @internal Numbers with one or two axes, and an example at least; NaN and infinite ones are refused. */
export function readMatrix(op: string, name: string, value: unknown): Matrix {
  if (!isTensor(value) && !Array.isArray(value) && !ArrayBuffer.isView(value))
    throw wrongType(op, name, 'a Tensor, a typed array or an array of numbers', value);
  const own = isTensor(value);
  const t = own
    ? checkTensor(op, name, value)
    : tensorFor(op, name, value, {
        device: 'cpu',
        ...(!ArrayBuffer.isView(value) && { dtype: 'float64' }),
      });
  const shape = shapeOf(t).slice();
  const values = Float64Array.from(t.dataSync());
  if (!own) t.dispose();
  if (shape.length !== 1 && shape.length !== 2)
    throw new RangeError(`${op}: ${name} must be [n] or [n, columns], got ${print(shape)}`);
  if (values.length === 0)
    throw new RangeError(`${op}: ${name} is empty, of shape ${print(shape)}`);
  const bad = values.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0)
    throw new RangeError(
      `${op}: ${name} holds ${values[bad]!} at position ${bad}; it must be finite`,
    );
  return { values, shape };
}

/** @internal Two of equal shape. */
export function readPair(op: string, prediction: unknown, target: unknown): [Matrix, Matrix] {
  const f = readMatrix(op, 'prediction', prediction);
  const y = readMatrix(op, 'target', target);
  if (f.shape.length !== y.shape.length || f.shape.some((d, i) => d !== y.shape[i]))
    throw new RangeError(
      `${op}: prediction and target must have the same shape: ${print(f.shape)} x ${print(y.shape)}`,
    );
  return [f, y];
}

/** @internal Class numbers [n]: integers from 0 on, below `classes` if that is known. */
export function readClasses(
  op: string,
  name: string,
  value: unknown,
  n: number | null,
  classes: number | null,
): Float64Array {
  const { values, shape } = readMatrix(op, name, value);
  if (shape.length !== 1) throw new RangeError(`${op}: ${name} must be [n], got ${print(shape)}`);
  if (n !== null && values.length !== n)
    throw new RangeError(
      `${op}: ${name} must have one entry per example, ${n}, got ${values.length}`,
    );
  const limit = classes ?? 2 ** 31 - 1;
  const bad = values.findIndex((v) => !Number.isInteger(v) || v < 0 || v >= limit);
  if (bad >= 0)
    throw new RangeError(
      `${op}: ${name}[${bad}] must be a class, an integer ${classes === null ? '≥ 0' : `in 0 … ${classes - 1}`}, got ${values[bad]!}`,
    );
  return values;
}

/** @internal Predicted classes [n]: as they are, or the first largest of each row of scores [n, classes]. */
export function readPredicted(
  op: string,
  prediction: unknown,
): { ids: Float64Array; classes: number | null } {
  const { values, shape } = readMatrix(op, 'prediction', prediction);
  if (shape.length === 1)
    return { ids: readClasses(op, 'prediction', prediction, null, null), classes: null };
  const [n, classes] = shape as [number, number];
  const ids = Float64Array.from({ length: n }, (_, i) => {
    const row = values.subarray(i * classes, (i + 1) * classes);
    return row.reduce((best, v, j) => (v > row[best]! ? j : best), 0);
  });
  return { ids, classes };
}
