// Generated from native/schema by `npm run gen`; do not edit.

// The same ops as methods of Tensor: x.add(y) is add(x, y).
import * as ops from './ops.gen.js';
import type { DType } from './schema.gen.js';
import type { Tensor } from './tensor.js';

declare module './tensor.js' {
  interface Tensor {
    /**
     * -x.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    neg(): Tensor;
    /**
     * |x|; the subgradient at 0 is 0.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    abs(): Tensor;
    /**
     * -1, 0 or 1; NaN stays NaN. Gradient 0.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    sign(): Tensor;
    /**
     * x².
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    square(): Tensor;
    /**
     * eˣ.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    exp(): Tensor;
    /**
     * eˣ - 1, exact for small x.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    expm1(): Tensor;
    /**
     * Natural logarithm.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    log(): Tensor;
    /**
     * log(1 + x), exact for small x.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    log1p(): Tensor;
    /**
     * Square root.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    sqrt(): Tensor;
    /**
     * 1 / √x.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    rsqrt(): Tensor;
    /**
     * 1 / x.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    reciprocal(): Tensor;
    /**
     * Sine of x in radians.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    sin(): Tensor;
    /**
     * Cosine of x in radians.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    cos(): Tensor;
    /**
     * Hyperbolic tangent.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    tanh(): Tensor;
    /**
     * 1 / (1 + e⁻ˣ).
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    sigmoid(): Tensor;
    /**
     * Error function.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    erf(): Tensor;
    /**
     * max(x, 0); NaN passes. The subgradient at 0 is 0.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    relu(): Tensor;
    /**
     * x where x > 0, else negativeSlope · x.
     * - `negativeSlope`: number, 0.01 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    leakyRelu(options?: { negativeSlope?: number } | number): Tensor;
    /**
     * x where x > 0, else alpha · (eˣ - 1). Clevert et al. 2016.
     * - `alpha`: number, 1 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    elu(options?: { alpha?: number } | number): Tensor;
    /**
     * log(1 + eˣ), without overflow.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    softplus(): Tensor;
    /**
     * x / (1 + |x|).
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    softsign(): Tensor;
    /**
     * x · sigmoid(x), also called swish.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    silu(): Tensor;
    /**
     * x · Φ(x) with the exact normal distribution. Hendrycks & Gimpel 2016.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    geluErf(): Tensor;
    /**
     * The tanh approximation of GELU.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    geluTanh(): Tensor;
    /**
     * x limited to [min, max]; NaN passes.
     * - `min`: number, -Infinity unless told
     * - `max`: number, Infinity unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    clamp(options?: { min?: number; max?: number } | number): Tensor;
    /**
     * x + y.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    add(y: Tensor | number): Tensor;
    /**
     * x - y.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    sub(y: Tensor | number): Tensor;
    /**
     * x · y, element by element.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    mul(y: Tensor | number): Tensor;
    /**
     * x / y.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    div(y: Tensor | number): Tensor;
    /**
     * The larger of two, NaN if either is. Ties share the gradient.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    maximum(y: Tensor | number): Tensor;
    /**
     * The smaller of two, NaN if either is. Ties share the gradient.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    minimum(y: Tensor | number): Tensor;
    /**
     * xʸ.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    pow(y: Tensor | number): Tensor;
    /**
     * x = y; NaN equals nothing.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    equal(y: Tensor | number): Tensor;
    /**
     * x ≠ y.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    notEqual(y: Tensor | number): Tensor;
    /**
     * x < y.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    less(y: Tensor | number): Tensor;
    /**
     * x ≤ y.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    lessEqual(y: Tensor | number): Tensor;
    /**
     * x > y.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    greater(y: Tensor | number): Tensor;
    /**
     * x ≥ y.
     *
     * The shapes broadcast.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    greaterEqual(y: Tensor | number): Tensor;
    /**
     * Sum over axes; null reduces all.
     * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
     * - `keepDims`: flag, false unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    sum(
      options?:
        | { axis?: number | readonly number[] | null; keepDims?: boolean }
        | number
        | readonly number[]
        | null,
    ): Tensor;
    /**
     * Mean over axes.
     * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
     * - `keepDims`: flag, false unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    mean(
      options?:
        | { axis?: number | readonly number[] | null; keepDims?: boolean }
        | number
        | readonly number[]
        | null,
    ): Tensor;
    /**
     * Maximum over axes; NaN if any is. Ties share the gradient.
     * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
     * - `keepDims`: flag, false unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    max(
      options?:
        | { axis?: number | readonly number[] | null; keepDims?: boolean }
        | number
        | readonly number[]
        | null,
    ): Tensor;
    /**
     * Minimum over axes; NaN if any is. Ties share the gradient.
     * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
     * - `keepDims`: flag, false unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    min(
      options?:
        | { axis?: number | readonly number[] | null; keepDims?: boolean }
        | number
        | readonly number[]
        | null,
    ): Tensor;
    /**
     * log Σ eˣ over axes, without overflow.
     * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
     * - `keepDims`: flag, false unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    logSumExp(
      options?:
        | { axis?: number | readonly number[] | null; keepDims?: boolean }
        | number
        | readonly number[]
        | null,
    ): Tensor;
    /**
     * Σ(x - mean)² / (n - correction) over axes.
     * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
     * - `correction`: number, 1 unless told
     * - `keepDims`: flag, false unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    variance(
      options?:
        | { axis?: number | readonly number[] | null; correction?: number; keepDims?: boolean }
        | number
        | readonly number[]
        | null,
    ): Tensor;
    /**
     * Index of the first maximum along one axis (null: in the flattened tensor); NaN counts as largest.
     * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
     * - `keepDims`: flag, false unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    argmax(
      options?:
        | { axis?: number | readonly number[] | null; keepDims?: boolean }
        | number
        | readonly number[]
        | null,
    ): Tensor;
    /**
     * Index of the first minimum along one axis (null: in the flattened tensor); NaN counts as smallest.
     * - `axis`: axes (axes, negatives counting from the end; null means all), null unless told
     * - `keepDims`: flag, false unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    argmin(
      options?:
        | { axis?: number | readonly number[] | null; keepDims?: boolean }
        | number
        | readonly number[]
        | null,
    ): Tensor;
    /**
     * eˣ / Σ eˣ along an axis.
     * - `axis`: axis (an axis, negatives counting from the end), -1 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    softmax(options?: { axis?: number } | number): Tensor;
    /**
     * x - log Σ eˣ along an axis.
     * - `axis`: axis (an axis, negatives counting from the end), -1 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    logSoftmax(options?: { axis?: number } | number): Tensor;
    /**
     * Matrix product of the last two axes; the others broadcast; vectors as in NumPy.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    matmul(b: Tensor): Tensor;
    /**
     * x · weightᵀ + bias with x [..., in], weight [out, in], bias [out].
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    linear(weight: Tensor, bias: Tensor): Tensor;
    /**
     * The same elements in another shape; one size may be -1.
     * - `shape`: shape
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    reshape(options: { shape: readonly number[] } | readonly number[]): Tensor;
    /**
     * Axes reordered; no copy.
     * - `axes`: axes (axes, negatives counting from the end; null means all)
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    permute(
      options: { axes: number | readonly number[] | null } | number | readonly number[] | null,
    ): Tensor;
    /**
     * Repeated along new axes and axes of size 1; no copy.
     * - `shape`: shape
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    broadcastTo(options: { shape: readonly number[] } | readonly number[]): Tensor;
    /**
     * Elements start … end - 1 along an axis; negatives count from the end, and what lies beyond an end means that end; no copy.
     * - `axis`: axis (an axis, negatives counting from the end)
     * - `start`: number
     * - `end`: number, Infinity unless told
     * - `step`: number, 1 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    slice(options: { axis: number; start: number; end?: number; step?: number } | number): Tensor;
    /**
     * The slices of x that the 1-d int32 index names, along an axis.
     * - `axis`: axis (an axis, negatives counting from the end), 0 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    indexSelect(index: Tensor, options?: { axis?: number } | number): Tensor;
    /**
     * Surrounded by value: [before, after] for each axis.
     * - `padding`: pairs ([before, after] for each axis)
     * - `value`: number, 0 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    pad(
      options:
        | { padding: readonly (readonly [number, number])[]; value?: number }
        | readonly (readonly [number, number])[],
    ): Tensor;
    /**
     * The same numbers in another dtype; to int32 rounds toward zero, NaN becomes 0.
     * - `dtype`: dtype
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    cast(options: { dtype: DType } | DType): Tensor;
    /**
     * A contiguous copy.
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    clone(): Tensor;
    /**
     * Cross-correlation of x [n, channels, h, w] with weight [out, channels / groups, kh, kw], plus bias [out]; zeros are padded.
     * - `stride`: pair (one for rows and columns, or [rows, columns]), 1 unless told
     * - `padding`: pair (one for rows and columns, or [rows, columns]), 0 unless told
     * - `dilation`: pair (one for rows and columns, or [rows, columns]), 1 unless told
     * - `groups`: number, 1 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    conv2d(
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
    ): Tensor;
    /**
     * Maxima over windows of x [n, channels, h, w], NaN if any is; stride null is kernelSize. The gradient goes to the first maximum.
     * - `kernelSize`: pair (one for rows and columns, or [rows, columns])
     * - `stride`: pair (one for rows and columns, or [rows, columns]), null unless told
     * - `padding`: pair (one for rows and columns, or [rows, columns]), 0 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    maxPool2d(
      options:
        | {
            kernelSize: number | readonly [number, number];
            stride?: number | readonly [number, number] | null;
            padding?: number | readonly [number, number];
          }
        | number
        | readonly [number, number],
    ): Tensor;
    /**
     * Means over windows of x [n, channels, h, w]; stride null is kernelSize; padded zeros count.
     * - `kernelSize`: pair (one for rows and columns, or [rows, columns])
     * - `stride`: pair (one for rows and columns, or [rows, columns]), null unless told
     * - `padding`: pair (one for rows and columns, or [rows, columns]), 0 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    avgPool2d(
      options:
        | {
            kernelSize: number | readonly [number, number];
            stride?: number | readonly [number, number] | null;
            padding?: number | readonly [number, number];
          }
        | number
        | readonly [number, number],
    ): Tensor;
    /**
     * (x - mean) / √(variance + eps) · weight + bias over the last axes, those of weight. Ba, Kiros & Hinton 2016.
     * - `eps`: number, 1e-5 unless told
     *
     * @throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.
     */
    layerNorm(weight: Tensor, bias: Tensor, options?: { eps?: number } | number): Tensor;
  }
}

export const generatedMethods = {
  neg(this: Tensor) {
    return ops.neg(this);
  },
  abs(this: Tensor) {
    return ops.abs(this);
  },
  sign(this: Tensor) {
    return ops.sign(this);
  },
  square(this: Tensor) {
    return ops.square(this);
  },
  exp(this: Tensor) {
    return ops.exp(this);
  },
  expm1(this: Tensor) {
    return ops.expm1(this);
  },
  log(this: Tensor) {
    return ops.log(this);
  },
  log1p(this: Tensor) {
    return ops.log1p(this);
  },
  sqrt(this: Tensor) {
    return ops.sqrt(this);
  },
  rsqrt(this: Tensor) {
    return ops.rsqrt(this);
  },
  reciprocal(this: Tensor) {
    return ops.reciprocal(this);
  },
  sin(this: Tensor) {
    return ops.sin(this);
  },
  cos(this: Tensor) {
    return ops.cos(this);
  },
  tanh(this: Tensor) {
    return ops.tanh(this);
  },
  sigmoid(this: Tensor) {
    return ops.sigmoid(this);
  },
  erf(this: Tensor) {
    return ops.erf(this);
  },
  relu(this: Tensor) {
    return ops.relu(this);
  },
  leakyRelu(this: Tensor, options?: { negativeSlope?: number } | number) {
    return ops.leakyRelu(this, options);
  },
  elu(this: Tensor, options?: { alpha?: number } | number) {
    return ops.elu(this, options);
  },
  softplus(this: Tensor) {
    return ops.softplus(this);
  },
  softsign(this: Tensor) {
    return ops.softsign(this);
  },
  silu(this: Tensor) {
    return ops.silu(this);
  },
  geluErf(this: Tensor) {
    return ops.geluErf(this);
  },
  geluTanh(this: Tensor) {
    return ops.geluTanh(this);
  },
  clamp(this: Tensor, options?: { min?: number; max?: number } | number) {
    return ops.clamp(this, options);
  },
  add(this: Tensor, y: Tensor | number) {
    return ops.add(this, y);
  },
  sub(this: Tensor, y: Tensor | number) {
    return ops.sub(this, y);
  },
  mul(this: Tensor, y: Tensor | number) {
    return ops.mul(this, y);
  },
  div(this: Tensor, y: Tensor | number) {
    return ops.div(this, y);
  },
  maximum(this: Tensor, y: Tensor | number) {
    return ops.maximum(this, y);
  },
  minimum(this: Tensor, y: Tensor | number) {
    return ops.minimum(this, y);
  },
  pow(this: Tensor, y: Tensor | number) {
    return ops.pow(this, y);
  },
  equal(this: Tensor, y: Tensor | number) {
    return ops.equal(this, y);
  },
  notEqual(this: Tensor, y: Tensor | number) {
    return ops.notEqual(this, y);
  },
  less(this: Tensor, y: Tensor | number) {
    return ops.less(this, y);
  },
  lessEqual(this: Tensor, y: Tensor | number) {
    return ops.lessEqual(this, y);
  },
  greater(this: Tensor, y: Tensor | number) {
    return ops.greater(this, y);
  },
  greaterEqual(this: Tensor, y: Tensor | number) {
    return ops.greaterEqual(this, y);
  },
  sum(
    this: Tensor,
    options?:
      | { axis?: number | readonly number[] | null; keepDims?: boolean }
      | number
      | readonly number[]
      | null,
  ) {
    return ops.sum(this, options);
  },
  mean(
    this: Tensor,
    options?:
      | { axis?: number | readonly number[] | null; keepDims?: boolean }
      | number
      | readonly number[]
      | null,
  ) {
    return ops.mean(this, options);
  },
  max(
    this: Tensor,
    options?:
      | { axis?: number | readonly number[] | null; keepDims?: boolean }
      | number
      | readonly number[]
      | null,
  ) {
    return ops.max(this, options);
  },
  min(
    this: Tensor,
    options?:
      | { axis?: number | readonly number[] | null; keepDims?: boolean }
      | number
      | readonly number[]
      | null,
  ) {
    return ops.min(this, options);
  },
  logSumExp(
    this: Tensor,
    options?:
      | { axis?: number | readonly number[] | null; keepDims?: boolean }
      | number
      | readonly number[]
      | null,
  ) {
    return ops.logSumExp(this, options);
  },
  variance(
    this: Tensor,
    options?:
      | { axis?: number | readonly number[] | null; correction?: number; keepDims?: boolean }
      | number
      | readonly number[]
      | null,
  ) {
    return ops.variance(this, options);
  },
  argmax(
    this: Tensor,
    options?:
      | { axis?: number | readonly number[] | null; keepDims?: boolean }
      | number
      | readonly number[]
      | null,
  ) {
    return ops.argmax(this, options);
  },
  argmin(
    this: Tensor,
    options?:
      | { axis?: number | readonly number[] | null; keepDims?: boolean }
      | number
      | readonly number[]
      | null,
  ) {
    return ops.argmin(this, options);
  },
  softmax(this: Tensor, options?: { axis?: number } | number) {
    return ops.softmax(this, options);
  },
  logSoftmax(this: Tensor, options?: { axis?: number } | number) {
    return ops.logSoftmax(this, options);
  },
  matmul(this: Tensor, b: Tensor) {
    return ops.matmul(this, b);
  },
  linear(this: Tensor, weight: Tensor, bias: Tensor) {
    return ops.linear(this, weight, bias);
  },
  reshape(this: Tensor, options: { shape: readonly number[] } | readonly number[]) {
    return ops.reshape(this, options);
  },
  permute(
    this: Tensor,
    options: { axes: number | readonly number[] | null } | number | readonly number[] | null,
  ) {
    return ops.permute(this, options);
  },
  broadcastTo(this: Tensor, options: { shape: readonly number[] } | readonly number[]) {
    return ops.broadcastTo(this, options);
  },
  slice(
    this: Tensor,
    options: { axis: number; start: number; end?: number; step?: number } | number,
  ) {
    return ops.slice(this, options);
  },
  indexSelect(this: Tensor, index: Tensor, options?: { axis?: number } | number) {
    return ops.indexSelect(this, index, options);
  },
  pad(
    this: Tensor,
    options:
      | { padding: readonly (readonly [number, number])[]; value?: number }
      | readonly (readonly [number, number])[],
  ) {
    return ops.pad(this, options);
  },
  cast(this: Tensor, options: { dtype: DType } | DType) {
    return ops.cast(this, options);
  },
  clone(this: Tensor) {
    return ops.clone(this);
  },
  conv2d(
    this: Tensor,
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
  ) {
    return ops.conv2d(this, weight, bias, options);
  },
  maxPool2d(
    this: Tensor,
    options:
      | {
          kernelSize: number | readonly [number, number];
          stride?: number | readonly [number, number] | null;
          padding?: number | readonly [number, number];
        }
      | number
      | readonly [number, number],
  ) {
    return ops.maxPool2d(this, options);
  },
  avgPool2d(
    this: Tensor,
    options:
      | {
          kernelSize: number | readonly [number, number];
          stride?: number | readonly [number, number] | null;
          padding?: number | readonly [number, number];
        }
      | number
      | readonly [number, number],
  ) {
    return ops.avgPool2d(this, options);
  },
  layerNorm(this: Tensor, weight: Tensor, bias: Tensor, options?: { eps?: number } | number) {
    return ops.layerNorm(this, weight, bias, options);
  },
};
