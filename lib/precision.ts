// Mixed precision: which ops compute in bfloat16 and which in float32 while autocast is on. Knows ops by name only.
import { wrongType } from './errors.js';
import type { DType, OpSpec } from './schema.gen.js';

/** What products are computed in: 'bfloat16' is mixed precision. */
export type Precision = 'float32' | 'bfloat16';

let mixed = false;

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
export function checkPrecision(op: string, value: unknown): Precision {
  if (value !== 'float32' && value !== 'bfloat16')
    throw wrongType(op, 'precision', "'float32' or 'bfloat16'", value);
  return value;
}

/** @internal Runs fn in a precision. */
export function withPrecision<T>(precision: Precision, fn: () => T): T {
  const before = mixed;
  mixed = precision === 'bfloat16';
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
  const result = withPrecision('bfloat16', fn);
  if (result instanceof Promise) {
    result.catch(() => undefined);
    throw new TypeError('autocast: the function must not be async');
  }
  return result;
}
