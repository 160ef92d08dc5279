// The functions behind layers that are made of several ops or draw random numbers.
import { apply } from './apply.js';
import { checkKeys, checkNumber, wrongType } from './errors.js';
import { add, indexSelect, linear, max, mul, reshape } from './ops.gen.js';
import { copyFrom, stack } from './ops.js';
import { nextKey } from './random.js';
import { OPS } from './schema.gen.js';
import { noGrad } from './tape.js';
import { FLOATS, checkTensor, isFloat, shapeOf, tidy, type Tensor } from './tensor.js';

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const text = (t: Tensor): string => `[${shapeOf(t).join(', ')}]`;

export interface BatchNormOptions {
  /** Whether to normalise by the batch's own statistics; unless told, if no running ones are given. */
  training?: boolean;
  /** Added to the variance; 1e-5 unless told. */
  eps?: number;
  /** How far the running statistics move towards the batch's in training; 0.1 unless told. */
  momentum?: number;
  /** [channels]: used when not training, updated in place (with the unbiased variance) when training. */
  runningMean?: Tensor;
  runningVar?: Tensor;
}

function checkChannels(name: string, value: unknown, channels: number): Tensor {
  const t = checkTensor('batchNorm', name, value);
  if (shapeOf(t).length !== 1 || shapeOf(t)[0] !== channels)
    throw new RangeError(
      `batchNorm: ${name} must have one entry for each of the ${channels} channels of x, got shape ${text(t)}`,
    );
  return t;
}

/**
 * (x - mean) / √(variance + eps) · weight + bias for each channel. Ioffe & Szegedy 2015.
 * @param x - [n, channels] or [n, channels, h, w]
 * @param weight - [channels]
 * @param bias - [channels]
 * @throws TypeError, RangeError for shapes that do not fit, running statistics that are missing, and in
 * training fewer than two values per channel
 */
export function batchNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  options?: BatchNormOptions,
): Tensor {
  const shape = shapeOf(checkTensor('batchNorm', 'x', x));
  if (shape.length < 2)
    throw new RangeError(
      `batchNorm: x must be [n, channels] or [n, channels, h, w], got ${text(x)}`,
    );
  if (!isFloat(x.dtype)) throw wrongType('batchNorm', 'x', FLOATS, x.dtype);
  const channels = shape[1]!;
  checkChannels('weight', weight, channels);
  checkChannels('bias', bias, channels);
  const given = checkKeys('batchNorm', options, [
    'training',
    'eps',
    'momentum',
    'runningMean',
    'runningVar',
  ]) as BatchNormOptions;
  const { runningMean, runningVar, eps = 1e-5, momentum = 0.1 } = given;
  const { training = runningMean === undefined } = given;
  if (typeof training !== 'boolean')
    throw wrongType('batchNorm', 'training', 'a boolean', training);
  checkNumber('batchNorm', 'eps', eps, { min: 0 });
  checkNumber('batchNorm', 'momentum', momentum, { min: 0, max: 1 });
  if ((runningMean === undefined) !== (runningVar === undefined))
    throw new TypeError('batchNorm: runningMean and runningVar must be given together');
  if (runningMean !== undefined) {
    checkChannels('runningMean', runningMean, channels);
    checkChannels('runningVar', runningVar, channels);
  } else if (!training) {
    throw new TypeError('batchNorm: runningMean and runningVar are missing and training is false');
  }
  const count = product(shape) / Math.max(1, channels);
  if (training && count < 2)
    throw new RangeError(
      `batchNorm: training needs more than one value per channel, got x of shape ${text(x)}`,
    );
  if (x.dtype === 'bfloat16') return inFloat32(x, weight, bias, given);
  const moments = noGrad(() =>
    training ? apply(OPS.channelMoments, [x], null) : stack([runningMean!, runningVar!]),
  );
  const result = apply(OPS.channelNorm, [x, weight, bias, moments], [eps, training ? 1 : 0]);
  if (training && runningMean)
    noGrad(() => {
      tidy(() => {
        const move = (running: Tensor, i: number, factor: number): void => {
          const batch = moments.slice({ axis: 0, start: i, end: i + 1 }).reshape([channels]);
          const moved = add(mul(running, 1 - momentum), mul(batch, momentum * factor));
          copyFrom(running, moved.to(running.dtype));
        };
        move(runningMean, 0, 1);
        move(runningVar!, 1, count / (count - 1));
      });
    });
  moments.dispose(); // the tape still holds it if a gradient is wanted
  return result;
}

/** Batch normalisation of bfloat16, whose means and variances need more digits: rounded once, at the end. */
function inFloat32(x: Tensor, weight: Tensor, bias: Tensor, options: BatchNormOptions): Tensor {
  const wide = x.to('float32');
  const result = batchNorm(wide, weight, bias, options);
  wide.dispose(); // the tape still holds it if a gradient is wanted
  if (weight.dtype !== 'bfloat16' || bias.dtype !== 'bfloat16') return result;
  const rounded = result.to('bfloat16');
  result.dispose();
  return rounded;
}

/**
 * The rows of weight that index names.
 * @param weight - [entries, width]
 * @param index - int32 of any shape; the result is [...index's shape, width]
 * @throws TypeError, RangeError for an index that is no int32 or out of range
 */
export function embedding(weight: Tensor, index: Tensor): Tensor {
  const table = shapeOf(checkTensor('embedding', 'weight', weight));
  const wanted = shapeOf(checkTensor('embedding', 'index', index));
  if (table.length !== 2)
    throw new RangeError(`embedding: weight must be [entries, width], got ${text(weight)}`);
  if (index.dtype !== 'int32')
    throw new TypeError(`embedding: index must be int32, got ${index.dtype}`);
  if (wanted.length > 7)
    throw new RangeError(`embedding: index must have at most 7 dimensions, got ${text(index)}`);
  if (wanted.length === 1) return indexSelect(weight, index);
  const rows = indexSelect(weight, reshape(index, [product(wanted)]));
  return reshape(rows, [...wanted, table[1]!]);
}

/**
 * In training each element is 0 with probability p, else divided by 1 - p; otherwise x itself.
 * Which elements depends on the seed ({@link manualSeed}) and the number of draws before, not on threads.
 * Srivastava et al. 2014.
 * @param options - `p`: 0.5 unless told; `training`: true unless told
 * @throws TypeError, RangeError unless p is in 0 … 1
 */
export function dropout(x: Tensor, options?: { p?: number; training?: boolean }): Tensor {
  checkTensor('dropout', 'x', x);
  const { p = 0.5, training = true } = checkKeys('dropout', options, ['p', 'training']);
  const probability = checkNumber('dropout', 'p', p, { min: 0, max: 1 });
  if (typeof training !== 'boolean') throw wrongType('dropout', 'training', 'a boolean', training);
  if (!isFloat(x.dtype)) throw wrongType('dropout', 'x', FLOATS, x.dtype);
  return training && probability > 0 ? apply(OPS.drop, [x], [probability, ...nextKey()]) : x;
}

/**
 * The largest of several linear pieces: max over k of x · weight[k]ᵀ + bias[k]. Pieces that tie share the
 * gradient. Goodfellow et al. 2013.
 * @param x - [..., in]
 * @param weight - [pieces, out, in]
 * @param bias - [pieces, out]
 * @throws TypeError, RangeError for shapes that do not fit
 */
export function maxout(x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  const shape = shapeOf(checkTensor('maxout', 'x', x));
  const [pieces, out, inner] = shapeOf(checkTensor('maxout', 'weight', weight)) as number[];
  const b = shapeOf(checkTensor('maxout', 'bias', bias));
  if (shapeOf(weight).length !== 3 || pieces === 0)
    throw new RangeError(`maxout: weight must be [pieces, out, in], got ${text(weight)}`);
  if (b.length !== 2 || b[0] !== pieces || b[1] !== out)
    throw new RangeError(
      `maxout: bias must be [pieces, out] as weight ${text(weight)} is, got ${text(bias)}`,
    );
  if (shape.length === 0 || shape.at(-1) !== inner)
    throw new RangeError(
      `maxout: x [..., in] does not fit weight [pieces, out, in]: ${text(x)} x ${text(weight)}`,
    );
  const all = linear(x, reshape(weight, [pieces! * out!, inner!]), reshape(bias, [pieces! * out!]));
  return max(reshape(all, [...shape.slice(0, -1), pieces!, out!]), { axis: -2 });
}
