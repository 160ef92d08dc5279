// What the references of structured ops are written with: their types, and arrays by index. No op here.
import { count, sample, type NDArray, type Options } from './harness.js';

export interface Example {
  readonly inputs: readonly NDArray[];
  readonly options?: Options;
}
export interface Wrong extends Example {
  readonly error: 'TypeError' | 'RangeError';
  /** What the message must hold, besides the op's name. */
  readonly says: readonly string[];
}
export interface Structured {
  /** The result. Random ops have a property to check instead. */
  readonly f?: (inputs: readonly NDArray[], options: Options) => NDArray;
  readonly check?: (result: NDArray, again: NDArray, options: Options) => string | null;
  readonly examples: readonly Example[];
  readonly wrong?: readonly Wrong[];
  /** Inputs that have no gradient though they are floats; true: none has, for it serves the backward pass only. */
  readonly noGradient?: boolean;
  /** Gradients of the sum of the result by the first input, where a convention decides. */
  readonly conventions?: readonly (Example & { readonly gradient: readonly number[] })[];
  /** Inputs in which infinities are tried: all, but for those where the order of operations decides. */
  readonly infinite?: readonly number[];
  /** It takes int32 as it is, with the same meaning. */
  readonly int32?: boolean;
  /** The kernel that runs, where it is not the op's own. 'view': none. */
  readonly kernel?: (example: Example) => string;
}

export const strides = (shape: readonly number[]): number[] =>
  shape.map((_, i) => count(shape.slice(i + 1)));
export const unravel = (flat: number, shape: readonly number[]): number[] =>
  strides(shape).map((s, i) => Math.floor(flat / s) % shape[i]!);
export const ravel = (at: readonly number[], shape: readonly number[]): number =>
  strides(shape).reduce((sum, s, i) => sum + s * at[i]!, 0);
export const build = (
  shape: readonly number[],
  f: (at: number[], flat: number) => number,
  dtype?: NDArray['dtype'],
): NDArray => ({
  shape,
  data: Array.from({ length: count(shape) }, (_, i) => f(unravel(i, shape), i)),
  ...(dtype ? { dtype } : {}),
});
export const norm = (axis: number, n: number): number => (axis < 0 ? axis + Math.max(n, 1) : axis);

let seed = 1000;
/** Distinct numbers in ±2: no ties, so that maxima have derivatives. */
export const input = (...shape: number[]): NDArray => ({
  shape,
  data: sample(++seed, count(shape), [-2, 2], 'float32'),
});
/** Small integers: their sums are exact in every order, in float32 too, whatever the path through big arrays. */
export const whole = (...shape: number[]): NDArray => ({
  shape,
  data: sample(++seed, count(shape), [-4, 4], 'int32'),
});
export const positive = (...shape: number[]): NDArray => ({
  shape,
  data: sample(++seed, count(shape), [0.1, 1], 'float32'),
});
export const ints = (shape: number[], ...data: number[]): NDArray => ({
  shape,
  data,
  dtype: 'int32',
});
export const bools = (shape: number[], ...data: number[]): NDArray => ({
  shape,
  data,
  dtype: 'bool',
});

export const ex = (inputs: readonly NDArray[], options?: Options): Example =>
  options ? { inputs, options } : { inputs };
export const bad = (
  error: Wrong['error'],
  says: readonly string[],
  inputs: readonly NDArray[],
  options?: Options,
): Wrong => ({ ...ex(inputs, options), error, says });
export const wrongDtype = (...inputs: NDArray[]): Wrong =>
  bad('TypeError', ['float32 or float64', 'int32'], inputs);
export const total = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0);
