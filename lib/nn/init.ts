// Initial values of parameters. fanIn and fanOut of a weight [out, in, …] are in and out times the product
// of the other axes.
import { checkShape, full, zeros as zeroTensor, type TensorOptions } from '../create.js';
import { checkNumber } from '../errors.js';
import { rand, randn } from '../random.js';
import type { Tensor } from '../tensor.js';

function fans(op: string, shape: readonly number[]): { fanIn: number; fanOut: number } {
  const [fanOut, fanIn, ...field] = checkShape(op, shape);
  if (fanIn === undefined || fanOut === undefined)
    throw new RangeError(
      `${op}: shape must have at least 2 dimensions ([out, in, …]), got [${shape.join(', ')}]`,
    );
  const size = field.reduce((a, b) => a * b, 1);
  return { fanIn: fanIn * size, fanOut: fanOut * size };
}

/** All zeros. */
export const zeros = (shape: readonly number[], options?: TensorOptions): Tensor =>
  zeroTensor(shape, options);
/** One value. */
export const constant = (
  shape: readonly number[],
  value: number,
  options?: TensorOptions,
): Tensor => full(shape, value, options);
/** Normal with the given standard deviation (0.01 unless told) and mean 0. */
export const normal = (
  shape: readonly number[],
  deviation = 0.01,
  options?: TensorOptions,
): Tensor =>
  randn(shape, {
    ...options,
    deviation: checkNumber('init.normal', 'deviation', deviation, { min: 0 }),
  });

/** Uniform in ±gain √(6 / (fanIn + fanOut)). Glorot & Bengio 2010. */
export function glorotUniform(shape: readonly number[], gain = 1, options?: TensorOptions): Tensor {
  const { fanIn, fanOut } = fans('init.glorotUniform', shape);
  const limit =
    checkNumber('init.glorotUniform', 'gain', gain, { min: 0 }) *
    Math.sqrt(6 / Math.max(1, fanIn + fanOut));
  return rand(shape, { ...options, low: -limit, high: limit });
}
/** Normal with deviation gain √(2 / (fanIn + fanOut)). Glorot & Bengio 2010. */
export function glorotNormal(shape: readonly number[], gain = 1, options?: TensorOptions): Tensor {
  const { fanIn, fanOut } = fans('init.glorotNormal', shape);
  return normal(
    shape,
    checkNumber('init.glorotNormal', 'gain', gain, { min: 0 }) *
      Math.sqrt(2 / Math.max(1, fanIn + fanOut)),
    options,
  );
}
/** Uniform in ±√(6 / fanIn), for layers before a ReLU. He et al. 2015. */
export function heUniform(shape: readonly number[], options?: TensorOptions): Tensor {
  const limit = Math.sqrt(6 / Math.max(1, fans('init.heUniform', shape).fanIn));
  return rand(shape, { ...options, low: -limit, high: limit });
}
/** Normal with deviation √(2 / fanIn), for layers before a ReLU. He et al. 2015. */
export const heNormal = (shape: readonly number[], options?: TensorOptions): Tensor =>
  normal(shape, Math.sqrt(2 / Math.max(1, fans('init.heNormal', shape).fanIn)), options);
/** Uniform in ±1/√fanIn: variance calibrated to the number of inputs. PyTorch's default for linear layers. */
export function calibratedUniform(
  shape: readonly number[],
  fanIn: number,
  options?: TensorOptions,
): Tensor {
  const limit =
    1 / Math.sqrt(Math.max(1, checkNumber('init.calibratedUniform', 'fanIn', fanIn, { min: 0 })));
  return rand(shape, { ...options, low: -limit, high: limit });
}
