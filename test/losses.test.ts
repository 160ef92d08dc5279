// The losses that are made of several ops: against formulas written out in float64, gradients and gradients of
// gradients, and the memory they leave. Elementwise ones: catalogue.test.ts; ±1e4 and what is refused:
// losses-limits.test.ts.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { losses, type Tensor } from 'tapegrad';
import { checkComposed, checkJacobian, checkSecond } from './catalogue/gradients.js';
import { expectClose, make, sample, toTensor, type NDArray } from './catalogue/harness.js';
import { collect } from './collect.js';

type Loss = (...args: unknown[]) => Tensor;
type Options = Readonly<Record<string, unknown>>;
const lossNamed = (name: string): Loss => (losses as unknown as Record<string, Loss>)[name]!;

const array = (
  shape: number[],
  data: number[],
  dtype: 'float64' | 'int32' = 'float64',
): NDArray => ({
  shape,
  data,
  dtype,
});
const ids = (...data: number[]): NDArray => array([data.length], data, 'int32');
const scores = (seed: number, ...shape: number[]): NDArray =>
  array(
    shape,
    sample(
      seed,
      shape.reduce((a, b) => a * b, 1),
      [-2, 2],
      'float64',
    ),
  );
const probabilities = (seed: number, n: number, c: number): NDArray => {
  const raw = sample(seed, n * c, [0.1, 1], 'float64');
  const rowOf = (i: number): number[] => raw.slice(i * c, (i + 1) * c);
  return array(
    [n, c],
    raw.map((v, k) => v / total(rowOf(Math.floor(k / c)))),
  );
};
const total = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0);
const rowsOf = (a: NDArray): number[][] => {
  const c = a.shape[a.shape.length - 1]!;
  return Array.from({ length: a.data.length / c }, (_, i) => a.data.slice(i * c, (i + 1) * c));
};
const logSoftmax = (row: readonly number[]): number[] => {
  const top = Math.max(...row);
  const log = top + Math.log(total(row.map((v) => Math.exp(v - top))));
  return row.map((v) => v - log);
};
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

interface Case {
  readonly loss: string;
  readonly inputs: readonly NDArray[];
  readonly options?: Options;
  /** The unreduced losses. */
  readonly entries: readonly number[];
  /** What 'mean' divides their sum by; their number unless told. */
  readonly mean?: number;
  readonly shape?: readonly number[];
}

const x = scores(1, 4, 5);
const y = ids(0, 4, 2, 2);
const weight = [0.5, 2, 1.5, 1, 0.25];
const w = array([5], weight);
const soft = probabilities(2, 4, 5);
const logP = array([4, 5], rowsOf(x).flatMap(logSoftmax));
const smooth = (t: readonly number[], e: number): number[] =>
  t.map((v) => (1 - e) * v + e / t.length);
const hot = (c: number): number[] => [0, 1, 2, 3, 4].map((j) => Number(j === c));
/** -Σ_c w_c t_c log p_c. */
const entropy = (
  row: readonly number[],
  t: readonly number[],
  by: readonly number[] = [1, 1, 1, 1, 1],
): number => -total(logSoftmax(row).map((v, c) => v * t[c]! * by[c]!));
const overRows = (f: (row: number[], c: number, i: number) => number): number[] =>
  rowsOf(x).map((row, i) => f(row, y.data[i]!, i));

const costs = [0, 1, 2, 3, 1, 1, 0, 0.5, 2, 1, 2, 0.5, 0, 1, 1, 3, 2, 1, 0, 4, 1, 1, 1, 4, 0];
const cost = array([5, 5], costs);
const labels = array([4, 5], [1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0]);
const logits = scores(3, 4, 3);
const targets01 = array([4, 3], sample(4, 12, [0, 1], 'float64'));
const p01 = array([4, 3], sample(5, 12, [0.05, 0.95], 'float64'));
const posWeight = [0.5, 3, 2];
const entryWeight = [2, 0, 1, 0.5];
const bce = (p: number, t: number): number => -t * Math.log(p) - (1 - t) * Math.log1p(-p);
const bceLogits = (f: number, t: number, p = 1): number =>
  p * t * softplus(-f) + (1 - t) * softplus(f);

const relevance = [2, 0, 1, 2, 1, 0];
const query = [7, 7, 7, 3, 3, 3];
const ranked = scores(6, 6);
const pairHinge = (i: number, j: number, margin = 1): number =>
  Math.max(0, margin - (ranked.data[i]! - ranked.data[j]!));

const CASES: readonly Case[] = [
  {
    loss: 'crossEntropy',
    inputs: [x, y],
    options: { weight: w },
    entries: overRows((r, c) => weight[c]! * entropy(r, hot(c))),
    mean: total(y.data.map((c) => weight[c]!)),
  },
  {
    loss: 'crossEntropy',
    inputs: [x, y],
    options: { ignoreIndex: 2 },
    entries: overRows((r, c) => (c === 2 ? 0 : entropy(r, hot(c)))),
    mean: 2,
  },
  {
    loss: 'crossEntropy',
    inputs: [x, ids(-100, 4, 2, 1)],
    options: { ignoreIndex: -100, weight: w },
    entries: rowsOf(x).map((r, i) =>
      i === 0 ? 0 : weight[[0, 4, 2, 1][i]!]! * entropy(r, hot([0, 4, 2, 1][i]!)),
    ),
    mean: 0.25 + 1.5 + 2,
  },
  {
    loss: 'crossEntropy',
    inputs: [x, y],
    options: { labelSmoothing: 0.2 },
    entries: overRows((r, c) => entropy(r, smooth(hot(c), 0.2))),
  },
  {
    loss: 'crossEntropy',
    inputs: [x, y],
    options: { labelSmoothing: 0.3, weight: w, ignoreIndex: 4 },
    entries: overRows((r, c) => (c === 4 ? 0 : entropy(r, smooth(hot(c), 0.3), weight))),
    mean: 0.5 + 1.5 + 1.5,
  },
  {
    loss: 'crossEntropy',
    inputs: [x, soft],
    options: { labelSmoothing: 0.3, weight: w },
    entries: overRows((r, _c, i) => entropy(r, smooth(rowsOf(soft)[i]!, 0.3), weight)),
  },
  {
    loss: 'crossEntropy',
    inputs: [scores(8, 5), array([], [3], 'int32')],
    options: { labelSmoothing: 0.1 },
    entries: [entropy(scores(8, 5).data, smooth(hot(3), 0.1))],
    shape: [],
  },
  { loss: 'nllLoss', inputs: [logP, y], entries: overRows((r, c) => entropy(r, hot(c))) },
  {
    loss: 'nllLoss',
    inputs: [logP, y],
    options: { weight: w, ignoreIndex: 0 },
    entries: overRows((r, c) => (c === 0 ? 0 : weight[c]! * entropy(r, hot(c)))),
    mean: 0.25 + 1.5 + 1.5,
  },
  {
    loss: 'binaryCrossEntropy',
    inputs: [p01, targets01],
    entries: p01.data.map((p, i) => bce(p, targets01.data[i]!)),
    shape: [4, 3],
  },
  {
    loss: 'binaryCrossEntropy',
    inputs: [p01, targets01],
    options: { weight: array([4, 1], entryWeight) },
    entries: p01.data.map((p, i) => entryWeight[Math.floor(i / 3)]! * bce(p, targets01.data[i]!)),
    shape: [4, 3],
  },
  {
    loss: 'binaryCrossEntropyWithLogits',
    inputs: [logits, targets01],
    options: { posWeight: array([3], posWeight) },
    entries: logits.data.map((f, i) => bceLogits(f, targets01.data[i]!, posWeight[i % 3])),
    shape: [4, 3],
  },
  {
    loss: 'binaryCrossEntropyWithLogits',
    inputs: [logits, targets01],
    options: { posWeight: 2.5, weight: array([4, 1], entryWeight) },
    entries: logits.data.map(
      (f, i) => entryWeight[Math.floor(i / 3)]! * bceLogits(f, targets01.data[i]!, 2.5),
    ),
    shape: [4, 3],
  },
  {
    loss: 'binaryCrossEntropyWithLogits',
    inputs: [logits, targets01],
    options: { weight: array([4, 1], entryWeight) },
    entries: logits.data.map(
      (f, i) => entryWeight[Math.floor(i / 3)]! * bceLogits(f, targets01.data[i]!),
    ),
    shape: [4, 3],
  },
  {
    loss: 'klDivergence',
    inputs: [logP, soft],
    entries: logP.data.map((f, i) => soft.data[i]! * (Math.log(soft.data[i]!) - f)),
    shape: [4, 5],
  },
  {
    loss: 'klDivergence',
    inputs: [logP, array([4, 5], soft.data.map(Math.log))],
    options: { logTarget: true },
    entries: logP.data.map((f, i) => soft.data[i]! * (Math.log(soft.data[i]!) - f)),
    shape: [4, 5],
  },
  {
    loss: 'multiclassHinge',
    inputs: [x, y],
    entries: overRows((r, c) => total(r.map((v, j) => (j === c ? 0 : Math.max(0, v - r[c]! + 1))))),
  },
  {
    loss: 'multiclassHinge',
    inputs: [x, y],
    options: { margin: 0.3 },
    entries: overRows((r, c) =>
      total(r.map((v, j) => (j === c ? 0 : Math.max(0, v - r[c]! + 0.3)))),
    ),
  },
  {
    loss: 'crammerSingerHinge',
    inputs: [x, y],
    entries: overRows((r, c) => Math.max(...r.map((v, j) => Number(j !== c) + v - r[c]!))),
  },
  {
    loss: 'crammerSingerHinge',
    inputs: [x, y],
    options: { cost },
    entries: overRows((r, c) => Math.max(...r.map((v, j) => costs[5 * c + j]! + v - r[c]!))),
  },
  {
    loss: 'structuredHinge',
    inputs: [x, y],
    options: { distance: cost },
    entries: overRows((r, c) => Math.max(...r.map((v, j) => costs[5 * c + j]! + v - r[c]!))),
  },
  {
    loss: 'structuredHinge',
    inputs: [x, labels],
    options: { distance: 'hamming' },
    entries: overRows((r, _c, i) => hammingByEnumeration(r, rowsOf(labels)[i]!)),
  },
  {
    loss: 'rankingHinge',
    inputs: [ranked, array([6], relevance)],
    entries: [
      pairHinge(0, 2),
      pairHinge(0, 4),
      pairHinge(0, 1),
      pairHinge(0, 5),
      pairHinge(3, 2),
      pairHinge(3, 4),
      pairHinge(3, 1),
      pairHinge(3, 5),
      pairHinge(2, 1),
      pairHinge(2, 5),
      pairHinge(4, 1),
      pairHinge(4, 5),
    ],
  },
  {
    loss: 'rankingHinge',
    inputs: [ranked, array([6], relevance)],
    options: { query: ids(...query), margin: 2 },
    entries: [
      pairHinge(3, 4, 2),
      pairHinge(3, 5, 2),
      pairHinge(4, 5, 2),
      pairHinge(0, 2, 2),
      pairHinge(0, 1, 2),
      pairHinge(2, 1, 2),
    ],
  },
];

/** max over all 2^L labellings of Δ + ⟨y' - y, f⟩. */
function hammingByEnumeration(f: readonly number[], own: readonly number[]): number {
  let best = -Infinity;
  for (let code = 0; code < 2 ** f.length; ++code) {
    const other = f.map((_, l) => (code >> l) & 1);
    const value = total(f.map((v, l) => Number(other[l] !== own[l]) + (other[l]! - own[l]!) * v));
    best = Math.max(best, value);
  }
  return best;
}

/** The options, with tensors for arrays. */
const optionsOf = ({ options }: Case): Options =>
  Object.fromEntries(
    Object.entries(options ?? {}).map(([name, v]) => [
      name,
      typeof v === 'object' ? toTensor(v as NDArray, 'float64') : v,
    ]),
  );
const titleOf = ({ loss, inputs, options }: Case): string =>
  `${loss}(${inputs.map((a) => `${a.dtype === 'int32' ? 'int32' : ''}[${a.shape.join(', ')}]`).join(', ')}${options ? `, ${Object.keys(options).join(', ')}` : ''})`;
/** What a test makes goes with it: later tests count tensors. */
const test = (title: string, fn: () => void): void => {
  it(title, () => {
    tg.tidy(fn);
  });
};

describe('losses', () => {
  for (const c of CASES)
    test(`${titleOf(c)}: every reduction, float64 and float32, first and second derivatives`, () => {
      const shape = c.shape ?? [c.entries.length];
      const sum = total(c.entries);
      const wanted: Record<string, NDArray> = {
        none: { shape, data: c.entries },
        sum: { shape: [], data: [sum] },
        mean: { shape: [], data: [sum / (c.mean ?? c.entries.length)] },
      };
      for (const [dtype, tolerance] of [
        ['float64', 1e-12],
        ['float32', 2e-5],
      ] as const)
        tg.tidy(() => {
          const inputs = c.inputs.map((a) =>
            toTensor({ ...a, dtype: a.dtype === 'int32' ? 'int32' : dtype }, dtype),
          );
          for (const [reduction, value] of Object.entries(wanted)) {
            const got = lossNamed(c.loss)(...inputs, { ...optionsOf(c), reduction });
            // A float64 weight widens, as any operand does.
            expectClose(got, value, tolerance, tolerance, `${reduction}, ${dtype}`);
          }
          expectClose(
            lossNamed(c.loss)(...inputs, optionsOf(c)),
            wanted['mean']!,
            tolerance,
            tolerance,
            dtype,
          );
        });
      // Relevance and labels are read, not differentiated.
      const constant =
        c.loss === 'rankingHinge' || c.options?.['distance'] === 'hamming' ? 1 : Infinity;
      const free = c.inputs.slice(0, constant);
      const fixed = c.inputs.slice(constant);
      for (const reduction of ['mean', 'sum', 'none'])
        tg.tidy(() => {
          const f = (inputs: readonly Tensor[]): Tensor =>
            lossNamed(c.loss)(...inputs, ...fixed.map((a) => toTensor(a, 'float64')), {
              ...optionsOf(c),
              reduction,
            });
          checkJacobian(f, free, reduction);
          checkComposed(f, free, reduction);
          if (reduction !== 'none') checkSecond(f, free, reduction);
        });
    });

  test('f = (3, -5, 2.5), y = 0: multiclass hinge 0.5', () => {
    const f = tg.tensor([3, -5, 2.5]);
    const zero = tg.tensor(0, { dtype: 'int32' });
    expect(losses.multiclassHinge(f, zero).item()).to.equal(0.5);
    expect(losses.crammerSingerHinge(f, zero).item()).to.equal(0.5);
    const batch = losses.multiclassHinge(f.reshape([1, 3]), tg.tensor([0], { dtype: 'int32' }), {
      reduction: 'none',
    });
    expect([...batch.dataSync()]).to.deep.equal([0.5]);
  });

  test("'batchMean' of klDivergence is Σ / n", () => {
    const [f, t] = [toTensor(logP, 'float64'), toTensor(soft, 'float64')];
    const sum = losses.klDivergence(f, t, { reduction: 'sum' }).item();
    const mean = losses.klDivergence(f, t, { reduction: 'batchMean' }).item();
    expect(mean).to.be.closeTo(sum / 4, 1e-15);
    expect(
      losses
        .klDivergence(make([-1, -2], [2], 'float64'), make([1, 0], [2], 'float64'), {
          reduction: 'sum',
        })
        .item(),
    ).to.equal(1);
  });

  test('the losses of ±1 labels at chosen points', () => {
    const at = (loss: string, f: number, label: number, options?: Options): number =>
      lossNamed(loss)(make([f], [1], 'float64'), make([label], [1], 'float64'), options).item();
    expect(at('hinge', 0.25, -1)).to.equal(1.25);
    expect(at('logistic', 0, 1, { base2: true })).to.equal(1);
    expect(at('logistic', 0, 1)).to.equal(Math.LN2);
    expect(at('exponential', -2, 1)).to.be.closeTo(Math.exp(2), 1e-14);
    expect(at('sigmoidLoss', 0, -1)).to.equal(0.5);
    expect(at('modifiedHuber', -3, 1)).to.equal(7);
    expect(at('modifiedHuber', -3, 1, { scikitLearn: true })).to.equal(12);
    expect(at('modifiedHuber', -0.5, 1, { scikitLearn: true })).to.equal(2.25);
    expect(at('modifiedHuber', 0.5, 1)).to.equal(0.25);
    expect(at('pairwiseHinge', 2, 1.5)).to.equal(0.5);
  });

  test('ignored rows count for nothing even where their logits are NaN', () => {
    const f = make([1, 2, NaN, NaN], [2, 2], 'float64');
    const t = make([1, -1], [2], 'int32');
    const loss = losses.crossEntropy(f, t, { ignoreIndex: -1 });
    expect(loss.item()).to.be.closeTo(Math.log(1 + Math.exp(-1)), 1e-15);
    expect(
      losses.crossEntropy(f, make([-1, -1], [2], 'int32'), { ignoreIndex: -1 }).item(),
      'the mean of nothing',
    ).to.be.NaN;
  });

  test('a taxonomy has the distances and paths of its tree', () => {
    // 0 ─ 1 ─ {3, 4}, 0 ─ 2 ─ {5, 6 ─ 7}
    const tree = losses.taxonomy([-1, 0, 0, 1, 1, 2, 2, 6]);
    expect(tree.leaves).to.deep.equal([3, 4, 5, 7]);
    expect(tree.distance.toArray()).to.deep.equal([
      [0, 2, 4, 5],
      [2, 0, 4, 5],
      [4, 4, 0, 3],
      [5, 5, 3, 0],
    ]);
    const nodes = make([0, 1, 2, 10, 20, 30, 40, 50], [1, 8], 'float32', true);
    const leaves = nodes.matmul(tree.paths);
    expect(leaves.toArray()).to.deep.equal([[11, 21, 32, 92]]);
    const loss = losses.structuredHinge(leaves, tg.tensor([2], { dtype: 'int32' }), {
      distance: tree,
    });
    expect(loss.item()).to.equal(3 + 92 - 32);
    expect(tg.gradients(loss, [nodes])[0]!.toArray()).to.deep.equal([[0, 0, 0, 0, 0, -1, 1, 1]]);
  });

  test('a ranking without pairs costs nothing', () => {
    const f = make([1, 2], [2], 'float64', true);
    for (const reduction of ['mean', 'sum'] as const) {
      const loss = losses.rankingHinge(f, make([3, 3], [2], 'float64'), { reduction });
      expect(loss.item()).to.equal(0);
      expect(tg.gradients(loss, [f])[0]!.toArray()).to.deep.equal([0, 0]);
    }
    expect(
      losses.rankingHinge(f, make([3, 3], [2], 'int32'), { reduction: 'none' }).shape,
    ).to.deep.equal([0]);
  });
});

describe('memory of losses', () => {
  test('a loss leaves its result and nothing else, recorded or not', () => {
    for (const c of CASES) {
      const inputs = c.inputs.map((a) => toTensor(a, 'float64'));
      const options = optionsOf(c);
      collect();
      const before = tg.memory().tensors;
      const plain = lossNamed(c.loss)(...inputs, options);
      expect(tg.memory().tensors, `${titleOf(c)}, not recorded`).to.equal(before + 1);
      plain.dispose();
      inputs[0]!.requiresGrad = true;
      const loss = lossNamed(c.loss)(...inputs, options);
      loss.backward();
      loss.dispose();
      inputs[0]!.grad!.dispose();
      expect(tg.memory().tensors, `${titleOf(c)}, recorded`).to.equal(before);
      inputs.forEach((t) => {
        t.dispose();
      });
    }
  });
});
