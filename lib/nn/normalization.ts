// Layers that normalise, by the batch's statistics or by each example's own, and dropout.
import { checkShape, full, ones, zeros, type TensorOptions } from '../create.js';
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { batchNorm, dropout } from '../layers.js';
import { add, layerNorm } from '../ops.gen.js';
import { copyFrom } from '../ops.js';
import type { DType } from '../schema.gen.js';
import { noGrad } from '../tape.js';
import { checkTensor, keep, shapeOf, type Tensor } from '../tensor.js';
import { checkFloat, Module, parameter } from './module.js';

export interface BatchNormLayerOptions extends Pick<TensorOptions, 'dtype'> {
  /** Added to the variance; 1e-5 unless told. */
  eps?: number;
  /** How far the running statistics move in a step, 0.1 unless told; null: they are plain averages. */
  momentum?: number | null;
}

/**
 * In training each channel is normalised by the batch's mean and variance, and the running statistics
 * follow (with the unbiased variance); in evaluation by these. weight starts at 1, bias at 0.
 */
abstract class BatchNorm extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly runningMean: Tensor;
  readonly runningVar: Tensor;
  /** Batches seen in training, an int32 scalar. */
  readonly numBatches: Tensor;
  readonly eps: number;
  readonly momentum: number | null;

  constructor(
    private readonly kind: string,
    private readonly dims: readonly number[],
    readonly numFeatures: number,
    options: BatchNormLayerOptions | undefined,
  ) {
    super();
    checkNumber(kind, 'numFeatures', numFeatures, { min: 1, integer: true });
    checkShape(kind, [numFeatures]);
    const given = checkKeys(kind, options, ['eps', 'momentum', 'dtype']) as BatchNormLayerOptions;
    this.eps = checkNumber(kind, 'eps', given.eps ?? 1e-5, { min: 0 });
    const { momentum = 0.1 } = given;
    this.momentum =
      momentum === null ? null : checkNumber(kind, 'momentum', momentum, { min: 0, max: 1 });
    const dtype = checkFloat(kind, given.dtype);
    this.weight = parameter(ones([numFeatures], { dtype }));
    this.bias = parameter(zeros([numFeatures], { dtype }));
    this.runningMean = keep(zeros([numFeatures], { dtype }));
    this.runningVar = keep(ones([numFeatures], { dtype }));
    this.numBatches = keep(full([], 0, { dtype: 'int32' }));
  }

  forward(x: Tensor): Tensor {
    const n = shapeOf(checkTensor(this.kind, 'x', x)).length;
    if (!this.dims.includes(n))
      throw new RangeError(
        `${this.kind}: x must have ${this.dims.join(' or ')} dimensions, got shape [${shapeOf(x).join(', ')}]`,
      );
    const { training, eps, runningMean, runningVar, numBatches } = this;
    const momentum = this.momentum ?? 1 / ((numBatches.dataSync()[0] ?? 0) + 1);
    const y = batchNorm(x, this.weight, this.bias, {
      training,
      eps,
      momentum,
      runningMean,
      runningVar,
    });
    if (training)
      noGrad(() => {
        const next = add(numBatches, 1);
        copyFrom(numBatches, next);
        next.dispose();
      });
    return y;
  }
}

/** Batch normalisation of [n, features] or [n, features, length]. Ioffe & Szegedy 2015. @throws TypeError, RangeError */
export class BatchNorm1d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super('BatchNorm1d', [2, 3], numFeatures, options);
  }
}
/** Batch normalisation of [n, features, h, w]. Ioffe & Szegedy 2015. @throws TypeError, RangeError */
export class BatchNorm2d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super('BatchNorm2d', [4], numFeatures, options);
  }
}

/**
 * Normalises each example over its last axes, whose sizes are normalizedShape. weight starts at 1, bias at
 * 0. Ba, Kiros & Hinton 2016.
 * @throws TypeError, RangeError unless all sizes are integers ≥ 1
 */
export class LayerNorm extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly eps: number;

  constructor(
    normalizedShape: number | readonly number[],
    options?: { eps?: number } & Pick<TensorOptions, 'dtype'>,
  ) {
    super();
    const sizes: unknown =
      typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape;
    if (!Array.isArray(sizes) || sizes.length === 0)
      throw wrongType('LayerNorm', 'normalizedShape', 'an integer or an array of them', sizes);
    const shape = checkShape('LayerNorm', sizes);
    shape.forEach((d, i) => checkNumber('LayerNorm', `normalizedShape[${i}]`, d, { min: 1 }));
    const given = checkKeys('LayerNorm', options, ['eps', 'dtype']) as {
      eps?: number;
      dtype?: DType;
    };
    this.eps = checkNumber('LayerNorm', 'eps', given.eps ?? 1e-5, { min: 0 });
    const dtype = checkFloat('LayerNorm', given.dtype);
    this.weight = parameter(ones(shape, { dtype }));
    this.bias = parameter(zeros(shape, { dtype }));
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, { eps: this.eps });
  }
}

/** In training sets elements to 0 with probability p and divides the others by 1 - p. @throws TypeError, RangeError */
export class Dropout extends Module {
  constructor(readonly p = 0.5) {
    super();
    checkNumber('Dropout', 'p', p, { min: 0, max: 1 });
  }
  forward(x: Tensor): Tensor {
    return dropout(x, { p: this.p, training: this.training });
  }
}
