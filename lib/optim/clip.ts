// Gradient clipping.
import { checkKeys, checkNumber } from '../errors.js';
import { native } from '../native.js';
import { isRecording, recording } from '../recording.js';
import { checkTensor, handleOf, type Tensor } from '../tensor.js';
import { checkIterable } from './checks.js';

function gradsOf(op: string, parameters: unknown): Tensor[] {
  const grads: Tensor[] = [];
  let i = 0;
  for (const p of checkIterable(op, parameters)) {
    const leaf = checkTensor(op, `parameter ${i++}`, p);
    recording()?.usesGradient(leaf);
    const { grad } = leaf;
    if (grad) grads.push(checkTensor(op, 'grad', grad));
  }
  return grads;
}
const handles = (grads: readonly Tensor[]): Float64Array => Float64Array.from(grads, handleOf);

/**
 * Scales all gradients together so that their joint l2 norm is at most maxNorm. Pascanu et al. 2013.
 * @param options - `errorIfNonfinite` (default false): throw if the norm is NaN or infinite
 * @returns The norm before; NaN inside `compile`, where no value is known. If it is NaN or infinite, the gradients are left as PyTorch leaves them: scaled by it.
 */
export function clipGradNorm(
  parameters: Iterable<Tensor>,
  maxNorm: number,
  options?: { errorIfNonfinite?: boolean },
): number {
  const { errorIfNonfinite } = checkKeys('clipGradNorm', options, ['errorIfNonfinite']);
  checkNumber('clipGradNorm', 'maxNorm', maxNorm, { min: 0 });
  const grads = gradsOf('clipGradNorm', parameters);
  const norm = native.clipNorm(handles(grads), maxNorm, errorIfNonfinite ? 1 : 0, grads);
  if (errorIfNonfinite && !Number.isFinite(norm) && !isRecording())
    throw new RangeError(`clipGradNorm: the norm of the gradients is ${norm}; nothing was changed`);
  for (const g of grads) ++g.version;
  return norm;
}

/** Limits every element of every gradient to [-limit, limit]. */
export function clipGradValue(parameters: Iterable<Tensor>, limit: number): void {
  checkNumber('clipGradValue', 'limit', limit, { min: 0 });
  const grads = gradsOf('clipGradValue', parameters);
  native.clip(handles(grads), limit, grads);
  for (const g of grads) ++g.version;
}
