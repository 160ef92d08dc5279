// References of products, of what moves elements about, and of what makes tensors.
import { broadcastIndex, broadcastShape, count, type NDArray } from './harness.js';
import {
  bad,
  bools,
  build,
  ex,
  input,
  ints,
  norm,
  ravel,
  total,
  unravel,
  whole,
  wrongDtype,
  type Structured,
} from './arrays.js';

function matmul(a: NDArray, b: NDArray): NDArray {
  const A = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
  const B = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
  const [m, k, n] = [A.at(-2)!, A.at(-1)!, B.at(-1)!];
  const batch = broadcastShape(A.slice(0, -2), B.slice(0, -2));
  const [ia, ib] = [broadcastIndex(A.slice(0, -2), batch), broadcastIndex(B.slice(0, -2), batch)];
  const data: number[] = [];
  for (let t = 0; t < count(batch); ++t)
    for (let i = 0; i < m; ++i)
      for (let j = 0; j < n; ++j) {
        let sum = 0;
        for (let l = 0; l < k; ++l)
          sum += a.data[ia[t]! * m * k + i * k + l]! * b.data[ib[t]! * k * n + l * n + j]!;
        data.push(sum);
      }
  return {
    shape: [...batch, ...(a.shape.length === 1 ? [] : [m]), ...(b.shape.length === 1 ? [] : [n])],
    data,
  };
}
const SHAPES_OF_PRODUCTS = [
  [
    [3, 4],
    [4, 5],
  ],
  [[4], [4]],
  [[3, 4], [4]],
  [[4], [4, 3]],
  [
    [2, 3, 4],
    [4, 5],
  ],
  [[2, 3, 4], [4]],
  [[4], [2, 4, 3]],
  [
    [3, 4],
    [2, 4, 2],
  ],
  [
    [2, 3, 4],
    [2, 4, 2],
  ],
  [
    [2, 1, 3, 2],
    [2, 2, 3],
  ],
  [
    [1, 3, 2],
    [3, 2, 2],
  ],
  [
    [2, 0],
    [0, 3],
  ],
  [
    [0, 2],
    [2, 3],
  ],
  [
    [2, 3, 0],
    [0, 2],
  ],
  [
    [1, 1],
    [1, 1],
  ],
  [
    [7, 17],
    [17, 9],
  ],
  [
    [2, 2, 2, 2],
    [2, 2, 2, 2],
  ],
] as const;
const slice: NonNullable<Structured['f']> = ([x], o) => {
  const axis = norm(o['axis'] as number, x!.shape.length);
  const size = x!.shape[axis]!;
  const bound = (v: number): number => Math.max(0, Math.min(size, v < 0 ? v + size : v));
  const [start, end, step] = [
    bound(o['start'] as number),
    bound((o['end'] as number | undefined) ?? Infinity),
    (o['step'] as number | undefined) ?? 1,
  ];
  const shape = x!.shape.map((d, i) =>
    i === axis ? Math.max(0, Math.ceil((end - start) / step)) : d,
  );
  return build(
    shape,
    (at) =>
      x!.data[
        ravel(
          at.map((a, i) => (i === axis ? start + a * step : a)),
          x!.shape,
        )
      ]!,
  );
};
const random =
  (low: number, high: number): NonNullable<Structured['check']> =>
  (r, again, o) =>
    r.data.some((v) => !(v >= low && v < high))
      ? `not within [${low}, ${high})`
      : r.data.join() !== again.data.join()
        ? 'the same seed gave other numbers'
        : new Set(r.data).size < 2 || count(o['shape'] as number[]) !== r.data.length
          ? 'not random'
          : null;
const view = (): string => 'view';

export const SHAPED: Readonly<Record<string, Structured>> = {
  matmul: {
    f: ([a, b]) => matmul(a!, b!),
    examples: [
      ...SHAPES_OF_PRODUCTS.map(([a, b]) => ex([input(...a), input(...b)])),
      ex([whole(65, 130), whole(130, 67)]),
      ex([whole(2, 37, 70), whole(70, 35)]),
      ex([whole(5, 19, 21), whole(5, 21, 18)]),
      ex([whole(300), whole(300, 41)]),
    ],
    wrong: [
      bad('RangeError', ['[2, 3]', '[4, 2]'], [input(2, 3), input(4, 2)]),
      bad('RangeError', ['[2, 2, 3]', '[3, 3, 2]'], [input(2, 2, 3), input(3, 3, 2)]),
      bad('RangeError', ['[]', '[3]'], [input(), input(3)]),
      wrongDtype(ints([1, 1], 1), ints([1, 1], 1)),
    ],
  },
  linear: {
    f: ([x, w, b]) => {
      const [out, inner] = w!.shape as [number, number];
      const shape = [...x!.shape.slice(0, -1), out];
      return build(
        shape,
        (at, i) =>
          b!.data[at.at(-1)!]! +
          total(
            Array.from(
              { length: inner },
              (_, k) =>
                x!.data[Math.floor(i / out) * inner + k]! * w!.data[at.at(-1)! * inner + k]!,
            ),
          ),
      );
    },
    examples: [
      ...(
        [
          [[5, 4], 3],
          [[4], 3],
          [[2, 3, 4], 2],
          [[0, 4], 3],
          [[8, 17], 9],
          [[2, 0], 3],
          [[2, 2, 0], 3],
        ] as const
      ).map(([x, out]) => ex([input(...x), input(out, x.at(-1)!), input(out)])),
      ex([whole(33, 130), whole(67, 130), whole(67)]),
    ],
    wrong: [
      bad('RangeError', ['[2, 3]', '[4, 2]'], [input(2, 3), input(4, 2), input(4)]),
      bad('RangeError', ['[4, 3]', '[3]'], [input(2, 3), input(4, 3), input(3)]),
      bad('RangeError', ['weight', '[3]'], [input(2, 3), input(3), input(3)]),
      wrongDtype(ints([1, 1], 1), ints([1, 1], 1), ints([1], 1)),
    ],
  },
  where: {
    f: ([c, x, y]) => {
      const shape = broadcastShape(c!.shape, x!.shape, y!.shape);
      const [ic, ix, iy] = [c!, x!, y!].map((a) => broadcastIndex(a.shape, shape));
      return build(shape, (_, i) => (c!.data[ic![i]!] ? x!.data[ix![i]!]! : y!.data[iy![i]!]!));
    },
    examples: [
      ex([bools([2, 3], 1, 0, 0, 1, 1, 0), input(2, 3), input(2, 3)]),
      ex([bools([3], 1, 0, 1), input(2, 1), input(2, 3)]),
      ex([bools([2, 1], 1, 0), input(), input(3)]),
      ex([ints([2], 5, 0), input(2), input(2)]),
      ex([bools([], 1), input(3, 7), input(7)]),
    ],
    wrong: [
      bad('RangeError', ['[2]', '[3]'], [bools([2], 1, 0), input(3), input(3)]),
      bad('RangeError', ['[3]', '[2]'], [bools([], 1), input(3), input(2)]),
    ],
  },
  reshape: {
    f: ([x], o) => {
      const shape = o['shape'] as number[];
      const known = shape.reduce((a, d) => (d < 0 ? a : a * d), 1);
      return { shape: shape.map((d) => (d < 0 ? x!.data.length / known : d)), data: x!.data };
    },
    examples: [[6, 2], [-1], [2, -1, 3], [1, 12, 1]].map((shape) => ex([input(3, 4)], { shape })),
    wrong: [
      bad('RangeError', ['[3, 4]', '[5, 2]'], [input(3, 4)], { shape: [5, 2] }),
      bad('RangeError', ['-1'], [input(3, 4)], { shape: [-1, -1] }),
      bad('RangeError', ['[3, 4]'], [input(3, 4)], { shape: [5, -1] }),
    ],
    int32: true,
    kernel: view,
  },
  permute: {
    f: ([x], o) => {
      const axes = (o['axes'] as number[]).map((a) => norm(a, x!.shape.length));
      return build(
        axes.map((a) => x!.shape[a]!),
        (at) => {
          const from = new Array<number>(at.length);
          axes.forEach((a, i) => (from[a] = at[i]!));
          return x!.data[ravel(from, x!.shape)]!;
        },
      );
    },
    examples: [
      ...[
        [1, 0, 2],
        [2, 0, 1],
        [-1, 0, 1],
        [0, 1, 2],
      ].map((axes) => ex([input(2, 3, 4)], { axes })),
      ex([whole(67, 130)], { axes: [1, 0] }),
      ex([whole(13, 9, 37)], { axes: [2, 0, 1] }),
      ex([whole(13, 9, 37)], { axes: [1, 0, 2] }),
    ],
    wrong: [
      bad('RangeError', ['axes', '[2, 3]'], [input(2, 3)], { axes: [0] }),
      bad('RangeError', ['axes'], [input(2, 3)], { axes: [0, 0] }),
      bad('RangeError', ['axes'], [input(2, 3)], { axes: [0, 2] }),
    ],
    int32: true,
    kernel: view,
  },
  broadcastTo: {
    f: ([x], o) => {
      const wanted = o['shape'] as number[];
      const shape = wanted.map((d, i) =>
        d < 0 ? x!.shape[i - wanted.length + x!.shape.length]! : d,
      );
      return { shape, data: broadcastIndex(x!.shape, shape).map((i) => x!.data[i]!) };
    },
    examples: [
      ex([input(3, 1)], { shape: [3, 4] }),
      ex([input(3, 1)], { shape: [2, 3, 2] }),
      ex([input()], { shape: [2, 2] }),
      ex([input(2, 1)], { shape: [-1, 3] }),
      ex([input(1, 2)], { shape: [0, 2] }),
    ],
    wrong: [
      bad('RangeError', ['[3]', '[2, 4]'], [input(3)], { shape: [2, 4] }),
      bad('RangeError', ['[2, 3]', '[3]'], [input(2, 3)], { shape: [3] }),
    ],
    int32: true,
    kernel: view,
  },
  slice: {
    f: slice,
    examples: [
      ex([input(4, 3)], { axis: 0, start: 1, end: 3 }),
      ex([input(4, 7)], { axis: 1, start: 1, step: 2 }),
      ex([input(4, 7)], { axis: -1, start: 0, end: -1, step: 3 }),
      ex([input(9)], { axis: 0, start: -4 }),
      ex([input(5, 2)], { axis: 0, start: 4, end: 2 }),
      ex([input(5, 2)], { axis: 0, start: 0, end: Infinity, step: 4 }),
      ex([input(5, 2)], { axis: 0, start: -9, end: 7 }),
    ],
    wrong: [
      bad('RangeError', ['step'], [input(4)], { axis: 0, start: 0, step: 0 }),
      bad('RangeError', ['step'], [input(4)], { axis: 0, start: 0, step: -1 }),
      bad('RangeError', ['start'], [input(4)], { axis: 0, start: 0.5 }),
      bad('RangeError', ['axis'], [input(4)], { axis: 1, start: 0 }),
      bad('RangeError', ['scalar'], [input()], { axis: 0, start: 0 }),
    ],
    int32: true,
    kernel: view,
  },
  concat: {
    f: (xs, o) => {
      const axis = norm((o['axis'] ?? 0) as number, xs[0]!.shape.length);
      const shape = xs[0]!.shape.map((d, i) =>
        i === axis ? total(xs.map((x) => x.shape[i]!)) : d,
      );
      return build(shape, (at) => {
        let which = 0;
        let row = at[axis]!;
        while (row >= xs[which]!.shape[axis]!) row -= xs[which++]!.shape[axis]!;
        return xs[which]!.data[
          ravel(
            at.map((a, i) => (i === axis ? row : a)),
            xs[which]!.shape,
          )
        ]!;
      });
    },
    examples: [
      ...[
        ex([input(2, 3), input(1, 3), input(4, 3)]),
        ex([input(2, 3), input(2, 2)], { axis: 1 }),
        ex([input(2, 2, 2), input(2, 2, 1), input(2, 2, 0)], { axis: -1 }),
        ex([input(5)]),
      ],
      ex([whole(67, 35), whole(67, 30)], { axis: 1 }),
    ],
    wrong: [
      bad('RangeError', ['[2, 3]', '[2, 2]'], [input(2, 3), input(2, 2)]),
      bad('RangeError', ['empty'], []),
      bad('RangeError', ['scalars'], [input(), input()]),
    ],
    int32: true,
  },
  indexSelect: {
    f: ([x, index], o) => {
      const axis = norm((o['axis'] ?? 0) as number, x!.shape.length);
      return build(
        x!.shape.map((d, i) => (i === axis ? index!.data.length : d)),
        (at) =>
          x!.data[
            ravel(
              at.map((a, i) => (i === axis ? index!.data[a]! : a)),
              x!.shape,
            )
          ]!,
      );
    },
    examples: [
      ...[
        ex([input(5, 3), ints([4], 4, 0, 4, 4)]),
        ex([input(2, 5), ints([3], 1, 3, 1)], { axis: 1 }),
        ex([input(2, 3, 2), ints([5], 2, 2, 0, 1, 2)], { axis: -2 }),
        ex([input(3), ints([0])]),
      ],
      ex([whole(40, 70), ints([5], 39, 0, 7, 7, 1)]),
      ex([whole(40, 70), ints([5], 69, 0, 7, 7, 1)], { axis: 1 }),
    ],
    wrong: [
      bad('RangeError', ['3'], [input(3), ints([1], 3)]),
      bad('RangeError', ['-4'], [input(3), ints([1], -4)]),
      bad('RangeError', ['index', '[1, 1]'], [input(3), ints([1, 1], 0)]),
      bad('TypeError', ['index', 'int32'], [input(3), input(1)]),
      bad('RangeError', ['axis'], [input(3), ints([1], 0)], { axis: 1 }),
    ],
  },
  pad: {
    f: ([x], o) => {
      const padding = o['padding'] as [number, number][];
      return build(
        x!.shape.map((d, i) => d + padding[i]![0] + padding[i]![1]),
        (at) => {
          const from = at.map((a, i) => a - padding[i]![0]);
          return from.every((a, i) => a >= 0 && a < x!.shape[i]!)
            ? x!.data[ravel(from, x!.shape)]!
            : ((o['value'] ?? 0) as number);
        },
      );
    },
    examples: [
      ...[
        ex([input(3, 4)], {
          padding: [
            [1, 2],
            [0, 1],
          ],
          value: 0.5,
        }),
        ex([input(3)], { padding: [[0, 0]] }),
        ex([input(2, 0)], {
          padding: [
            [0, 1],
            [2, 1],
          ],
          value: -1,
        }),
        ex([input(2, 2, 2)], {
          padding: [
            [0, 0],
            [3, 0],
            [0, 1],
          ],
        }),
      ],
      ex([whole(67, 35)], {
        padding: [
          [1, 2],
          [3, 4],
        ],
      }),
    ],
    wrong: [
      bad('RangeError', ['padding'], [input(3)], { padding: [[-1, 0]] }),
      bad('RangeError', ['padding'], [input(3)], { padding: [] }),
      bad('TypeError', ['padding'], [input(3)], { padding: [[1]] }),
    ],
    int32: true,
  },
  cast: {
    f: ([x]) => ({ ...x!, dtype: 'float64' }),
    // The other dtypes are in catalogue.test.ts.
    examples: [ex([input(2, 3)], { dtype: 'float64' }), ex([input()], { dtype: 'float64' })],
  },
  clone: {
    f: ([x]) => x!,
    examples: [
      ...[ex([input(3, 5)]), ex([input()]), ex([input(0, 2)])],
      ex([whole(129, 67)]),
      ex([whole(5, 37, 11)]),
    ],
    int32: true,
  },
  sumTo: {
    f: ([x], o) => {
      const shape = o['shape'] as number[];
      const data = new Array<number>(count(shape)).fill(0);
      broadcastIndex(shape, x!.shape).forEach((to, i) => (data[to]! += x!.data[i]!));
      return { shape, data };
    },
    examples: [
      ...[
        ex([input(2, 3, 4)], { shape: [3, 1] }),
        ex([input(2, 3, 4)], { shape: [] }),
        ex([input(2, 3, 4)], { shape: [2, 1, 4] }),
        ex([input(0, 3)], { shape: [3] }),
      ],
      ex([whole(40, 70)], { shape: [70] }),
      ex([whole(7, 40, 9)], { shape: [40, 1] }),
    ],
    wrong: [bad('RangeError', ['[2, 3]', '[2]'], [input(2, 3)], { shape: [2] })],
  },
  indexAdd: {
    f: ([g, index], o) => {
      const axis = norm(o['axis'] as number, g!.shape.length);
      const shape = g!.shape.map((d, i) => (i === axis ? (o['size'] as number) : d));
      const data = new Array<number>(count(shape)).fill(0);
      g!.data.forEach((v, i) => {
        const at = unravel(i, g!.shape);
        data[
          ravel(
            at.map((a, j) => (j === axis ? index!.data[a]! : a)),
            shape,
          )
        ]! += v;
      });
      return { shape, data };
    },
    examples: [
      ex([input(4, 3), ints([4], 1, 0, 1, 1)], { axis: 0, size: 5 }),
      ex([input(2, 3), ints([3], 3, 1, 3)], { axis: 1, size: 4 }),
    ],
    wrong: [
      bad('RangeError', ['[4, 3]', '[2]'], [input(4, 3), ints([2], 0, 0)], { axis: 0, size: 5 }),
      bad('RangeError', ['5'], [input(1), ints([1], 5)], { axis: 0, size: 5 }),
    ],
  },
  full: {
    f: (_, o) => build(o['shape'] as number[], () => o['value'] as number, 'float64'),
    examples: [
      ex([], { shape: [2, 3], dtype: 'float64', value: 1.5 }),
      ex([], { shape: [0], dtype: 'float64', value: 1 }),
    ],
    noGradient: true,
  },
  arange: {
    f: (_, o) =>
      build(
        [o['count'] as number],
        (_at, i) => (o['start'] as number) + i * (o['step'] as number),
        'float64',
      ),
    examples: [ex([], { count: 7, dtype: 'float64', start: -1, step: 0.5 })],
    noGradient: true,
  },
  eye: {
    f: (_, o) =>
      build([o['rows'] as number, o['columns'] as number], ([i, j]) => Number(i === j), 'float64'),
    examples: [ex([], { rows: 3, columns: 4, dtype: 'float64' })],
    noGradient: true,
  },
  uniform: {
    check: random(-2, 3),
    examples: [ex([], { shape: [5, 7], dtype: 'float64', low: -2, high: 3, seed: 7, stream: 1 })],
    noGradient: true,
  },
  normal: {
    check: random(-9, 9),
    examples: [
      ex([], { shape: [5, 7], dtype: 'float32', mean: 0, deviation: 1, seed: 7, stream: 1 }),
    ],
    noGradient: true,
  },
  randint: {
    check: random(0, 10),
    examples: [ex([], { shape: [5, 7], dtype: 'int32', low: 0, high: 10, seed: 7, stream: 1 })],
    noGradient: true,
  },
};
