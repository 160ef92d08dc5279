// Images resampled at other places, on plain arrays: bilinear interpolation. No random numbers here.

/** A batch of images, row-major [n, channels, height, width]. */
export interface Images {
  readonly data: Float32Array | Float64Array;
  readonly n: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Writes where each pixel of an image comes from: its row and column, which may lie between pixels or outside. */
export type Places = (image: number, rows: Float64Array, columns: Float64Array) => void;

/** The image at (y, x) by its four neighbours; those outside are `fill`. Neighbours of weight 0 are not read. */
function sample(
  { data, height, width }: Images,
  plane: number,
  y: number,
  x: number,
  fill: number,
): number {
  const top = Math.floor(y);
  const left = Math.floor(x);
  let sum = 0;
  for (let i = 0; i < 4; ++i) {
    const row = top + (i >> 1);
    const column = left + (i & 1);
    const weight = (1 - Math.abs(y - row)) * (1 - Math.abs(x - column));
    if (!(weight > 0)) continue;
    const inside = row >= 0 && row < height && column >= 0 && column < width;
    sum += weight * (inside ? data[plane + row * width + column]! : fill);
  }
  return sum;
}

/** Every image taken from the places that are named for it, the same in all its channels. */
export function warp(images: Images, fill: number, places: Places): Float32Array | Float64Array {
  const { data, n, channels, height, width } = images;
  const size = height * width;
  const out = data.slice();
  const rows = new Float64Array(size);
  const columns = new Float64Array(size);
  for (let i = 0; i < n; ++i) {
    places(i, rows, columns);
    for (let c = 0; c < channels; ++c) {
      const plane = (i * channels + c) * size;
      for (let p = 0; p < size; ++p)
        out[plane + p] = sample(images, plane, rows[p]!, columns[p]!, fill);
    }
  }
  return out;
}

/** Smooths a field [height, width] by a Gaussian of standard deviation sigma, cut at 3 sigma; zeros lie outside. */
export function smooth(
  field: Float64Array,
  height: number,
  width: number,
  sigma: number,
): Float64Array {
  const radius = Math.ceil(3 * sigma);
  const kernel = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)),
  );
  const sum = kernel.reduce((a, b) => a + b, 0);
  kernel.forEach((v, i) => (kernel[i] = v / sum));
  const once = along(field, kernel, { lines: height, next: width, count: width, step: 1 });
  return along(once, kernel, { lines: width, next: 1, count: height, step: width });
}

/** How an axis lies in memory: `lines` of `count` entries, `step` apart; `next` from line to line. */
interface Axis {
  readonly lines: number;
  readonly next: number;
  readonly count: number;
  readonly step: number;
}

/** Convolves every line along an axis. */
function along(field: Float64Array, kernel: Float64Array, axis: Axis): Float64Array {
  const { lines, next, count, step } = axis;
  const radius = (kernel.length - 1) / 2;
  const out = new Float64Array(field.length);
  for (let line = 0; line < lines; ++line)
    for (let i = 0; i < count; ++i) {
      const last = Math.min(count - 1, i + radius);
      let total = 0;
      for (let j = Math.max(0, i - radius); j <= last; ++j)
        total += kernel[j - i + radius]! * field[line * next + j * step]!;
      out[line * next + i * step] = total;
    }
  return out;
}
