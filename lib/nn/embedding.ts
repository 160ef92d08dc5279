// A table of vectors, and the layer of linear pieces.
import { checkShape, type TensorOptions } from '../create.js';
import { checkKeys, checkNumber } from '../errors.js';
import { embedding, maxout } from '../layers.js';
import type { Tensor } from '../tensor.js';
import { calibratedUniform, normal } from './init.js';
import { checkFloat, Module, parameter } from './module.js';

/**
 * Looks up vectors: int32 indices of any shape to [..., width]. The table starts normal with deviation 1.
 * @throws TypeError, RangeError unless both sizes are integers ≥ 1
 */
export class Embedding extends Module {
  /** [entries, width] */
  readonly weight: Tensor;

  constructor(
    readonly entries: number,
    readonly width: number,
    options?: Pick<TensorOptions, 'dtype'>,
  ) {
    super();
    checkNumber('Embedding', 'entries', entries, { min: 1, integer: true });
    checkNumber('Embedding', 'width', width, { min: 1, integer: true });
    const dtype = checkFloat('Embedding', checkKeys('Embedding', options, ['dtype'])['dtype']);
    const shape = checkShape('Embedding', [entries, width]);
    this.weight = parameter(normal(shape, 1, { dtype }));
  }

  forward(index: Tensor): Tensor {
    return embedding(this.weight, index);
  }
}

/**
 * The largest of several linear layers, entry by entry. Goodfellow et al. 2013. All start uniform in
 * ±1/√in.
 * @throws TypeError, RangeError unless all sizes are integers ≥ 1
 */
export class Maxout extends Module {
  /** [pieces, out, in] */
  readonly weight: Tensor;
  /** [pieces, out] */
  readonly bias: Tensor;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    readonly pieces = 2,
    options?: Pick<TensorOptions, 'dtype'>,
  ) {
    super();
    checkNumber('Maxout', 'inFeatures', inFeatures, { min: 1, integer: true });
    checkNumber('Maxout', 'outFeatures', outFeatures, { min: 1, integer: true });
    checkNumber('Maxout', 'pieces', pieces, { min: 1, integer: true });
    const dtype = checkFloat('Maxout', checkKeys('Maxout', options, ['dtype'])['dtype']);
    const shape = checkShape('Maxout', [pieces, outFeatures, inFeatures]);
    this.weight = parameter(calibratedUniform(shape, inFeatures, { dtype }));
    this.bias = parameter(calibratedUniform([pieces, outFeatures], inFeatures, { dtype }));
  }

  forward(x: Tensor): Tensor {
    return maxout(x, this.weight, this.bias);
  }
}
