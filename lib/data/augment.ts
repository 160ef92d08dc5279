// Random changes of images that leave their class: more training data from less. Outside the graph.
import { dtypeCode, generate } from '../apply.js';
import { fromData } from '../create.js';
import { checkKeys, checkNumber, wrongType, type NumberRange } from '../errors.js';
import { add } from '../ops.gen.js';
import { shuffle, uniforms } from '../random.js';
import { OPS } from '../schema.gen.js';
import { noGrad } from '../tape.js';
import { checkTensor, shapeOf, tidy, type Tensor } from '../tensor.js';
import { checkSeed, keyOf } from './keys.js';
import { smooth, warp, type Images } from './warp.js';

/** Every function takes a seed: with the same one it does the same to the same input. */
export interface AugmentOptions {
  /** An integer in 0 … 2⁵³ - 1; drawn from the generator of `manualSeed` unless told. */
  seed?: number;
  /** What comes in from outside the image, and replaces what is erased: 0 unless told. */
  fill?: number;
}

/** Float images [n, height, width] or [n, channels, height, width] as an array. */
function readImages(op: string, value: unknown): Images {
  const x = checkTensor(op, 'x', value);
  const shape = shapeOf(x);
  if (x.dtype !== 'float32' && x.dtype !== 'float64')
    throw new TypeError(
      `${op}: x must be float32 or float64, got ${x.dtype}; x.to('float32') converts it`,
    );
  if (shape.length !== 3 && shape.length !== 4)
    throw new RangeError(
      `${op}: x must be images [n, height, width] or [n, channels, height, width], got [${shape.join(', ')}]`,
    );
  const [height, width] = shape.slice(-2) as [number, number];
  const channels = shape.length === 4 ? shape[1]! : 1;
  return { data: x.dataSync() as Float32Array, n: shape[0]!, channels, height, width };
}

const back = (x: Tensor, data: Images['data']): Tensor =>
  fromData(data, shapeOf(x), x.dtype, x.device);

const fillOf = (op: string, given: Record<string, unknown>): number =>
  checkNumber(op, 'fill', given['fill'] ?? 0);

function required(
  op: string,
  given: Record<string, unknown>,
  name: string,
  range: NumberRange,
): number {
  return checkNumber(op, name, given[name], range);
}

/** One number for rows and columns, or a pair. */
function pairOf(op: string, name: string, value: unknown, range: NumberRange): [number, number] {
  if (!Array.isArray(value)) {
    const both = checkNumber(op, name, value, range);
    return [both, both];
  }
  if (value.length !== 2) throw wrongType(op, name, 'a number or a pair [rows, columns]', value);
  return [
    checkNumber(op, `${name}[0]`, value[0], range),
    checkNumber(op, `${name}[1]`, value[1], range),
  ];
}

/**
 * Mirrors each image with a probability, left to right unless told.
 * @param x - float [n, height, width] or [n, channels, height, width]
 * @param options - `probability`: ½ unless told; `vertical`: top to bottom
 * @throws TypeError, RangeError
 */
export function randomFlip(
  x: Tensor,
  options?: Omit<AugmentOptions, 'fill'> & { probability?: number; vertical?: boolean },
): Tensor {
  const op = 'randomFlip';
  const given = { ...checkKeys(op, options, ['seed', 'probability', 'vertical']) };
  const { vertical = false } = given;
  if (typeof vertical !== 'boolean') throw wrongType(op, 'vertical', 'a boolean', vertical);
  const p = checkNumber(op, 'probability', given['probability'] ?? 0.5, { min: 0, max: 1 });
  const images = readImages(op, x);
  const { n, height, width } = images;
  const u = uniforms(n, keyOf('flip', checkSeed(op, given['seed'])));
  const out = warp(images, 0, (i, rows, columns) => {
    const mirrored = u[i]! < p;
    for (let q = 0; q < rows.length; ++q) {
      const row = Math.floor(q / width);
      const column = q % width;
      rows[q] = mirrored && vertical ? height - 1 - row : row;
      columns[q] = mirrored && !vertical ? width - 1 - column : column;
    }
  });
  return back(x, out);
}

/**
 * Turns each image about its centre by an angle of chance, with bilinear interpolation.
 * @param x - float [n, height, width] or [n, channels, height, width]
 * @param options - `degrees`: angles are uniform in ± this, positive ones turn counterclockwise
 * @throws TypeError, RangeError
 */
export function randomRotate(x: Tensor, options: AugmentOptions & { degrees: number }): Tensor {
  const op = 'randomRotate';
  const given = { ...checkKeys(op, options, ['seed', 'fill', 'degrees']) };
  const degrees = required(op, given, 'degrees', { min: 0, max: 360 });
  const fill = fillOf(op, given);
  const images = readImages(op, x);
  const { n, height, width } = images;
  const u = uniforms(n, keyOf('rotate', checkSeed(op, given['seed'])));
  const out = warp(images, fill, (i, rows, columns) => {
    const angle = ((2 * u[i]! - 1) * degrees * Math.PI) / 180;
    const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
    for (let q = 0; q < rows.length; ++q) {
      const dy = Math.floor(q / width) - (height - 1) / 2;
      const dx = (q % width) - (width - 1) / 2;
      rows[q] = cos * dy + sin * dx + (height - 1) / 2;
      columns[q] = cos * dx - sin * dy + (width - 1) / 2;
    }
  });
  return back(x, out);
}

/**
 * Moves each image by whole pixels of chance.
 * @param x - float [n, height, width] or [n, channels, height, width]
 * @param options - `pixels`: at most so far, up or down and left or right; an integer or [rows, columns]
 * @throws TypeError, RangeError
 */
export function randomShift(
  x: Tensor,
  options: AugmentOptions & { pixels: number | readonly [number, number] },
): Tensor {
  const op = 'randomShift';
  const given = { ...checkKeys(op, options, ['seed', 'fill', 'pixels']) };
  const range = { min: 0, max: 2 ** 31 - 1, integer: true };
  const [down, right] = pairOf(op, 'pixels', given['pixels'], range);
  const fill = fillOf(op, given);
  const images = readImages(op, x);
  const u = uniforms(2 * images.n, keyOf('shift', checkSeed(op, given['seed'])));
  const step = (v: number, most: number): number => Math.floor(v * (2 * most + 1)) - most;
  const out = warp(images, fill, (i, rows, columns) => {
    const [dy, dx] = [step(u[2 * i]!, down), step(u[2 * i + 1]!, right)];
    for (let q = 0; q < rows.length; ++q) {
      rows[q] = Math.floor(q / images.width) - dy;
      columns[q] = (q % images.width) - dx;
    }
  });
  return back(x, out);
}

/** `count` different numbers below `below`. */
const choose = (below: number, count: number, u: Float64Array): Int32Array =>
  shuffle(
    Int32Array.from({ length: below }, (_, i) => i),
    u,
  ).subarray(0, count);

/**
 * Erases rows and columns of chance in each image, all channels alike.
 * @param x - float [n, height, width] or [n, channels, height, width]
 * @param options - `rows`, `columns`: how many, 0 unless told
 * @throws TypeError, RangeError, also for more than the image has
 */
export function randomErase(
  x: Tensor,
  options: AugmentOptions & { rows?: number; columns?: number },
): Tensor {
  const op = 'randomErase';
  const given = { ...checkKeys(op, options, ['seed', 'fill', 'rows', 'columns']) };
  const fill = fillOf(op, given);
  const { data, n, channels, height, width } = readImages(op, x);
  const rows = checkNumber(op, 'rows', given['rows'] ?? 0, { min: 0, max: height, integer: true });
  const columns = checkNumber(op, 'columns', given['columns'] ?? 0, {
    min: 0,
    max: width,
    integer: true,
  });
  const u = uniforms(n * (height + width), keyOf('erase', checkSeed(op, given['seed'])));
  for (let i = 0; i < n; ++i) {
    const draws = u.subarray(i * (height + width), (i + 1) * (height + width));
    const lost = choose(height, rows, draws);
    const gone = choose(width, columns, draws.subarray(height));
    for (let c = 0; c < channels; ++c) {
      const plane = (i * channels + c) * height * width;
      for (const row of lost) data.fill(fill, plane + row * width, plane + (row + 1) * width);
      for (const column of gone)
        for (let row = 0; row < height; ++row) data[plane + row * width + column] = fill;
    }
  }
  return back(x, data);
}

/**
 * Adds normal noise to every element.
 * @param x - float, any shape
 * @param options - `deviation`: the noise's standard deviation
 * @throws TypeError, RangeError
 */
export function randomNoise(
  x: Tensor,
  options: Omit<AugmentOptions, 'fill'> & { deviation: number },
): Tensor {
  const op = 'randomNoise';
  const given = { ...checkKeys(op, options, ['seed', 'deviation']) };
  const deviation = required(op, given, 'deviation', { min: 0 });
  const t = checkTensor(op, 'x', x);
  if (t.dtype !== 'float32' && t.dtype !== 'float64')
    throw new TypeError(
      `${op}: x must be float32 or float64, got ${t.dtype}; x.to('float32') converts it`,
    );
  const key = keyOf('noise', checkSeed(op, given['seed']));
  const shape = shapeOf(t);
  return tidy(() =>
    noGrad(() => {
      const numbers = [shape.length, ...shape, dtypeCode(op, t.dtype), 0, deviation, ...key];
      return add(t, generate(OPS.normal, numbers, t));
    }),
  );
}

/**
 * Bends each image like rubber: every pixel is moved by alpha times a field of uniform numbers in ± 1 that a Gaussian
 * of standard deviation sigma has smoothed. Simard, Steinkraus & Platt 2003, who take 34 and 4 for MNIST.
 * @param x - float [n, height, width] or [n, channels, height, width]
 * @param options - `alpha` and `sigma`, in pixels
 * @throws TypeError, RangeError
 */
export function randomElastic(
  x: Tensor,
  options: AugmentOptions & { alpha: number; sigma: number },
): Tensor {
  const op = 'randomElastic';
  const given = { ...checkKeys(op, options, ['seed', 'fill', 'alpha', 'sigma']) };
  const alpha = required(op, given, 'alpha', { min: 0, max: 1e6 });
  const sigma = required(op, given, 'sigma', { above: 0, max: 1024 });
  const fill = fillOf(op, given);
  const images = readImages(op, x);
  const { n, height, width } = images;
  const size = height * width;
  const u = uniforms(2 * n * size, keyOf('elastic', checkSeed(op, given['seed'])));
  const field = (k: number): Float64Array =>
    smooth(
      u.subarray(k * size, (k + 1) * size).map((v) => 2 * v - 1),
      height,
      width,
      sigma,
    );
  const out = warp(images, fill, (i, rows, columns) => {
    const [dy, dx] = [field(2 * i), field(2 * i + 1)];
    for (let q = 0; q < size; ++q) {
      rows[q] = Math.floor(q / width) + alpha * dy[q]!;
      columns[q] = (q % width) + alpha * dx[q]!;
    }
  });
  return back(x, out);
}
