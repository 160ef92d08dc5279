// Losses: functions of (prediction, target, options) to a scalar, or one value per example.
import { apply } from './apply.js';
import { checkKeys } from './errors.js';
import { checkReduction, prediction, reduce, type Reduction } from './reduction.js';
import { OPS } from './schema.gen.js';
import { checkTensor, shapeOf, type Tensor } from './tensor.js';

export * from './losses.gen.js';
export type { Reduction } from './reduction.js';

/**
 * Softmax cross-entropy from logits: -Σ t log softmax(f), computed in one pass without overflow.
 * @param logits - [n, classes], or [classes] for one example
 * @param target - class indices int32 [n] (a scalar for one example), or probabilities of the logits' shape
 * @param options - `reduction`: 'mean' (over examples, default), 'sum' or 'none' ([n])
 * @throws TypeError, RangeError for shapes that do not fit or a class index out of range
 */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  options?: { reduction?: Reduction },
): Tensor {
  checkKeys('crossEntropy', options, ['reduction']);
  const reduction = checkReduction('crossEntropy', options?.reduction);
  let x = prediction('crossEntropy', logits);
  let t = checkTensor('crossEntropy', 'target', target);
  if (shapeOf(x).length === 1) {
    x = x.reshape([1, -1]);
    t = t.reshape([1, ...shapeOf(t)]);
  }
  if (t.dtype !== 'int32' && t.dtype !== x.dtype) t = t.to(x.dtype);
  const rows = apply(OPS.crossEntropy, [x, t], null);
  const result = reduce(rows, reduction);
  return reduction === 'none' && shapeOf(logits).length === 1 ? result.reshape([]) : result;
}
