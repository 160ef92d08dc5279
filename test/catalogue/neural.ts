// References of convolution, pooling, normalisation and dropout, naive on purpose.
import {
  bad,
  build,
  ex,
  input,
  positive,
  total,
  whole,
  wrongDtype,
  type Structured,
} from './arrays.js';
import { count, type NDArray, type Options } from './harness.js';

type Two = readonly [number, number];
const two = (v: unknown, otherwise: unknown): Two => {
  const given = v ?? otherwise;
  return typeof given === 'number' ? [given, given] : (given as Two);
};
const zeros = (shape: readonly number[]): NDArray & { data: number[] } => ({
  shape,
  data: new Array<number>(count(shape)).fill(0),
});

/** Every product of a convolution: the indices of x (-1 in the padding), w and y that meet. */
function products(
  xs: readonly number[],
  ws: readonly number[],
  ys: readonly number[],
  o: Options,
  f: (x: number, w: number, y: number) => void,
): void {
  const [n, c, h, w] = xs as [number, number, number, number];
  const [out, cg, kh, kw] = ws as [number, number, number, number];
  const [oh, ow] = ys.slice(2) as [number, number];
  const [s, p, d] = [two(o['stride'], 1), two(o['padding'], 0), two(o['dilation'], 1)];
  const og = out / ((o['groups'] as number | undefined) ?? 1);
  for (let i = 0; i < n; ++i)
    for (let k = 0; k < out; ++k)
      for (let a = 0; a < oh; ++a)
        for (let b = 0; b < ow; ++b)
          for (let j = 0; j < cg; ++j)
            for (let u = 0; u < kh; ++u)
              for (let v = 0; v < kw; ++v) {
                const y = a * s[0] + u * d[0] - p[0];
                const x = b * s[1] + v * d[1] - p[1];
                const channel = Math.floor(k / og) * cg + j;
                const inside = y >= 0 && y < h && x >= 0 && x < w;
                f(
                  inside ? ((i * c + channel) * h + y) * w + x : -1,
                  ((k * cg + j) * kh + u) * kw + v,
                  ((i * out + k) * oh + a) * ow + b,
                );
              }
}
function convolve(x: NDArray, w: NDArray, bias: NDArray | undefined, o: Options): NDArray {
  const [s, p, d] = [two(o['stride'], 1), two(o['padding'], 0), two(o['dilation'], 1)];
  const size = [0, 1].map(
    (i) =>
      Math.floor((x.shape[2 + i]! + 2 * p[i]! - d[i]! * (w.shape[2 + i]! - 1) - 1) / s[i]!) + 1,
  );
  const y = zeros([x.shape[0]!, w.shape[0]!, ...size]);
  products(x.shape, w.shape, y.shape, o, (i, j, k) => {
    y.data[k]! += (i < 0 ? 0 : x.data[i]!) * w.data[j]!;
  });
  const pixels = size[0]! * size[1]!;
  if (bias)
    y.data.forEach((_, i) => {
      y.data[i]! += bias.data[Math.floor(i / pixels) % w.shape[0]!]!;
    });
  return y;
}
const sizes = (o: Options): number[] => [o['height'] as number, o['width'] as number];

/** f of every window: its elements (-1 outside) and its index. */
function windows(
  xs: readonly number[],
  ys: readonly number[],
  o: Options,
  f: (elements: number[], at: number) => void,
): void {
  const k = two(o['kernelSize'], 1);
  const [s, p] = [two(o['stride'], k), two(o['padding'], 0)];
  const [h, w, oh, ow] = [xs[2]!, xs[3]!, ys[2]!, ys[3]!];
  for (let plane = 0; plane < xs[0]! * xs[1]!; ++plane)
    for (let a = 0; a < oh; ++a)
      for (let b = 0; b < ow; ++b) {
        const elements: number[] = [];
        for (let u = 0; u < k[0]; ++u)
          for (let v = 0; v < k[1]; ++v) {
            const [y, x] = [a * s[0] + u - p[0], b * s[1] + v - p[1]];
            const inside = y >= 0 && y < h && x >= 0 && x < w;
            elements.push(inside ? (plane * h + y) * w + x : -1);
          }
        f(elements, (plane * oh + a) * ow + b);
      }
}
function pooled(xs: readonly number[], o: Options): number[] {
  const k = two(o['kernelSize'], 1);
  const [s, p] = [two(o['stride'], k), two(o['padding'], 0)];
  return xs.map((d, i) =>
    i < 2 ? d : Math.floor((d + 2 * p[i - 2]! - k[i - 2]!) / s[i - 2]!) + 1,
  );
}
/** Where each window has its first NaN, or its first largest element. */
function maxima(x: NDArray, o: Options): number[] {
  const at: number[] = [];
  windows(x.shape, pooled(x.shape, o), o, (elements, i) => {
    const inside = elements.filter((e) => e >= 0);
    const nan = inside.find((e) => Number.isNaN(x.data[e]));
    const top = Math.max(...inside.map((e) => x.data[e]!));
    at[i] = nan ?? inside.find((e) => x.data[e] === top)!;
  });
  return at;
}
function averages(g: NDArray, o: Options, shape: readonly number[]): NDArray {
  const k = two(o['kernelSize'], 1);
  const dx = zeros(shape);
  windows(shape, g.shape, o, (elements, i) => {
    for (const e of elements) if (e >= 0) dx.data[e]! += g.data[i]! / (k[0] * k[1]);
  });
  return dx;
}

interface Normal {
  readonly hat: number[];
  readonly inv: number;
}
/** x̂ of one set of values. */
function normal(values: readonly number[], eps: number, own = true, m = 0, v = 1): Normal {
  const mean = own ? total(values) / values.length : m;
  const variance = own ? total(values.map((x) => (x - mean) ** 2)) / values.length : v;
  const inv = 1 / Math.sqrt(variance + eps);
  return { hat: values.map((x) => (x - mean) * inv), inv };
}
/** The gradient by the values: g is the one of x̂. */
function through(g: readonly number[], { hat, inv }: Normal): number[] {
  const mean = total(g) / g.length;
  const dot = total(g.map((v, i) => v * hat[i]!)) / g.length;
  return g.map((v, i) => inv * (v - mean - hat[i]! * dot));
}
const EPS = 1e-5;
const epsOf = (o: Options): number => (o['eps'] as number | undefined) ?? EPS;
const rowsOf = (x: NDArray, n: number): number[][] =>
  Array.from({ length: n ? x.data.length / n : 0 }, (_, r) => x.data.slice(r * n, r * n + n));
const channelOf = (x: NDArray, i: number): number =>
  Math.floor(i / count(x.shape.slice(2))) % x.shape[1]!;
const ofChannel = (x: NDArray, of: NDArray, c: number): number[] =>
  of.data.filter((_, i) => channelOf(x, i) === c);
/** f(channel) gives the channel's elements in order. */
function byChannel(x: NDArray, f: (c: number) => number[]): NDArray {
  const columns = Array.from({ length: x.shape[1]! }, (_, c) => f(c));
  const at = columns.map(() => 0);
  return {
    shape: x.shape,
    data: x.data.map((_, i) => {
      const c = channelOf(x, i);
      return columns[c]![at[c]!++]!;
    }),
  };
}
const moments = (x: NDArray): NDArray => {
  const c = x.shape[1]!;
  const columns = Array.from({ length: c }, (_, k) => ofChannel(x, x, k));
  const means = columns.map((v) => total(v) / v.length);
  return {
    shape: [2, c],
    data: [
      ...means,
      ...columns.map((v, k) => total(v.map((a) => (a - means[k]!) ** 2)) / v.length),
    ],
  };
};
const own = (x: NDArray, m: NDArray, c: number, eps: number): Normal =>
  normal(ofChannel(x, x, c), eps, false, m.data[c], m.data[x.shape[1]! + c]);
const channelSums = (g: NDArray, x: NDArray, m: NDArray, eps: number): NDArray => {
  const columns = Array.from({ length: x.shape[1]! }, (_, c) => c);
  return {
    shape: [2, columns.length],
    data: [
      ...columns.map((c) => total(ofChannel(x, g, c))),
      ...columns.map((c) => {
        const { hat } = own(x, m, c, eps);
        return total(ofChannel(x, g, c).map((v, i) => v * hat[i]!));
      }),
    ],
  };
};
/** A batch with its moments, as the op's callers give them. */
const batch = (...shape: number[]): [NDArray, NDArray] => {
  const x = input(...shape);
  return [x, moments(x)];
};

/** Word `i` of Philox4x32-10 with key `seed`, stream `stream`: Salmon et al. 2011, by big integers. */
function philoxWord(seed: number, stream: number, i: number): number {
  const low = (v: bigint): bigint => v & 0xffffffffn;
  const [k, s] = [BigInt(seed), BigInt(stream)];
  let [c0, c1, c2, c3] = [BigInt(Math.floor(i / 4)), 0n, low(s), s >> 32n];
  let [k0, k1] = [low(k), k >> 32n];
  for (let round = 0; round < 10; ++round) {
    const [a, b] = [0xd2511f53n * c0, 0xcd9e8d57n * c2];
    [c0, c1, c2, c3] = [(b >> 32n) ^ c1 ^ k0, low(b), (a >> 32n) ^ c3 ^ k1, low(a)];
    [k0, k1] = [low(k0 + 0x9e3779b9n), low(k1 + 0xbb67ae85n)];
  }
  return Number([c0, c1, c2, c3][i % 4]!);
}

const POOLS: readonly [number[], Options][] = [
  [[1, 2, 4, 5], { kernelSize: 2 }],
  [[2, 1, 5, 4], { kernelSize: 3, stride: 2, padding: 1 }],
  [[1, 1, 4, 6], { kernelSize: [2, 3], stride: [1, 2], padding: [1, 0] }],
  [[1, 1, 3, 7], { kernelSize: [1, 2], stride: 3 }],
  [[1, 1, 4, 41], { kernelSize: 2 }],
  [[1, 1, 3, 61], { kernelSize: [2, 4], stride: [2, 3], padding: [1, 2] }],
  [[1, 1, 3, 38], { kernelSize: 3, stride: 1, padding: 1 }],
  [[0, 2, 3, 3], { kernelSize: 2 }],
];
const BIG_POOL: [number[], Options] = [[3, 5, 33, 37], { kernelSize: 3, stride: 2, padding: 1 }];
const poolErrors = (xs: (...shape: number[]) => NDArray[]): NonNullable<Structured['wrong']> => [
  bad('RangeError', ['kernelSize', 'larger', '[1, 1, 2, 5]'], xs(1, 1, 2, 5), { kernelSize: 3 }),
  bad('RangeError', ['padding', 'half'], xs(1, 1, 4, 4), { kernelSize: 2, padding: 2 }),
  bad('RangeError', ['stride'], xs(1, 1, 4, 4), { kernelSize: 2, stride: 0 }),
  bad('RangeError', ['kernelSize'], xs(1, 1, 4, 4), { kernelSize: 0 }),
  bad('RangeError', ['4 dimensions', '[4, 4]'], xs(4, 4), { kernelSize: 2 }),
];

/** [x, weight, options] */
const CONVOLUTIONS: readonly [number[], number[], Options][] = [
  [[1, 2, 4, 3], [2, 2, 2, 2], {}],
  [[1, 2, 4, 4], [4, 1, 2, 2], { stride: [2, 1], padding: [1, 0], groups: 2 }],
  [[2, 1, 4, 4], [2, 1, 2, 2], { dilation: 2, padding: 1 }],
  [[2, 2, 2, 2], [3, 2, 1, 1], {}],
  [[1, 4, 2, 2], [2, 2, 1, 1], { groups: 2 }],
  [[1, 1, 3, 4], [1, 1, 3, 3], { stride: [1, 3], padding: [2, 1] }],
  [[1, 1, 5, 5], [2, 1, 1, 1], { stride: 2 }],
  [[0, 1, 3, 3], [1, 1, 2, 2], {}],
];
/** Several tiles, groups, blocks of channels and runs of images; sums of small integers are exact. */
const BIG_CONVOLUTIONS: typeof CONVOLUTIONS = [
  [[2, 2, 60, 50], [3, 2, 3, 3], { padding: 1 }],
  [[5, 4, 13, 17], [6, 2, 3, 3], { groups: 2, stride: 2, padding: [1, 2] }],
  [[1, 70, 5, 6], [3, 70, 3, 3], { padding: 1 }],
  [[3, 12, 19, 17], [10, 12, 1, 1], {}],
  [[5, 3, 3, 3], [9, 3, 1, 1], {}],
  [[40, 64, 5, 5], [3, 64, 3, 3], { padding: 1 }],
  [[9, 65, 6, 9], [2, 65, 2, 2], { dilation: 2 }],
  [[2, 3, 5, 75], [9, 3, 3, 3], { stride: 2, padding: 1 }],
  [[2, 2, 5, 70], [3, 2, 2, 4], { stride: [1, 3], padding: [3, 5] }],
  [[130, 2, 1, 1], [17, 2, 3, 3], { padding: 1 }],
];
const resultOf = ([x, w, o]: (typeof CONVOLUTIONS)[number]): number[] => [
  ...convolve(zeros(x), zeros(w), undefined, o).shape,
];
const biasErrors: NonNullable<Structured['wrong']> = [
  bad('RangeError', ['[2, 1, 2, 2]', '[3]'], [input(1, 1, 3, 3), input(2, 1, 2, 2), input(3)]),
];
const convolutionErrors = (...rest: NDArray[]): NonNullable<Structured['wrong']> => [
  bad(
    'RangeError',
    ['kernel', 'larger than the padded input', '[1, 1, 2, 3]', '[1, 1, 3, 3]'],
    [input(1, 1, 2, 3), input(1, 1, 3, 3), ...rest],
  ),
  bad('RangeError', ['larger'], [input(1, 1, 4, 4), input(1, 1, 2, 2), ...rest], { dilation: 4 }),
  bad('RangeError', ['groups 2', '3'], [input(1, 3, 3, 3), input(1, 1, 2, 2), ...rest], {
    groups: 2,
  }),
  bad(
    'RangeError',
    ['[1, 3, 3, 3]', '[1, 2, 2, 2]'],
    [input(1, 3, 3, 3), input(1, 2, 2, 2), ...rest],
  ),
  bad('RangeError', ['4 dimensions', '[3, 3]'], [input(3, 3), input(1, 1, 2, 2), ...rest]),
  bad('RangeError', ['stride'], [input(1, 1, 3, 3), input(1, 1, 2, 2), ...rest], { stride: 0 }),
  bad('RangeError', ['groups'], [input(1, 1, 3, 3), input(1, 1, 2, 2), ...rest], { groups: 0 }),
];

export const NEURAL: Readonly<Record<string, Structured>> = {
  conv2d: {
    f: ([x, w, b], o) => convolve(x!, w!, b, o),
    examples: [
      ...CONVOLUTIONS.map(([x, w, o]) => ex([input(...x), input(...w), input(w[0]!)], o)),
      ...BIG_CONVOLUTIONS.map(([x, w, o]) => ex([whole(...x), whole(...w), whole(w[0]!)], o)),
    ],
    wrong: [
      ...convolutionErrors(input(1)),
      ...biasErrors,
      bad(
        'TypeError',
        ['float32 or float64'],
        [
          { shape: [1, 1, 1, 1], data: [1], dtype: 'bool' },
          { shape: [1, 1, 1, 1], data: [1], dtype: 'bool' },
          { shape: [1], data: [1], dtype: 'bool' },
        ],
      ),
    ],
  },
  convolve2d: {
    f: ([x, w], o) => convolve(x!, w!, undefined, o),
    examples: [...CONVOLUTIONS, ...BIG_CONVOLUTIONS].map(([x, w, o], i) =>
      i < CONVOLUTIONS.length
        ? ex([input(...x), input(...w)], o)
        : ex([whole(...x), whole(...w)], o),
    ),
    wrong: convolutionErrors(),
  },
  conv2dInput: {
    f: ([g, w], o) => {
      const groups = (o['groups'] as number | undefined) ?? 1;
      const dx = zeros([g!.shape[0]!, w!.shape[1]! * groups, ...sizes(o)]);
      products(dx.shape, w!.shape, g!.shape, o, (i, j, k) => {
        if (i >= 0) dx.data[i]! += g!.data[k]! * w!.data[j]!;
      });
      return dx;
    },
    examples: [...CONVOLUTIONS, ...BIG_CONVOLUTIONS].map((c, i) => {
      const [x, w, o] = c;
      const make = i < CONVOLUTIONS.length ? input : whole;
      return ex([make(...resultOf(c)), make(...w)], { ...o, height: x[2]!, width: x[3]! });
    }),
    wrong: [
      bad('RangeError', ['[1, 2, 2, 2]', '[3, 1, 2, 2]'], [input(1, 2, 2, 2), input(3, 1, 2, 2)], {
        height: 3,
        width: 3,
      }),
      bad('RangeError', ['size'], [input(1, 1, 2, 2), input(1, 1, 2, 2)], { height: 4, width: 3 }),
    ],
  },
  conv2dWeight: {
    f: ([x, g], o) => {
      const groups = (o['groups'] as number | undefined) ?? 1;
      const dw = zeros([g!.shape[1]!, x!.shape[1]! / groups, ...sizes(o)]);
      products(x!.shape, dw.shape, g!.shape, o, (i, j, k) => {
        dw.data[j]! += g!.data[k]! * (i < 0 ? 0 : x!.data[i]!);
      });
      return dw;
    },
    examples: [...CONVOLUTIONS, ...BIG_CONVOLUTIONS].map((c, i) => {
      const [x, w, o] = c;
      const make = i < CONVOLUTIONS.length ? input : whole;
      return ex([make(...x), make(...resultOf(c))], { ...o, height: w[2]!, width: w[3]! });
    }),
    wrong: [
      bad('RangeError', ['images', '[2, 1, 3, 3]'], [input(2, 1, 3, 3), input(1, 1, 2, 2)], {
        height: 2,
        width: 2,
      }),
    ],
  },
  maxPool2d: {
    f: ([x], o) => ({
      shape: pooled(x!.shape, o),
      data: maxima(x!, o).map((i) => x!.data[i]!),
    }),
    examples: [
      ...POOLS.map(([x, o]) => ex([input(...x)], o)),
      ex([whole(...BIG_POOL[0])], BIG_POOL[1]),
    ],
    wrong: [
      ...poolErrors((...s) => [input(...s)]),
      {
        ...wrongDtype({ shape: [1, 1, 1, 1], data: [1], dtype: 'int32' }),
        options: { kernelSize: 1 },
      },
    ],
    conventions: [
      {
        inputs: [{ shape: [1, 1, 2, 3], data: [1, 1, 0, 1, 1, 0] }],
        options: { kernelSize: 2, stride: 1 },
        gradient: [1, 1, 0, 0, 0, 0],
      },
    ],
  },
  maxPool2dBackward: {
    f: ([g, x], o) => {
      const dx = zeros(x!.shape);
      maxima(x!, o).forEach((to, i) => (dx.data[to]! += g!.data[i]!));
      return dx;
    },
    examples: [...POOLS, BIG_POOL].map(([x, o]) =>
      ex([(x === BIG_POOL[0] ? whole : input)(...pooled(x, o)), input(...x)], o),
    ),
    wrong: [
      bad('RangeError', ['[1, 1, 1, 1]', '[1, 1, 2, 2]'], [input(1, 1, 1, 1), input(1, 1, 4, 4)], {
        kernelSize: 2,
      }),
    ],
  },
  maxPool2dSelect: {
    f: ([y, x], o) => ({
      shape: pooled(x!.shape, o),
      data: maxima(x!, o).map((i) => y!.data[i]!),
    }),
    examples: [...POOLS, BIG_POOL].map(([x, o]) => ex([input(...x), input(...x)], o)),
    wrong: [
      bad('RangeError', ['[1, 1, 3, 4]', '[1, 1, 4, 4]'], [input(1, 1, 3, 4), input(1, 1, 4, 4)], {
        kernelSize: 2,
      }),
    ],
  },
  avgPool2d: {
    f: ([x], o) => {
      const k = two(o['kernelSize'], 1);
      const y = zeros(pooled(x!.shape, o));
      windows(x!.shape, y.shape, o, (elements, i) => {
        y.data[i] = total(elements.map((e) => (e < 0 ? 0 : x!.data[e]!))) / (k[0] * k[1]);
      });
      return y;
    },
    examples: [
      ...POOLS.map(([x, o]) => ex([input(...x)], o)),
      ex([whole(...BIG_POOL[0])], BIG_POOL[1]),
    ],
    wrong: poolErrors((...s) => [input(...s)]),
  },
  avgPool2dBackward: {
    f: ([g], o) => averages(g!, o, [...g!.shape.slice(0, 2), ...sizes(o)]),
    examples: [...POOLS, BIG_POOL].map(([x, o]) =>
      ex([input(...pooled(x, o))], { ...o, height: x[2]!, width: x[3]! }),
    ),
    wrong: [
      bad('RangeError', ['[1, 1, 1, 1]', '[1, 1, 2, 2]'], [input(1, 1, 1, 1)], {
        kernelSize: 2,
        height: 4,
        width: 4,
      }),
    ],
  },
  layerNorm: {
    f: ([x, w, b], o) => {
      const n = w!.data.length;
      return {
        shape: x!.shape,
        data: rowsOf(x!, n).flatMap((r) =>
          normal(r, epsOf(o)).hat.map((v, i) => v * w!.data[i]! + b!.data[i]!),
        ),
      };
    },
    examples: [
      ex([input(3, 4), input(4), input(4)]),
      ex([input(2, 3, 2), input(3, 2), input(3, 2)], { eps: 0.1 }),
      ex([input(5), input(5), input(5)]),
      ex([input(0, 3), input(3), input(3)]),
      ex([input(7, 37), input(37), input(37)]),
    ],
    wrong: [
      bad('RangeError', ['[3, 4]', '[3]'], [input(3, 4), input(3), input(3)]),
      bad('RangeError', ['[4]', '[3]'], [input(3, 4), input(4), input(3)]),
      bad('RangeError', ['weight', '[]'], [input(3, 4), input(), input()]),
      bad('RangeError', ['eps'], [input(3, 4), input(4), input(4)], { eps: -1 }),
    ],
  },
  layerNormBackward: {
    f: ([g, x, w], o) => {
      const n = w!.data.length;
      const rows = rowsOf(x!, n);
      return {
        shape: x!.shape,
        data: rowsOf(g!, n).flatMap((r, k) =>
          through(
            r.map((v, i) => v * w!.data[i]!),
            normal(rows[k]!, epsOf(o)),
          ),
        ),
      };
    },
    examples: [
      ex([input(3, 4), input(3, 4), input(4)], { eps: EPS }),
      ex([input(5, 33), input(5, 33), input(33)], { eps: 0.1 }),
    ],
    infinite: [],
    noGradient: true,
  },
  layerNormSums: {
    f: ([g, x], o) => {
      const n = count(x!.shape.slice(x!.shape.length - (o['dims'] as number)));
      const hats = rowsOf(x!, n).map((r) => normal(r, epsOf(o)).hat);
      const gs = rowsOf(g!, n);
      return build([2, n], ([k, i]) =>
        total(gs.map((r, row) => r[i!]! * (k === 0 ? 1 : hats[row]![i!]!))),
      );
    },
    examples: [
      ex([input(3, 4), input(3, 4)], { dims: 1, eps: EPS }),
      ex([input(2, 3, 5), input(2, 3, 5)], { dims: 2, eps: 0.5 }),
      ex([input(300, 5), input(300, 5)], { dims: 1, eps: EPS }),
    ],
    infinite: [],
    noGradient: true,
  },
  channelMoments: {
    f: ([x]) => moments(x!),
    examples: [
      ex([input(5, 3)]),
      ex([input(2, 3, 2, 4)]),
      ex([input(2, 2, 9)]),
      ex([input(300, 37)]),
    ],
    wrong: [bad('RangeError', ['[4]'], [input(4)]), bad('RangeError', ['nothing'], [input(0, 3)])],
    infinite: [],
    noGradient: true,
  },
  channelNorm: {
    f: ([x, w, b, m], o) =>
      byChannel(x!, (c) => own(x!, m!, c, epsOf(o)).hat.map((v) => v * w!.data[c]! + b!.data[c]!)),
    examples: (
      [
        [5, 3],
        [2, 3, 2, 2],
        [40, 37],
      ] as const
    ).map((shape) => {
      const [x, m] = batch(...shape);
      return ex([x, input(shape[1]), input(shape[1]), m], { eps: EPS, training: true });
    }),
    wrong: [
      bad('RangeError', ['[2, 3]', '[2]'], [input(2, 3), input(2), input(3), positive(2, 3)], {
        eps: EPS,
        training: true,
      }),
    ],
    infinite: [1, 2],
    noGradient: true,
  },
  channelNormSums: {
    f: ([g, x, m], o) => channelSums(g!, x!, m!, epsOf(o)),
    examples: (
      [
        [5, 3],
        [2, 3, 2, 2],
        [300, 17],
      ] as const
    ).map((shape) => {
      const [x, m] = batch(...shape);
      return ex([input(...shape), x, m], { eps: EPS });
    }),
    infinite: [],
    noGradient: true,
  },
  channelNormBackward: {
    f: ([g, x, w, m, sums], o) =>
      byChannel(x!, (c) => {
        const { hat, inv } = own(x!, m!, c, epsOf(o));
        const [sum, dot] = [
          sums!.data[c]! / hat.length,
          sums!.data[x!.shape[1]! + c]! / hat.length,
        ];
        return ofChannel(x!, g!, c).map((v, i) => w!.data[c]! * inv * (v - sum - hat[i]! * dot));
      }),
    examples: (
      [
        [5, 3],
        [2, 3, 2, 2],
        [40, 37],
      ] as const
    ).map((shape) => {
      const [x, m] = batch(...shape);
      const g = input(...shape);
      return ex([g, x, input(shape[1]), m, channelSums(g, x, m, EPS)], { eps: EPS });
    }),
    infinite: [],
    noGradient: true,
  },
  drop: {
    f: ([x], o) => {
      const [p, seed, stream] = [o['p'], o['seed'], o['stream']] as number[];
      return {
        shape: x!.shape,
        data: x!.data.map((v, i) =>
          philoxWord(seed!, stream!, i) < p! * 2 ** 32 ? 0 : v / (1 - p!),
        ),
      };
    },
    examples: [
      ex([input(3, 7)], { p: 0.5, seed: 7, stream: 1 }),
      ex([input(5)], { p: 0, seed: 7, stream: 1 }),
      ex([input(5)], { p: 1, seed: 7, stream: 1 }),
      ex([input(613)], { p: 0.25, seed: 2 ** 40 + 5, stream: 2 ** 33 + 1 }),
    ],
    wrong: [
      bad('RangeError', ['p', '1.5'], [input(3)], { p: 1.5, seed: 1, stream: 0 }),
      bad('TypeError', ['float32 or float64'], [{ shape: [1], data: [1], dtype: 'int32' }], {
        p: 0.5,
        seed: 1,
        stream: 0,
      }),
    ],
  },
};
