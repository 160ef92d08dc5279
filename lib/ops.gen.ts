// Generated from native/schema by `npm run gen`; do not edit.

// One function for each public op of the schema.
import { apply, applyList, encode } from './apply.js';
import { OPS, type DType } from './schema.gen.js';
import type { Tensor } from './tensor.js';

/**
 * -x.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function neg(x: Tensor): Tensor {
  return apply(OPS.neg, [x], null);
}

/**
 * |x|; the subgradient at 0 is 0.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function abs(x: Tensor): Tensor {
  return apply(OPS.abs, [x], null);
}

/**
 * -1, 0 or 1; NaN stays NaN. Gradient 0.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function sign(x: Tensor): Tensor {
  return apply(OPS.sign, [x], null);
}

/**
 * x².
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function square(x: Tensor): Tensor {
  return apply(OPS.square, [x], null);
}

/**
 * eˣ.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function exp(x: Tensor): Tensor {
  return apply(OPS.exp, [x], null);
}

/**
 * eˣ - 1, exact for small x.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function expm1(x: Tensor): Tensor {
  return apply(OPS.expm1, [x], null);
}

/**
 * Natural logarithm.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function log(x: Tensor): Tensor {
  return apply(OPS.log, [x], null);
}

/**
 * log(1 + x), exact for small x.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function log1p(x: Tensor): Tensor {
  return apply(OPS.log1p, [x], null);
}

/**
 * Square root.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function sqrt(x: Tensor): Tensor {
  return apply(OPS.sqrt, [x], null);
}

/**
 * 1 / √x.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function rsqrt(x: Tensor): Tensor {
  return apply(OPS.rsqrt, [x], null);
}

/**
 * 1 / x.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function reciprocal(x: Tensor): Tensor {
  return apply(OPS.reciprocal, [x], null);
}

/**
 * Sine of x in radians.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function sin(x: Tensor): Tensor {
  return apply(OPS.sin, [x], null);
}

/**
 * Cosine of x in radians.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function cos(x: Tensor): Tensor {
  return apply(OPS.cos, [x], null);
}

/**
 * Hyperbolic tangent.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function tanh(x: Tensor): Tensor {
  return apply(OPS.tanh, [x], null);
}

/**
 * 1 / (1 + e⁻ˣ).
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function sigmoid(x: Tensor): Tensor {
  return apply(OPS.sigmoid, [x], null);
}

/**
 * Error function.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function erf(x: Tensor): Tensor {
  return apply(OPS.erf, [x], null);
}

/**
 * max(x, 0); NaN passes. The subgradient at 0 is 0.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function relu(x: Tensor): Tensor {
  return apply(OPS.relu, [x], null);
}

/**
 * x where x > 0, else negativeSlope · x.
 * - `negativeSlope`: number, 0.01 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function leakyRelu(x: Tensor, options?: { negativeSlope?: number } | number): Tensor {
  return apply(OPS.leakyRelu, [x], encode(OPS.leakyRelu, options));
}

/**
 * x where x > 0, else alpha · (eˣ - 1). Clevert et al. 2016.
 * - `alpha`: number, 1 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function elu(x: Tensor, options?: { alpha?: number } | number): Tensor {
  return apply(OPS.elu, [x], encode(OPS.elu, options));
}

/**
 * log(1 + eˣ), without overflow.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function softplus(x: Tensor): Tensor {
  return apply(OPS.softplus, [x], null);
}

/**
 * x / (1 + |x|).
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function softsign(x: Tensor): Tensor {
  return apply(OPS.softsign, [x], null);
}

/**
 * x · sigmoid(x), also called swish.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function silu(x: Tensor): Tensor {
  return apply(OPS.silu, [x], null);
}

/**
 * x · Φ(x) with the exact normal distribution. Hendrycks & Gimpel 2016.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function geluErf(x: Tensor): Tensor {
  return apply(OPS.geluErf, [x], null);
}

/**
 * The tanh approximation of GELU.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function geluTanh(x: Tensor): Tensor {
  return apply(OPS.geluTanh, [x], null);
}

/**
 * x limited to [min, max]; NaN passes.
 * - `min`: number, -Infinity unless told
 * - `max`: number, Infinity unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function clamp(x: Tensor, options?: { min?: number; max?: number } | number): Tensor {
  return apply(OPS.clamp, [x], encode(OPS.clamp, options));
}

/**
 * x + y.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function add(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.add, [x, y], null);
}

/**
 * x - y.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function sub(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.sub, [x, y], null);
}

/**
 * x · y, element by element.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function mul(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.mul, [x, y], null);
}

/**
 * x / y.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function div(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.div, [x, y], null);
}

/**
 * The larger of two, NaN if either is. Ties share the gradient.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function maximum(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.maximum, [x, y], null);
}

/**
 * The smaller of two, NaN if either is. Ties share the gradient.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function minimum(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.minimum, [x, y], null);
}

/**
 * xʸ.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function pow(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.pow, [x, y], null);
}

/**
 * x = y; NaN equals nothing.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function equal(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.equal, [x, y], null);
}

/**
 * x ≠ y.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function notEqual(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.notEqual, [x, y], null);
}

/**
 * x < y.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function less(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.less, [x, y], null);
}

/**
 * x ≤ y.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function lessEqual(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.lessEqual, [x, y], null);
}

/**
 * x > y.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function greater(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.greater, [x, y], null);
}

/**
 * x ≥ y.
 *
 * The shapes broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function greaterEqual(x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.greaterEqual, [x, y], null);
}

/**
 * Sum over axes; null reduces all.
 * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
 * - `keepDims`: flag, false unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function sum(
  x: Tensor,
  options?:
    | { axis?: number | readonly number[] | null; keepDims?: boolean }
    | number
    | readonly number[]
    | null,
): Tensor {
  return apply(OPS.sum, [x], encode(OPS.sum, options));
}

/**
 * Mean over axes.
 * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
 * - `keepDims`: flag, false unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function mean(
  x: Tensor,
  options?:
    | { axis?: number | readonly number[] | null; keepDims?: boolean }
    | number
    | readonly number[]
    | null,
): Tensor {
  return apply(OPS.mean, [x], encode(OPS.mean, options));
}

/**
 * Maximum over axes; NaN if any is. Ties share the gradient.
 * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
 * - `keepDims`: flag, false unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function max(
  x: Tensor,
  options?:
    | { axis?: number | readonly number[] | null; keepDims?: boolean }
    | number
    | readonly number[]
    | null,
): Tensor {
  return apply(OPS.max, [x], encode(OPS.max, options));
}

/**
 * Minimum over axes; NaN if any is. Ties share the gradient.
 * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
 * - `keepDims`: flag, false unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function min(
  x: Tensor,
  options?:
    | { axis?: number | readonly number[] | null; keepDims?: boolean }
    | number
    | readonly number[]
    | null,
): Tensor {
  return apply(OPS.min, [x], encode(OPS.min, options));
}

/**
 * log Σ eˣ over axes, without overflow.
 * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
 * - `keepDims`: flag, false unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function logSumExp(
  x: Tensor,
  options?:
    | { axis?: number | readonly number[] | null; keepDims?: boolean }
    | number
    | readonly number[]
    | null,
): Tensor {
  return apply(OPS.logSumExp, [x], encode(OPS.logSumExp, options));
}

/**
 * Σ(x - mean)² / (n - correction) over axes.
 * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
 * - `correction`: number, 1 unless told
 * - `keepDims`: flag, false unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function variance(
  x: Tensor,
  options?:
    | { axis?: number | readonly number[] | null; correction?: number; keepDims?: boolean }
    | number
    | readonly number[]
    | null,
): Tensor {
  return apply(OPS.variance, [x], encode(OPS.variance, options));
}

/**
 * Index of the first maximum along one axis (null: in the flattened tensor); NaN counts as largest.
 * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
 * - `keepDims`: flag, false unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function argmax(
  x: Tensor,
  options?:
    | { axis?: number | readonly number[] | null; keepDims?: boolean }
    | number
    | readonly number[]
    | null,
): Tensor {
  return apply(OPS.argmax, [x], encode(OPS.argmax, options));
}

/**
 * Index of the first minimum along one axis (null: in the flattened tensor); NaN counts as smallest.
 * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
 * - `keepDims`: flag, false unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function argmin(
  x: Tensor,
  options?:
    | { axis?: number | readonly number[] | null; keepDims?: boolean }
    | number
    | readonly number[]
    | null,
): Tensor {
  return apply(OPS.argmin, [x], encode(OPS.argmin, options));
}

/**
 * eˣ / Σ eˣ along an axis.
 * - `axis`: axis (an axis, negatives counting from the end), -1 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function softmax(x: Tensor, options?: { axis?: number } | number): Tensor {
  return apply(OPS.softmax, [x], encode(OPS.softmax, options));
}

/**
 * x - log Σ eˣ along an axis.
 * - `axis`: axis (an axis, negatives counting from the end), -1 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function logSoftmax(x: Tensor, options?: { axis?: number } | number): Tensor {
  return apply(OPS.logSoftmax, [x], encode(OPS.logSoftmax, options));
}

/**
 * Matrix product of the last two axes; the others broadcast; vectors as in NumPy.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  return apply(OPS.matmul, [a, b], null);
}

/**
 * x · weightᵀ + bias with x [..., in], weight [out, in], bias [out].
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function linear(x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  return apply(OPS.linear, [x, weight, bias], null);
}

/**
 * x where condition is true (non-zero), else y; the three broadcast.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function where(condition: Tensor, x: Tensor | number, y: Tensor | number): Tensor {
  return apply(OPS.where, [condition, x, y], null);
}

/**
 * The same elements in another shape; one size may be -1.
 * - `shape`: shape
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function reshape(
  x: Tensor,
  options: { shape: readonly number[] } | readonly number[],
): Tensor {
  return apply(OPS.reshape, [x], encode(OPS.reshape, options));
}

/**
 * Axes reordered; no copy.
 * - `axes`: axes (axes, negatives counting from the end; null means all)
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function permute(
  x: Tensor,
  options: { axes: number | readonly number[] | null } | number | readonly number[] | null,
): Tensor {
  return apply(OPS.permute, [x], encode(OPS.permute, options));
}

/**
 * Repeated along new axes and axes of size 1; no copy.
 * - `shape`: shape
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function broadcastTo(
  x: Tensor,
  options: { shape: readonly number[] } | readonly number[],
): Tensor {
  return apply(OPS.broadcastTo, [x], encode(OPS.broadcastTo, options));
}

/**
 * Elements start … end - 1 along an axis; negatives count from the end, and what lies beyond an end means that end; no copy.
 * - `axis`: axis (an axis, negatives counting from the end)
 * - `start`: number
 * - `end`: number, Infinity unless told
 * - `step`: number, 1 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function slice(
  x: Tensor,
  options: { axis: number; start: number; end?: number; step?: number } | number,
): Tensor {
  return apply(OPS.slice, [x], encode(OPS.slice, options));
}

/**
 * Joined along an existing axis.
 * - `axis`: axis (an axis, negatives counting from the end), 0 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function concat(xs: readonly Tensor[], options?: { axis?: number } | number): Tensor {
  return applyList(OPS.concat, xs, encode(OPS.concat, options));
}

/**
 * The slices of x that the 1-d int32 index names, along an axis.
 * - `axis`: axis (an axis, negatives counting from the end), 0 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function indexSelect(
  x: Tensor,
  index: Tensor,
  options?: { axis?: number } | number,
): Tensor {
  return apply(OPS.indexSelect, [x, index], encode(OPS.indexSelect, options));
}

/**
 * Surrounded by value: [before, after] for each axis.
 * - `padding`: pairs ([before, after] for each axis)
 * - `value`: number, 0 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function pad(
  x: Tensor,
  options:
    | { padding: readonly (readonly [number, number])[]; value?: number }
    | readonly (readonly [number, number])[],
): Tensor {
  return apply(OPS.pad, [x], encode(OPS.pad, options));
}

/**
 * The same numbers in another dtype; to int32 rounds toward zero, NaN becomes 0.
 * - `dtype`: dtype
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function cast(x: Tensor, options: { dtype: DType } | DType): Tensor {
  return apply(OPS.cast, [x], encode(OPS.cast, options));
}

/**
 * A contiguous copy.
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function clone(x: Tensor): Tensor {
  return apply(OPS.clone, [x], null);
}

/**
 * Cross-correlation of x [n, channels, h, w] with weight [out, channels / groups, kh, kw], plus bias [out]; zeros are padded.
 * - `stride`: pair (one for rows and columns, or [rows, columns]), 1 unless told
 * - `padding`: pair (one for rows and columns, or [rows, columns]), 0 unless told
 * - `dilation`: pair (one for rows and columns, or [rows, columns]), 1 unless told
 * - `groups`: number, 1 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function conv2d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  options?:
    | {
        stride?: number | readonly [number, number];
        padding?: number | readonly [number, number];
        dilation?: number | readonly [number, number];
        groups?: number;
      }
    | number
    | readonly [number, number],
): Tensor {
  return apply(OPS.conv2d, [x, weight, bias], encode(OPS.conv2d, options));
}

/**
 * Maxima over windows of x [n, channels, h, w], NaN if any is; stride null is kernelSize. The gradient goes to the first maximum.
 * - `kernelSize`: pair (one for rows and columns, or [rows, columns])
 * - `stride`: pair (one for rows and columns, or [rows, columns]), null unless told
 * - `padding`: pair (one for rows and columns, or [rows, columns]), 0 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function maxPool2d(
  x: Tensor,
  options:
    | {
        kernelSize: number | readonly [number, number];
        stride?: number | readonly [number, number] | null;
        padding?: number | readonly [number, number];
      }
    | number
    | readonly [number, number],
): Tensor {
  return apply(OPS.maxPool2d, [x], encode(OPS.maxPool2d, options));
}

/**
 * Means over windows of x [n, channels, h, w]; stride null is kernelSize; padded zeros count.
 * - `kernelSize`: pair (one for rows and columns, or [rows, columns])
 * - `stride`: pair (one for rows and columns, or [rows, columns]), null unless told
 * - `padding`: pair (one for rows and columns, or [rows, columns]), 0 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function avgPool2d(
  x: Tensor,
  options:
    | {
        kernelSize: number | readonly [number, number];
        stride?: number | readonly [number, number] | null;
        padding?: number | readonly [number, number];
      }
    | number
    | readonly [number, number],
): Tensor {
  return apply(OPS.avgPool2d, [x], encode(OPS.avgPool2d, options));
}

/**
 * (x - mean) / √(variance + eps) · weight + bias over the last axes, those of weight. Ba, Kiros & Hinton 2016.
 * - `eps`: number, 1e-5 unless told
 *
 * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
 */
export function layerNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  options?: { eps?: number } | number,
): Tensor {
  return apply(OPS.layerNorm, [x, weight, bias], encode(OPS.layerNorm, options));
}
