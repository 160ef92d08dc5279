// Generated from native/schema by `npm run gen`; do not edit.

// The elementwise losses of the schema, with a reduction.
import { elementwiseLoss, type Reduction } from './reduction.js';
import { OPS } from './schema.gen.js';
import type { Tensor } from './tensor.js';

/**
 * ½(f - y)². Elementwise over prediction and target, which broadcast, then reduced.
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function squaredError(
  prediction: Tensor,
  target: Tensor | number,
  options?: { reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.squaredError, prediction, target, options);
}

/**
 * (f - y)². Elementwise over prediction and target, which broadcast, then reduced.
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function meanSquaredError(
  prediction: Tensor,
  target: Tensor | number,
  options?: { reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.meanSquaredError, prediction, target, options);
}

/**
 * -y log σ(f) - (1 - y) log(1 - σ(f)) from logits f, without overflow; y in [0, 1]. Elementwise over prediction and target, which broadcast, then reduced.
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function binaryCrossEntropyWithLogits(
  prediction: Tensor,
  target: Tensor | number,
  options?: { reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.binaryCrossEntropyWithLogits, prediction, target, options);
}

/**
 * -y log f - (1 - y) log(1 - f) from probabilities f; logarithms end at -100, as in PyTorch. Elementwise over prediction and target, which broadcast, then reduced.
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function binaryCrossEntropy(
  prediction: Tensor,
  target: Tensor | number,
  options?: { reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.binaryCrossEntropy, prediction, target, options);
}

/**
 * y (log y - f): the Kullback-Leibler divergence from log-probabilities f; 0 where y is 0. Elementwise over prediction and target, which broadcast, then reduced.
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function klDivergence(
  prediction: Tensor,
  target: Tensor | number,
  options?: { reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.klDivergence, prediction, target, options);
}

/**
 * |f - y|; the subgradient at 0 is 0. Elementwise over prediction and target, which broadcast, then reduced.
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function absoluteError(
  prediction: Tensor,
  target: Tensor | number,
  options?: { reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.absoluteError, prediction, target, options);
}

/**
 * ½(f - y)² where |f - y| ≤ delta, else delta (|f - y| - ½ delta). Huber 1964. Elementwise over prediction and target, which broadcast, then reduced.
 * - `delta`: positive, 1 unless told
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function huber(
  prediction: Tensor,
  target: Tensor | number,
  options?: { delta?: number; reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.huber, prediction, target, options);
}

/**
 * max(0, 1 - y f) for labels y = ±1; the subgradient where y f = 1 is 0. Any other y is taken as it is. Elementwise over prediction and target, which broadcast, then reduced.
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function hinge(
  prediction: Tensor,
  target: Tensor | number,
  options?: { reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.hinge, prediction, target, options);
}

/**
 * log(1 + e^(-y f)) without overflow, for labels y = ±1; with base2 the logarithm to base 2, which is 1 at f = 0. Elementwise over prediction and target, which broadcast, then reduced.
 * - `base2`: flag, false unless told
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function logistic(
  prediction: Tensor,
  target: Tensor | number,
  options?: { base2?: boolean; reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.logistic, prediction, target, options);
}

/**
 * e^(-y f) for labels y = ±1. Freund & Schapire 1997. Elementwise over prediction and target, which broadcast, then reduced.
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function exponential(
  prediction: Tensor,
  target: Tensor | number,
  options?: { reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.exponential, prediction, target, options);
}

/**
 * 1 / (1 + e^(y f)) for labels y = ±1: bounded and not convex. Elementwise over prediction and target, which broadcast, then reduced.
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function sigmoidLoss(
  prediction: Tensor,
  target: Tensor | number,
  options?: { reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.sigmoidLoss, prediction, target, options);
}

/**
 * 0 where y f ≥ 1, (1 - y f)² down to 0, then 1 - 2 y f; for labels y = ±1. With scikitLearn the square goes down to -1 and -4 y f follows (Zhang 2004). Elementwise over prediction and target, which broadcast, then reduced.
 * - `scikitLearn`: flag, false unless told
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function modifiedHuber(
  prediction: Tensor,
  target: Tensor | number,
  options?: { scikitLearn?: boolean; reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.modifiedHuber, prediction, target, options);
}

/**
 * max(0, margin - (f - y)) where f is the score that should be better than y by margin. Herbrich et al. 2000. Elementwise over prediction and target, which broadcast, then reduced.
 * - `margin`: number, 1 unless told
 * - `reduction`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function pairwiseHinge(
  prediction: Tensor,
  target: Tensor | number,
  options?: { margin?: number; reduction?: Reduction },
): Tensor {
  return elementwiseLoss(OPS.pairwiseHinge, prediction, target, options);
}
