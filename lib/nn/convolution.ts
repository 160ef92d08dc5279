// Layers on images [n, channels, h, w]: convolution and pooling.
import { apply, checkPair, encode } from '../apply.js';
import { checkShape, type TensorOptions } from '../create.js';
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { avgPool2d, conv2d, maxPool2d } from '../ops.gen.js';
import { OPS } from '../schema.gen.js';
import type { Tensor } from '../tensor.js';
import { calibratedUniform } from './init.js';
import { checkFloat, Module, parameter } from './module.js';

/** One number for rows and columns, or [rows, columns]. */
export type Pair = number | readonly [number, number];

export interface Conv2dOptions extends Pick<TensorOptions, 'dtype'> {
  /** Steps between windows; 1 unless told. */
  stride?: Pair;
  /** Zeros on every side; 0 unless told. */
  padding?: Pair;
  /** Steps between the elements of a window; 1 unless told. */
  dilation?: Pair;
  /** Groups of channels that do not see each other; 1 unless told. */
  groups?: number;
  /** Whether there is a bias; true unless told. */
  bias?: boolean;
}

/**
 * Convolution (cross-correlation) of [n, inChannels, h, w]. Weight [out, in / groups, kh, kw] and bias start
 * uniform in ±1/√(in / groups · kh · kw), as in PyTorch.
 * @throws TypeError, RangeError for sizes that are no integers ≥ 1, or groups that do not divide the channels
 */
export class Conv2d extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  readonly kernelSize: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly groups: number;

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: Pair,
    options?: Conv2dOptions,
  ) {
    super();
    checkNumber('Conv2d', 'inChannels', inChannels, { min: 1, integer: true });
    checkNumber('Conv2d', 'outChannels', outChannels, { min: 1, integer: true });
    this.kernelSize = checkPair('Conv2d', 'kernelSize', kernelSize, 1);
    const given = checkKeys('Conv2d', options, [
      'stride',
      'padding',
      'dilation',
      'groups',
      'bias',
      'dtype',
    ]) as Conv2dOptions;
    const { bias = true, groups = 1 } = given;
    this.stride = checkPair('Conv2d', 'stride', given.stride ?? 1, 1);
    this.padding = checkPair('Conv2d', 'padding', given.padding ?? 0);
    this.dilation = checkPair('Conv2d', 'dilation', given.dilation ?? 1, 1);
    this.groups = checkNumber('Conv2d', 'groups', groups, { min: 1, integer: true });
    if (inChannels % groups || outChannels % groups)
      throw new RangeError(
        `Conv2d: groups ${groups} must divide inChannels ${inChannels} and outChannels ${outChannels}`,
      );
    if (typeof bias !== 'boolean') throw wrongType('Conv2d', 'bias', 'a boolean', bias);
    const dtype = checkFloat('Conv2d', given.dtype);
    const [kh, kw] = this.kernelSize;
    const fanIn = (inChannels / groups) * kh * kw;
    const shape = checkShape('Conv2d', [outChannels, inChannels / groups, kh, kw]);
    this.weight = parameter(calibratedUniform(shape, fanIn, { dtype }));
    this.bias = bias ? parameter(calibratedUniform([outChannels], fanIn, { dtype })) : null;
  }

  forward(x: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this;
    const options = { stride, padding, dilation, groups };
    return this.bias
      ? conv2d(x, this.weight, this.bias, options)
      : apply(OPS.convolve2d, [x, this.weight], encode(OPS.convolve2d, options));
  }
}

export interface PoolOptions {
  /** Steps between windows; kernelSize unless told. */
  stride?: Pair | null;
  /** Rows and columns added on every side, at most half of kernelSize; 0 unless told. */
  padding?: Pair;
}

/** A layer of windows. */
abstract class Pool extends Module {
  readonly kernelSize: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];

  constructor(name: string, kernelSize: Pair, options: PoolOptions | undefined) {
    super();
    this.kernelSize = checkPair(name, 'kernelSize', kernelSize, 1);
    const given = checkKeys(name, options, ['stride', 'padding']) as PoolOptions;
    this.stride = checkPair(name, 'stride', given.stride ?? this.kernelSize, 1);
    this.padding = checkPair(name, 'padding', given.padding ?? 0);
  }
}

/** Maxima over windows of [n, channels, h, w]. @throws TypeError, RangeError for sizes that cannot be */
export class MaxPool2d extends Pool {
  constructor(kernelSize: Pair, options?: PoolOptions) {
    super('MaxPool2d', kernelSize, options);
  }
  forward(x: Tensor): Tensor {
    const { kernelSize, stride, padding } = this;
    return maxPool2d(x, { kernelSize, stride, padding });
  }
}

/** Means over windows of [n, channels, h, w]. @throws TypeError, RangeError for sizes that cannot be */
export class AvgPool2d extends Pool {
  constructor(kernelSize: Pair, options?: PoolOptions) {
    super('AvgPool2d', kernelSize, options);
  }
  forward(x: Tensor): Tensor {
    const { kernelSize, stride, padding } = this;
    return avgPool2d(x, { kernelSize, stride, padding });
  }
}
