// Losses are computed for each example and then reduced.
import { apply, encode } from './apply.js';
import { checkKeys, wrongType } from './errors.js';
import { OPS, type OpSpec } from './schema.gen.js';
import { checkTensor, isTensor, type Operand, type Tensor } from './tensor.js';

/** 'mean' over all entries, their 'sum', or 'none': the entries themselves. */
export type Reduction = 'mean' | 'sum' | 'none';

/** @internal */
export function checkReduction(op: string, reduction: unknown): Reduction {
  const value = reduction === undefined ? 'mean' : reduction;
  if (value !== 'mean' && value !== 'sum' && value !== 'none')
    throw wrongType(op, 'reduction', "'mean', 'sum' or 'none'", reduction);
  return value;
}

/** @internal The reduced loss; the entries themselves are freed as soon as nothing needs them. */
export function reduce(entries: Tensor, reduction: Reduction): Tensor {
  if (reduction === 'none') return entries;
  const result = apply(reduction === 'mean' ? OPS.mean : OPS.sum, [entries], [-1, 0]);
  entries.dispose();
  return result;
}

/** @internal A prediction survives the backward pass: users look at it after the step. */
export function prediction(op: string, value: unknown): Tensor {
  const t = checkTensor(op, 'prediction', value);
  if (t.node) t.node.retained = true;
  return t;
}

/** @internal What an elementwise loss compares with: a tensor, or one number for all entries. */
export function checkTarget(op: string, target: unknown): Operand {
  if (!isTensor(target) && typeof target !== 'number')
    throw wrongType(op, 'target', 'a Tensor or a number', target);
  return target;
}

/** @internal */
export function elementwiseLoss(
  op: OpSpec,
  predicted: Tensor,
  target: Operand,
  options: { reduction?: Reduction } & Record<string, unknown> = {},
): Tensor {
  checkKeys(op.name, options, ['reduction', ...op.attrs.map((a) => a.name)]);
  const { reduction, ...attrs } = options;
  const how = checkReduction(op.name, reduction);
  const numbers = op.attrs.length > 0 ? encode(op, attrs) : null;
  const x = prediction(op.name, predicted);
  return reduce(apply(op, [x, checkTarget(op.name, target)], numbers), how);
}
