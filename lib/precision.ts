// Less precision for more speed: whether products of float32 may round their factors to tf32; and mixed precision, which
// ops compute in bfloat16 and which in float32 while autocast is on. Knows ops by name only.
import { wrongType } from './errors.js';
import { native } from './native.js';
import type { DType, OpSpec } from './schema.gen.js';

/** What products are computed in: 'tf32' is {@link setMatmulPrecision}'s 'high', 'bfloat16' is mixed precision. */
export type Precision = 'float32' | 'tf32' | 'bfloat16';

/** How exact products of float32 are: see {@link setMatmulPrecision}. */
export type MatmulPrecision = 'highest' | 'high';

let tf32 = false;
let mixed = false;

function setTf32(on: boolean): void {
  if (on === tf32) return;
  native.setTf32(on ? 1 : 0);
  tf32 = on;
}

/** @internal Whether float32 products are computed in tf32: as the option says, or else the setting. */
export const inTf32 = (precision: Precision | undefined): boolean =>
  precision === 'tf32' || (precision !== 'float32' && tf32);

/** @internal Runs fn with float32 products in tf32, or not. */
export function withTf32<T>(on: boolean, fn: () => T): T {
  const before = tf32;
  setTf32(on);
  try {
    return fn();
  } finally {
    setTf32(before);
  }
}

/** How exact products of float32 are in this thread: 'highest' unless set. */
export const getMatmulPrecision = (): MatmulPrecision => (tf32 ? 'high' : 'highest');

/**
 * Lets matmul, linear and conv2d of float32 tensors on a CUDA device round their factors to tf32 from now on ('high'), in
 * this thread: float32's range with 10 bits behind the point, multiplied by tensor cores and summed in float32, so that a
 * term is wrong by up to 2⁻¹⁰ of itself. Backward passes do as it is set when they run. A compiled function is compiled
 * for each setting it is called with, unless it has its own (`precision: 'tf32'` of `compile` and `fit`). 'highest', which
 * is the default, keeps float32's accuracy. No difference on the CPU, and to other dtypes. Named after PyTorch's
 * `set_float32_matmul_precision`.
 * @example tg.setMatmulPrecision('high');
 * @throws TypeError; TapegradError TG_TRACE in a function that is being compiled
 */
export function setMatmulPrecision(precision: MatmulPrecision): void {
  if (precision !== 'highest' && precision !== 'high')
    throw wrongType('setMatmulPrecision', 'precision', "'highest' or 'high'", precision);
  setTf32(precision === 'high');
}

/** @internal */
export const isMixed = (): boolean => mixed;

/** Products: their operands are rounded to bfloat16; they are summed in float32. */
const LOWERED = new Set<string>(['matmul', 'linear', 'conv2d', 'convolve2d']);
/** Where rounding errors would add up, or small differences matter. */
const RAISED = new Set<string>(
  [
    'exp expm1 log log1p pow rsqrt reciprocal softplus',
    'sum mean variance logSumExp softmax logSoftmax crossEntropy',
    'layerNorm channelMoments channelNorm',
  ].flatMap((names) => names.split(' ')),
);

/** @internal The dtype in which an op computes with float32 or bfloat16 operands; null: in theirs. */
export function precisionOf(op: OpSpec): DType | null {
  if (LOWERED.has(op.name)) return 'bfloat16';
  return op.kind === 'loss' || RAISED.has(op.name) ? 'float32' : null;
}

/** @internal */
export function checkPrecision(op: string, value: unknown): Precision | undefined {
  if (value === undefined) return undefined;
  if (value !== 'float32' && value !== 'tf32' && value !== 'bfloat16')
    throw wrongType(op, 'precision', "'float32', 'tf32' or 'bfloat16'", value);
  return value;
}

/** @internal Runs fn in mixed precision, or not. */
export function withMixed<T>(on: boolean, fn: () => T): T {
  const before = mixed;
  mixed = on;
  try {
    return fn();
  } finally {
    mixed = before;
  }
}

/**
 * Runs fn in mixed precision: matmul, linear and conv2d round float32 operands to bfloat16, losses, softmax,
 * normalisation, reductions and the like compute in float32, and what lies between computes in what it gets. float64
 * stays as it is. Parameters stay float32, and so do their gradients: backward passes compute each op in the precision
 * of its forward. The gain is that of the processor's bfloat16 products (AVX512-BF16, tensor cores), for weights that
 * are reused; without them this is slower than float32. After Micikevicius et al. 2018 (with bfloat16's range, losses
 * need no scaling; `fit` can do it).
 * @param fn - not async
 * @example
 * const loss = tg.autocast(() => losses.crossEntropy(model.forward(x), y));
 * loss.backward();
 */
export function autocast<T>(fn: () => T): T {
  if (typeof fn !== 'function') throw wrongType('autocast', 'fn', 'a function', fn);
  const result = withMixed(true, fn);
  if (result instanceof Promise) {
    result.catch(() => undefined);
    throw new TypeError('autocast: the function must not be async');
  }
  return result;
}
