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
