// Checks of what an optimizer is given: lists, parameters and their gradients.
import { TapegradError, wrongType } from '../errors.js';
import { checkTensor, isDoomed, shapeOf, type Tensor } from '../tensor.js';

/** @internal */
export function checkIterable(op: string, value: unknown): Iterable<unknown> {
  if (typeof value !== 'object' || value === null || !(Symbol.iterator in value))
    throw wrongType(op, 'parameters', 'an iterable of Tensors, such as model.parameters()', value);
  return value as Iterable<unknown>;
}

/** @internal A leaf that can be optimized. */
export function checkParameter(op: string, i: number, value: unknown): Tensor {
  const t = checkTensor(op, `parameter ${i}`, value);
  if (!t.requiresGrad)
    throw new TypeError(
      `${op}: parameter ${i} of shape [${shapeOf(t).join(', ')}] has no requiresGrad`,
    );
  if (t.node)
    throw new TypeError(
      `${op}: parameter ${i} is an intermediate result; only leaves can be optimized`,
    );
  if (t.dtype === 'bfloat16')
    throw new TypeError(
      `${op}: parameter ${i} is bfloat16, in which small updates vanish: keep it in float32 and cast it to bfloat16 where the model uses it`,
    );
  return t;
}

/** @internal Fails if a parameter is gone or its gradient does not fit it. */
export function checkGradient(op: string, p: Tensor, grad: Tensor): void {
  const shape = shapeOf(p);
  if (isDoomed(p))
    throw new TapegradError(
      'TG_DISPOSED',
      `${op}: a parameter of shape [${shape.join(', ')}] was disposed of`,
    );
  const given = shapeOf(checkTensor(op, 'grad', grad));
  if (
    grad.dtype !== p.dtype ||
    given.length !== shape.length ||
    given.some((d, i) => d !== shape[i])
  )
    throw new RangeError(
      `${op}: the gradient ${grad.dtype} [${given.join(', ')}] does not fit the parameter ${p.dtype} [${shape.join(', ')}]`,
    );
}
