// References of what works along axes: reductions, softmax and its kin, cross-entropy.
import { count, type NDArray, type Options } from './harness.js';
import {
  bad,
  build,
  ex,
  input,
  ints,
  norm,
  positive,
  ravel,
  total,
  unravel,
  wrongDtype,
  type Example,
  type Structured,
  type Wrong,
} from './arrays.js';

type Group = (values: number[], options: Options) => number;
function reduction(
  f: Group,
  index = false,
): (inputs: readonly NDArray[], options: Options) => NDArray {
  return ([x], options) => {
    const { shape, data } = x!;
    const given = (options['axis'] ?? null) as number | number[] | null;
    const axes = new Set(
      given === null ? shape.map((_, i) => i) : [given].flat().map((a) => norm(a, shape.length)),
    );
    const kept = shape.map((d, i) => (axes.has(i) ? 1 : d));
    const groups = Array.from({ length: count(kept) }, (): number[] => []);
    data.forEach((v, i) =>
      groups[
        ravel(
          unravel(i, shape).map((a, j) => (axes.has(j) ? 0 : a)),
          kept,
        )
      ]!.push(v),
    );
    const final = options['keepDims'] ? kept : shape.filter((_, i) => !axes.has(i));
    return {
      shape: final,
      data: groups.map((g) => f(g, options)),
      ...(index ? { dtype: 'int32' as const } : {}),
    };
  };
}
const logSumExp: Group = (v) => {
  const m = Math.max(...v);
  return Number.isFinite(m) ? m + Math.log(total(v.map((x) => Math.exp(x - m)))) : m;
};
const variance: Group = (v, { correction = 1 }) => {
  const mean = total(v) / v.length;
  return total(v.map((x) => (x - mean) ** 2)) / (v.length - (correction as number));
};
const REDUCED: readonly Example[] = [
  ex([input(2, 3, 4)]),
  ex([input(2, 3, 4)], { axis: null, keepDims: true }),
  ex([input(2, 3, 4)], { axis: 0 }),
  ex([input(2, 3, 4)], { axis: 1, keepDims: true }),
  ex([input(2, 3, 4)], { axis: -1 }),
  ex([input(2, 3, 4)], { axis: [0, 2] }),
  ex([input(2, 3, 4)], { axis: [2, 0], keepDims: true }),
  ex([input(2, 3, 2, 2)], { axis: [1, -1] }),
  ex([input(19)]),
  ex([input(5, 1)], { axis: 0 }),
  ex([input(0, 3)], { axis: 1 }),
];
const ONE_AXIS = REDUCED.filter((e) => !Array.isArray(e.options?.['axis']));
const SCALAR: Example = ex([input()]);
const badAxes: readonly Wrong[] = [
  bad('RangeError', ['axis'], [input(2, 3)], { axis: 2 }),
  bad('RangeError', ['axis'], [input(2, 3)], { axis: [0, 0] }),
  bad('RangeError', ['axis'], [input(2, 3)], { axis: [0, -2] }),
];
const nothing: Wrong = bad('RangeError', ['[0, 3]'], [input(0, 3)], { axis: 0 });
/** Applies f to each line along the axis. */
function lines(
  f: (...of: number[][]) => number[],
  axisOf: (o: Options) => number,
): NonNullable<Structured['f']> {
  return (inputs, options) => {
    const { shape } = inputs[0]!;
    const axis = norm(axisOf(options), shape.length);
    const data = new Array<number>(count(shape));
    for (let i = 0; i < data.length; ++i) {
      const at = unravel(i, shape);
      if (shape.length && at[axis] !== 0) continue;
      const members = Array.from({ length: shape[axis] ?? 1 }, (_, k) =>
        ravel(
          at.map((a, j) => (j === axis ? k : a)),
          shape,
        ),
      );
      f(...inputs.map((x) => members.map((m) => x.data[m]!))).forEach(
        (v, k) => (data[members[k]!] = v),
      );
    }
    return { shape, data };
  };
}
const axisOr =
  (fallback: number) =>
  (o: Options): number =>
    (o['axis'] ?? fallback) as number;
const softmax = (x: number[]): number[] => {
  const m = Math.max(...x);
  const e = x.map((v) => Math.exp(v - m));
  const sum = total(e);
  return e.map((v) => v / sum);
};
/** As PyTorch's: an infinite score makes the whole row NaN. */
const logSoftmax = (x: readonly number[]): number[] => {
  const m = Math.max(...x);
  const rest = Math.log(total(x.map((v) => Math.exp(v - m))));
  return x.map((v) => v - m - rest);
};
/** The place of the extreme; a NaN counts as more extreme than all numbers. */
const place =
  (extreme: (...v: number[]) => number): Group =>
  (v) => {
    const nan = v.findIndex(Number.isNaN);
    return nan >= 0 ? nan : v.indexOf(extreme(...v));
  };
const SOFTMAXED: readonly Example[] = [
  ex([input(3, 5)]),
  ex([input(4, 3, 2)], { axis: 0 }),
  ex([input(4, 3, 2)], { axis: 1 }),
  ex([input(2, 37)], { axis: -1 }),
  ex([input(4)]),
  ex([input(0, 4)]),
];
function crossEntropy(logits: NDArray, target: NDArray): NDArray {
  const [n, c] = logits.shape as [number, number];
  return build([n], (_, i) => {
    const row = logSoftmax(logits.data.slice(i * c, (i + 1) * c));
    return target.dtype === 'int32'
      ? -row[target.data[i]!]!
      : -total(row.map((v, j) => target.data[i * c + j]! * v));
  });
}
export const REDUCTIONS: Readonly<Record<string, Structured>> = {
  sum: {
    f: reduction(total),
    examples: [...REDUCED, SCALAR, ex([input(0)])],
    wrong: badAxes,
    int32: true,
  },
  mean: {
    f: reduction((v) => total(v) / v.length),
    examples: [...REDUCED, SCALAR, ex([input(0)])],
    wrong: badAxes,
  },
  max: {
    f: reduction((v) => Math.max(...v)),
    conventions: [
      { inputs: [{ shape: [4], data: [1, 3, 3, 2] }], gradient: [0, 0.5, 0.5, 0] },
      {
        inputs: [{ shape: [2, 3], data: [7, 7, 7, 1, 2, 1] }],
        options: { axis: 0 },
        gradient: [1, 1, 1, 0, 0, 0],
      },
      {
        inputs: [{ shape: [2, 3], data: [7, 7, 7, 1, 2, 1] }],
        options: { axis: 1 },
        gradient: [1 / 3, 1 / 3, 1 / 3, 0, 1, 0],
      },
    ],
    examples: [...REDUCED, SCALAR],
    wrong: [...badAxes, nothing],
    int32: true,
  },
  min: {
    f: reduction((v) => Math.min(...v)),
    conventions: [
      { inputs: [{ shape: [4], data: [3, 1, 1, 2] }], gradient: [0, 0.5, 0.5, 0] },
      {
        inputs: [{ shape: [2, 3], data: [7, 7, 7, 1, 2, 1] }],
        options: { axis: 0 },
        gradient: [0, 0, 0, 1, 1, 1],
      },
      {
        inputs: [{ shape: [2, 3], data: [7, 7, 7, 1, 2, 1] }],
        options: { axis: 1 },
        gradient: [1 / 3, 1 / 3, 1 / 3, 0.5, 0, 0.5],
      },
    ],
    examples: [...REDUCED, SCALAR],
    wrong: [...badAxes, nothing],
    int32: true,
  },
  logSumExp: {
    f: reduction(logSumExp),
    examples: [...REDUCED, SCALAR, ex([input(0)])],
    wrong: badAxes,
  },
  variance: {
    f: reduction(variance),
    examples: [
      ...REDUCED.filter((e) => e.inputs[0]!.shape[1] !== 1),
      ex([input(4, 3)], { axis: 0, correction: 0 }),
      ex([input(5)], { correction: 2.5 }),
    ],
    wrong: badAxes,
  },
  argmax: {
    f: reduction(place(Math.max), true),
    examples: [...ONE_AXIS, SCALAR],
    wrong: [...badAxes, nothing, bad('RangeError', ['axis'], [input(2, 3, 4)], { axis: [0, 1] })],
    noGradient: true,
    int32: true,
  },
  argmin: {
    f: reduction(place(Math.min), true),
    examples: [...ONE_AXIS, SCALAR],
    wrong: [...badAxes, nothing],
    noGradient: true,
    int32: true,
  },
  softmax: {
    f: lines(softmax, axisOr(-1)),
    examples: [...SOFTMAXED, ex([input(3, 1025)])],
    wrong: [wrongDtype(ints([2], 1, 2)), bad('RangeError', ['axis'], [input(2)], { axis: 1 })],
  },
  logSoftmax: {
    f: lines(logSoftmax, axisOr(-1)),
    examples: [...SOFTMAXED, ex([input(3, 1025)])],
    wrong: [wrongDtype(ints([2], 1, 2))],
  },
  softmaxBackward: {
    f: lines(
      (g, y) => y.map((v, i) => v * (g[i]! - total(g.map((a, j) => a * y[j]!)))),
      axisOr(-1),
    ),
    examples: [
      ex([input(3, 5), positive(3, 5)], { axis: 1 }),
      ex([input(3, 5), positive(3, 5)], { axis: 0 }),
    ],
    wrong: [bad('RangeError', ['[2, 3]', '[3, 2]'], [input(2, 3), input(3, 2)], { axis: 1 })],
    noGradient: true,
  },
  logSoftmaxBackward: {
    f: lines((g, y) => g.map((v, i) => v - Math.exp(y[i]!) * total(g)), axisOr(-1)),
    examples: [
      ex([input(3, 5), input(3, 5)], { axis: 1 }),
      ex([input(3, 5), input(3, 5)], { axis: 0 }),
    ],
    noGradient: true,
  },
  crossEntropy: {
    f: ([logits, target]) => crossEntropy(logits!, target!),
    infinite: [0],
    examples: [
      ...[
        ex([input(3, 5), ints([3], 4, 0, 2)]),
        ex([input(3, 5), positive(3, 5)]),
        ex([input(2, 19), ints([2], 18, 0)]),
        ex([input(0, 5), ints([0])]),
        ex([input(2, 1), ints([2], 0, 0)]),
      ],
      ex([input(5, 1025), ints([5], 1024, 0, 512, 7, 99)]),
    ],
    wrong: [
      bad('RangeError', ['[2, 3]', '[3]'], [input(2, 3), ints([3], 0, 0, 0)]),
      bad('RangeError', ['3'], [input(2, 3), ints([2], 0, 3)]),
      bad('RangeError', ['-1'], [input(2, 3), ints([2], 0, -1)]),
      bad('RangeError', ['[2, 3]', '[2, 2]'], [input(2, 3), input(2, 2)]),
      bad('RangeError', ['logits', '[2, 3, 4]'], [input(2, 3, 4), ints([2], 0, 0)]),
    ],
  },
  crossEntropyBackward: {
    f: ([g, logits, target]) => {
      const c = logits!.shape[1]!;
      return build(logits!.shape, ([i, j]) => {
        const p = softmax(logits!.data.slice(i! * c, (i! + 1) * c))[j!]!;
        const t =
          target!.dtype === 'int32'
            ? Array.from({ length: c }, (_, k) => Number(k === target!.data[i!]))
            : target!.data.slice(i! * c, (i! + 1) * c);
        return g!.data[i!]! * (p * total(t) - t[j!]!);
      });
    },
    examples: [
      ex([input(3), input(3, 5), ints([3], 4, 0, 2)]),
      ex([input(3), input(3, 5), positive(3, 5)]),
    ],
    wrong: [bad('RangeError', ['[2]', '[3, 2]'], [input(2), input(3, 2), ints([3], 0, 0, 0)])],
    noGradient: true,
    infinite: [1],
  },
};
