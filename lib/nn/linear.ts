// The fully connected layer.
import { checkShape, type TensorOptions } from '../create.js';
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { linear, matmul } from '../ops.gen.js';
import { transpose } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { calibratedUniform } from './init.js';
import { checkFloat, Module, parameter } from './module.js';

export interface LinearOptions extends Pick<TensorOptions, 'dtype'> {
  /** Whether there is a bias; true unless told. */
  bias?: boolean;
}

/**
 * y = x Wᵀ + b with x [..., in], W [out, in], b [out]. Both start uniform in ±1/√in, as in PyTorch.
 * @throws TypeError, RangeError unless both sizes are integers ≥ 1
 */
export class Linear extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor | null;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options?: LinearOptions,
  ) {
    super();
    checkNumber('Linear', 'inFeatures', inFeatures, { min: 1, integer: true });
    checkNumber('Linear', 'outFeatures', outFeatures, { min: 1, integer: true });
    checkShape('Linear', [outFeatures, inFeatures]);
    const { bias = true, dtype = 'float32' } = checkKeys('Linear', options, [
      'bias',
      'dtype',
    ]) as LinearOptions;
    if (typeof bias !== 'boolean') throw wrongType('Linear', 'bias', 'a boolean', bias);
    checkFloat('Linear', dtype);
    this.weight = parameter(calibratedUniform([outFeatures, inFeatures], inFeatures, { dtype }));
    this.bias = bias ? parameter(calibratedUniform([outFeatures], inFeatures, { dtype })) : null;
  }

  forward(x: Tensor): Tensor {
    return this.bias ? linear(x, this.weight, this.bias) : matmul(x, transpose(this.weight));
  }
}
