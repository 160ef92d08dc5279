// Losses at logits of ±1e4, and what they refuse. Values and derivatives: losses.test.ts, catalogue.test.ts.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { losses, type Tensor } from 'tapegrad';
import { make } from './catalogue/harness.js';

type Loss = (...args: unknown[]) => Tensor;
const lossNamed = (name: string): Loss => (losses as unknown as Record<string, Loss>)[name]!;
/** What a test makes goes with it: later tests count tensors. */
const test = (title: string, fn: () => void): void => {
  it(title, () => {
    tg.tidy(fn);
  });
};
/** The slopes of Σ loss, -0 as 0. */
const slopesOf = (loss: Tensor, x: Tensor): number[] => {
  const [g] = tg.gradients(loss, [x], { gradient: tg.onesLike(loss) });
  return [...g!.dataSync()].map((v) => v + 0);
};

describe('losses at ±1e4', () => {
  const f = [1e4, -1e4, 1e4, -1e4];
  const signs = [1, 1, -1, -1];
  /** Each loss of these logits and the label that fits or does not, and its slopes. */
  const ELEMENTWISE: Readonly<Record<string, readonly [readonly number[], readonly number[]]>> = {
    hinge: [
      [0, 10001, 10001, 0],
      [0, -1, 1, 0],
    ],
    logistic: [
      [0, 1e4, 1e4, 0],
      [0, -1, 1, 0],
    ],
    exponential: [
      [0, Infinity, Infinity, 0],
      [0, -Infinity, Infinity, 0],
    ],
    sigmoidLoss: [
      [0, 1, 1, 0],
      [0, 0, 0, 0],
    ],
    modifiedHuber: [
      [0, 20001, 20001, 0],
      [0, -2, 2, 0],
    ],
    absoluteError: [
      [9999, 10001, 10001, 9999],
      [1, -1, 1, -1],
    ],
    huber: [
      [9998.5, 10000.5, 10000.5, 9998.5],
      [1, -1, 1, -1],
    ],
    pairwiseHinge: [
      [0, 10002, 0, 10000],
      [0, -1, 0, -1],
    ],
  };
  for (const dtype of ['float32', 'float64'] as const) {
    for (const [name, [values, slopes]] of Object.entries(ELEMENTWISE))
      test(`${name} ${dtype}`, () => {
        const t = make(f, [4], dtype, true);
        const loss = lossNamed(name)(t, make(signs, [4], dtype), { reduction: 'none' });
        expect([...loss.dataSync()].map((v) => v + 0)).to.deep.equal([...values]);
        expect(slopesOf(loss, t)).to.deep.equal([...slopes]);
      });

    test(`binaryCrossEntropyWithLogits ${dtype}, posWeight too`, () => {
      for (const posWeight of [undefined, 2, 0.5]) {
        const t = make(f, [4], dtype, true);
        const loss = losses.binaryCrossEntropyWithLogits(t, make([1, 1, 0, 0], [4], dtype), {
          reduction: 'none',
          ...(posWeight === undefined ? {} : { posWeight }),
        });
        const p = posWeight ?? 1;
        expect([...loss.dataSync()].map((v) => v + 0)).to.deep.equal([0, p * 1e4, 1e4, 0]);
        expect(slopesOf(loss, t)).to.deep.equal([0, -p, 1, 0]);
      }
    });

    test(`losses of classes ${dtype}`, () => {
      const right = make([0, 1], [2], 'int32');
      const wrong = make([1, 0], [2], 'int32');
      const run = (fn: (x: Tensor) => Tensor): [number, number[]] => {
        const t = make([1e4, -1e4, -1e4, 1e4], [2, 2], dtype, true);
        const loss = fn(t);
        return [loss.item(), slopesOf(loss, t)];
      };
      const none = [0, 0, 0, 0];
      const half = [0.5, -0.5, -0.5, 0.5];
      for (const options of [{}, { weight: make([2, 2], [2], dtype) }, { ignoreIndex: 7 }]) {
        expect(run((t) => losses.crossEntropy(t, right, options))).to.deep.equal([0, none]);
        expect(run((t) => losses.crossEntropy(t, wrong, options))).to.deep.equal([2e4, half]);
      }
      expect(run((t) => losses.crossEntropy(t, right, { labelSmoothing: 0.5 }))[0]).to.equal(5e3);
      expect(run((t) => losses.nllLoss(t.logSoftmax(), wrong))).to.deep.equal([2e4, half]);
      for (const hinge of [losses.multiclassHinge, losses.crammerSingerHinge]) {
        expect(run((t) => hinge(t, right))).to.deep.equal([0, none]);
        expect(run((t) => hinge(t, wrong))).to.deep.equal([20001, half]);
      }
      const onehot = make([0, 1, 1, 0], [2, 2], dtype);
      expect(
        run((t) => losses.klDivergence(t.logSoftmax(), onehot, { reduction: 'batchMean' })),
      ).to.deep.equal([2e4, half]);
      const hamming = run((t) => losses.structuredHinge(t, onehot, { distance: 'hamming' }));
      expect(hamming).to.deep.equal([20002, half]);
      const ranking = run((t) =>
        losses.rankingHinge(t.flatten(), make([0, 1, 0, 0], [4], 'int32'), { reduction: 'sum' }),
      );
      expect(ranking).to.deep.equal([20001 + 1 + 20001, [1, -3, 1, 1]]);
    });
  }

  test('the weights of a mean are not summed in bfloat16, where 301 would be 300', () => {
    const x = tg.zeros([301, 3], { dtype: 'bfloat16' });
    const target = tg.zeros([301], { dtype: 'int32' });
    const loss = losses.crossEntropy(x, target, { weight: tg.ones([3], { dtype: 'bfloat16' }) });
    expect(loss.dtype).to.equal('bfloat16');
    expect(loss.item()).to.equal(tg.full([], Math.log(3), { dtype: 'bfloat16' }).item());
  });

  test('binaryCrossEntropy at 0 and 1: logarithms end at -100, as in PyTorch', () => {
    const p = make([0, 0, 1, 1], [4], 'float64', true);
    const loss = losses.binaryCrossEntropy(p, make([0, 1, 0, 1], [4], 'float64'), {
      reduction: 'none',
    });
    expect([...loss.dataSync()].map((v) => v + 0)).to.deep.equal([0, 100, 100, 0]);
    expect(slopesOf(loss, p)).to.deep.equal([0, -1e12, 1e12, 0]);
  });
});

describe('losses refuse', () => {
  let f: Tensor;
  let t: Tensor;
  const three = (...v: number[]): Tensor => make(v, [3], 'float64');
  const any = (v: unknown): never => v as never;
  const CALLS: readonly [string, () => unknown, string][] = [
    ...(['crossEntropy', 'nllLoss', 'multiclassHinge', 'crammerSingerHinge'] as const).flatMap(
      (name): [string, () => unknown, string][] => {
        const loss = lossNamed(name);
        return [
          [
            `${name}: a class too large`,
            () => loss(f, make([0, 3], [2], 'int32')),
            `${name}: target[1] is 3, but there are 3 classes`,
          ],
          [
            `${name}: a negative class`,
            () => loss(f, make([-100, 0], [2], 'int32')),
            `${name}: target[0] is -100, but there are 3 classes`,
          ],
          [`${name}: too many targets`, () => loss(f, make([0, 0, 0], [3], 'int32')), `${name}: `],
          [`${name}: scores of 3 dimensions`, () => loss(f.reshape([1, 2, 3]), t), `${name}: `],
          [
            `${name}: an unknown reduction`,
            () => loss(f, t, { reduction: 'average' }),
            `${name}: reduction must be 'mean', 'sum' or 'none'`,
          ],
          [
            `${name}: an unknown option`,
            () => loss(f, t, { colour: 1 }),
            `${name}: unknown option "colour"`,
          ],
          [`${name}: a number as target`, () => loss(f, 1), `${name}: target must be a Tensor`],
        ];
      },
    ),
    [
      'a float target of nllLoss',
      () => losses.nllLoss(f, f),
      'nllLoss: target must hold class indices as int32',
    ],
    [
      'a negative probability',
      () => losses.crossEntropy(f, make([0, 0, 1, 0, -0.5, 1], [2, 3], 'float64')),
      'crossEntropy: target[1, 1] is -0.5, no probability',
    ],
    [
      'a negative probability, transposed',
      () => losses.crossEntropy(f, make([0, 0, 0, -0.5, 1, 1], [3, 2], 'float32').T),
      'crossEntropy: target[1, 1] is -0.5, no probability',
    ],
    [
      'a negative probability with smoothing',
      () =>
        losses.crossEntropy(f, make([0, 0, 1, 0, -0.01, 1], [2, 3], 'float64'), {
          labelSmoothing: 0.5,
        }),
      'crossEntropy: target must lie in [0, ∞], got -0.01',
    ],
    [
      'ignoreIndex for probabilities',
      () => losses.crossEntropy(f, f, { ignoreIndex: 1 }),
      'crossEntropy: ignoreIndex needs',
    ],
    [
      'a fraction as ignoreIndex',
      () => losses.crossEntropy(f, t, { ignoreIndex: 0.5 }),
      'crossEntropy: ignoreIndex must be an integer',
    ],
    [
      'labelSmoothing above 1',
      () => losses.crossEntropy(f, t, { labelSmoothing: 1.5 }),
      'crossEntropy: labelSmoothing',
    ],
    [
      'labelSmoothing NaN',
      () => losses.crossEntropy(f, t, { labelSmoothing: NaN }),
      'crossEntropy: labelSmoothing',
    ],
    [
      'a weight per example',
      () => losses.crossEntropy(f, t, { weight: make([1, 1], [2], 'float64') }),
      'crossEntropy: weight must have one entry per class, [3], got [2]',
    ],
    [
      'a negative weight',
      () => losses.crossEntropy(f, t, { weight: three(1, -1, 1) }),
      'crossEntropy: weight[1] must be a finite number ≥ 0',
    ],
    [
      'a list as weight',
      () => losses.nllLoss(f, t, { weight: any([1, 1, 1]) }),
      'nllLoss: weight must be a Tensor',
    ],
    [
      'probabilities of another shape',
      () => losses.crossEntropy(f, f.T, { weight: three(1, 1, 1) }),
      'crossEntropy: target [3, 2] must have the shape of logits [2, 3]',
    ],
    [
      'a prediction above 1',
      () => losses.binaryCrossEntropy(three(0, 1, 1.5), three(0, 1, 1)),
      'binaryCrossEntropy: prediction must lie in [0, 1], got 1.5',
    ],
    [
      'a prediction of NaN',
      () => losses.binaryCrossEntropy(three(0, NaN, 1), three(0, 1, 1)),
      'binaryCrossEntropy: prediction must lie in [0, 1], got NaN',
    ],
    [
      'a target below 0',
      () => losses.binaryCrossEntropy(three(0, 1, 1), -0.5),
      'binaryCrossEntropy: target must lie in [0, 1], got -0.5',
    ],
    [
      'a weight that broadens',
      () => losses.binaryCrossEntropy(three(0, 1, 1), 1, { weight: tg.ones([2, 3]) }),
      "binaryCrossEntropy: weight [2, 3] must broadcast to the entries' shape [3]",
    ],
    [
      'a negative posWeight',
      () => losses.binaryCrossEntropyWithLogits(f, 1, { posWeight: -1 }),
      'binaryCrossEntropyWithLogits: posWeight must lie in [0, ∞], got -1',
    ],
    [
      'a list as posWeight',
      () => losses.binaryCrossEntropyWithLogits(f, 1, { posWeight: any([1]) }),
      'binaryCrossEntropyWithLogits: posWeight must be a Tensor or a number',
    ],
    [
      'a negative probability in klDivergence',
      () => losses.klDivergence(f, three(0, 1.5, -0.5)),
      'klDivergence: target must lie in [0, ∞], got -0.5',
    ],
    [
      'batchMean of a scalar',
      () => losses.klDivergence(tg.tensor(-1), 1, { reduction: 'batchMean' }),
      "klDivergence: 'batchMean' needs",
    ],
    [
      'a number as logTarget',
      () => losses.klDivergence(f, 1, { logTarget: any(1) }),
      'klDivergence: logTarget must be a boolean',
    ],
    [
      'delta 0',
      () => losses.huber(f, f, { delta: 0 }),
      'huber: delta must be a finite number > 0, got the number 0',
    ],
    [
      'a margin of NaN',
      () => losses.multiclassHinge(f, t, { margin: NaN }),
      'multiclassHinge: margin',
    ],
    [
      'a cost of another size',
      () => losses.crammerSingerHinge(f, t, { cost: f }),
      'crammerSingerHinge: cost must have one row and one column per class, [3, 3], got [2, 3]',
    ],
    [
      'a negative cost',
      () =>
        losses.crammerSingerHinge(f, t, {
          cost: make([0, 1, 1, -1, 0, 1, 1, 1, 0], [3, 3], 'float64'),
        }),
      'crammerSingerHinge: cost[1, 0] must be a finite number ≥ 0',
    ],
    [
      'a cost of being right',
      () => losses.structuredHinge(f, t, { distance: tg.ones([3, 3]) }),
      'structuredHinge: distance[0, 0] must be a finite number ≥ 0 and ≤ 0',
    ],
    [
      'an unknown distance',
      () => losses.structuredHinge(f, t, { distance: any('edit') }),
      "structuredHinge: distance must be 'hamming', a Tensor or a taxonomy",
    ],
    [
      'labels of ±1 for Hamming',
      () =>
        losses.structuredHinge(f, make([1, -1, 1, 1, 1, 1], [2, 3], 'float64'), {
          distance: 'hamming',
        }),
      'structuredHinge: labels must be 0 or 1, target holds -1',
    ],
    [
      'labels of another shape',
      () => losses.structuredHinge(f, t, { distance: 'hamming' }),
      'structuredHinge: target [2] must have the shape of scores [2, 3]',
    ],
    [
      'scores of 2 dimensions',
      () => losses.rankingHinge(f, t),
      'rankingHinge: scores must be [n], got [2, 3]',
    ],
    [
      'relevance of another size',
      () => losses.rankingHinge(three(1, 2, 3), t),
      'rankingHinge: relevance must have one entry per score, [3], got [2]',
    ],
    [
      'relevance NaN',
      () => losses.rankingHinge(three(1, 2, 3), three(1, NaN, 3)),
      'rankingHinge: relevance[1] must be a finite number',
    ],
    [
      'a tree with two roots',
      () => losses.taxonomy([-1, -1]),
      'taxonomy: parents[1] must be an integer ≥ 0 and ≤ 0',
    ],
    ['a tree with a cycle', () => losses.taxonomy([-1, 2, 1]), 'taxonomy: parents[1]'],
    ['no tree', () => losses.taxonomy([]), 'taxonomy: parents must list'],
  ];
  for (const [what, call, message] of CALLS)
    test(what, () => {
      f = make([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [2, 3], 'float64');
      t = make([0, 2], [2], 'int32');
      expect(call).to.throw(Error, message);
    });
});
