// Ops that are made of others, or choose among them.
import { apply, applyList, toDevice } from './apply.js';
import { checkDevice, type Device } from './device.js';
import { checkKeys, checkNumber, wrongType } from './errors.js';
import {
  pow as power,
  rsqrt,
  sqrt,
  square,
  reciprocal,
  slice,
  permute,
  reshape,
  geluErf,
  geluTanh,
} from './ops.gen.js';
import { recording } from './recording.js';
import { DTYPES, OPS, type DType } from './schema.gen.js';
import { noGrad } from './tape.js';
import { checkTensor, checkTensors, handleOf, isTensor, shapeOf, type Tensor } from './tensor.js';
import { native } from './native.js';

/** xʸ; the exponents 2, ½, -½, -1 and 1 take their own, faster kernels. The shapes broadcast. */
export function pow(x: Tensor | number, y: Tensor | number): Tensor {
  if (isTensor(x) && typeof y === 'number') {
    if (y === 2) return square(x);
    if (y === 0.5) return sqrt(x);
    if (y === -0.5) return rsqrt(x);
    if (y === -1) return reciprocal(x);
  }
  return power(x, y);
}

/**
 * x · Φ(x), the Gaussian error linear unit (Hendrycks & Gimpel 2016).
 * @param options - `approximate`: 'none' (exact, by erf) or 'tanh'
 */
export function gelu(x: Tensor, options?: { approximate?: 'none' | 'tanh' }): Tensor {
  const { approximate = 'none' } = checkKeys('gelu', options, ['approximate']);
  if (approximate !== 'none' && approximate !== 'tanh')
    throw wrongType('gelu', 'approximate', "'none' or 'tanh'", approximate);
  return approximate === 'none' ? geluErf(x) : geluTanh(x);
}

const normalAxis = (op: string, axis: unknown, ndim: number): number => {
  const a = checkNumber(op, 'axis', axis, { integer: true, min: -ndim, max: ndim - 1 });
  return a < 0 ? a + ndim : a;
};

/** Adds an axis of size 1. */
export function unsqueeze(x: Tensor, axis: number): Tensor {
  const shape = shapeOf(checkTensor('unsqueeze', 'x', x)).slice();
  shape.splice(normalAxis('unsqueeze', axis, shape.length + 1), 0, 1);
  return reshape(x, shape);
}

/** Removes axes of size 1: the given one, or all. */
export function squeeze(x: Tensor, axis?: number): Tensor {
  const shape = shapeOf(checkTensor('squeeze', 'x', x));
  if (axis === undefined)
    return reshape(
      x,
      shape.filter((d) => d !== 1),
    );
  const at = normalAxis('squeeze', axis, shape.length);
  return shape[at] === 1
    ? reshape(
        x,
        shape.filter((_, i) => i !== at),
      )
    : x;
}

/** Joins the axes from startAxis on into one. */
export function flatten(x: Tensor, startAxis = 0): Tensor {
  const shape = shapeOf(checkTensor('flatten', 'x', x));
  if (shape.length === 0) return reshape(x, [1]);
  const at = normalAxis('flatten', startAxis, shape.length);
  // Not -1: a zero elsewhere in the shape would leave it undetermined.
  return reshape(x, [...shape.slice(0, at), shape.slice(at).reduce((a, b) => a * b, 1)]);
}

/** Exchanges two axes, the last two unless told. No copy. */
export function transpose(x: Tensor, axis1 = -2, axis2 = -1): Tensor {
  const n = shapeOf(checkTensor('transpose', 'x', x)).length;
  if (n < 2)
    throw new RangeError(
      `transpose: x must have at least 2 dimensions, got shape [${shapeOf(x).join(', ')}]`,
    );
  const [a, b] = [normalAxis('transpose', axis1, n), normalAxis('transpose', axis2, n)];
  const axes = Array.from({ length: n }, (_, i) => (i === a ? b : i === b ? a : i));
  return permute(x, axes);
}

/** Joins tensors of one shape along a new axis. */
export function stack(xs: readonly Tensor[], options?: { axis?: number } | number): Tensor {
  const tensors = checkTensors('stack', 'xs', 'tensor', xs);
  const { axis = 0 } =
    typeof options === 'number' ? { axis: options } : checkKeys('stack', options, ['axis']);
  if (tensors.length === 0) throw new RangeError('stack: the list of tensors is empty');
  const first = shapeOf(tensors[0]!);
  const at = normalAxis('stack', axis, first.length + 1);
  for (const x of tensors) {
    const shape = shapeOf(x);
    if (shape.length !== first.length || shape.some((d, j) => d !== first[j]))
      throw new RangeError(`stack: shapes differ: [${first.join(', ')}] and [${shape.join(', ')}]`);
  }
  return applyList(
    OPS.concat,
    tensors.map((x) => unsqueeze(x, at)),
    [at],
  );
}

/** Cuts a tensor into pieces of the given size along an axis; the last may be smaller. No copy. */
export function split(x: Tensor, size: number, axis = 0): Tensor[] {
  const shape = shapeOf(checkTensor('split', 'x', x));
  const at = normalAxis('split', axis, shape.length);
  checkNumber('split', 'size', size, { min: 1, integer: true });
  const pieces: Tensor[] = [];
  for (let start = 0; start < shape[at]!; start += size)
    pieces.push(slice(x, { axis: at, start, end: Math.min(start + size, shape[at]!) }));
  return pieces;
}

/** The same memory outside the graph: no gradient flows through. */
export function detach(x: Tensor): Tensor {
  checkTensor('detach', 'x', x);
  return noGrad(() => apply(OPS.reshape, [x], [shapeOf(x).length, ...shapeOf(x)]));
}

/**
 * The same numbers in another dtype, on another device, or both; itself, if nothing is to change. The gradient comes
 * back in the dtype and to the device of x.
 * @throws TapegradError TG_DEVICE if the device cannot be used; TypeError
 */
export function to(x: Tensor, target: DType | Device | { dtype?: DType; device?: Device }): Tensor {
  checkTensor('to', 'x', x);
  const options: { dtype?: unknown; device?: unknown } =
    typeof target !== 'string'
      ? target
      : target === 'cpu' || target === 'cuda'
        ? { device: target }
        : { dtype: target };
  if (typeof options !== 'object' || (options as unknown) === null)
    throw wrongType('to', 'the target', 'a dtype, a device or an options object', target);
  const { dtype, device = x.device } = options;
  const place = checkDevice('to', device);
  const code = DTYPES.indexOf((dtype ?? x.dtype) as DType);
  if (code < 0) throw wrongType('to', 'dtype', `one of ${DTYPES.join(', ')}`, dtype);
  const moved = place === x.device ? x : toDevice(x, place);
  return DTYPES[code] === x.dtype ? moved : apply(OPS.cast, [moved], [code]);
}

/**
 * Overwrites the elements of `x` with those of `source`, in place; shapes and dtypes must agree.
 * @throws RangeError if they do not; TapegradError if x is an intermediate result of a recorded graph
 */
export function copyFrom(x: Tensor, source: Tensor): Tensor {
  checkTensor('copyFrom', 'x', x);
  checkTensor('copyFrom', 'source', source);
  if (x.node)
    throw new TypeError(
      'copyFrom: x is an intermediate result of a recorded graph; only leaves can be overwritten',
    );
  native.assign(handleOf(x), handleOf(source), source);
  recording()?.written.add(x.base ?? x);
  ++(x.base ?? x).version;
  return x;
}
