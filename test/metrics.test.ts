// Metrics: scikit-learn's numbers (test/golden/metrics.json, by scripts/golden-sklearn.py), definitions counted out
// in another way, and what is refused.
import { expect } from 'chai';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import * as tg from 'tapegrad';
import { metrics } from 'tapegrad';
import { collect } from './collect.js';

type Scores = [precision: number, recall: number, f1: number];
interface Golden {
  classes: {
    prediction: number[];
    target: number[];
    accuracy: number;
    confusionMatrix: number[][];
    averages: Record<metrics.Average, Scores>;
    zeroDivision1: Record<metrics.Average, [number, number]>;
    classScores: [number[], number[], number[], number[]];
  }[];
  scores: {
    probabilities: number[][];
    target: number[];
    logLoss: number;
    rocAuc: { macro: number; weighted?: number };
    topK?: number[];
  }[];
  certain: { probabilities: number[][]; target: number[]; logLoss: number };
  regression: ({ prediction: number[]; target: number[] } & Record<RegressionMetric, number>)[];
}
const REGRESSION = [
  'meanSquaredError',
  'rootMeanSquaredError',
  'meanAbsoluteError',
  'rSquared',
] as const;
type RegressionMetric = (typeof REGRESSION)[number];
const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/metrics.json', import.meta.url), 'utf8'),
) as Golden;

const close = (got: number, wanted: number, what = ''): void => {
  if (!(Math.abs(got - wanted) <= 1e-12 * Math.max(1, Math.abs(wanted))))
    expect.fail(`${what}: ${got}, expected ${wanted}`);
};

describe('metrics: scikit-learn', () => {
  for (const c of golden.classes) {
    const n = c.target.length;
    it(`accuracy, confusion matrix, precision, recall, F1 of ${n} examples`, () => {
      const [f, y] = [c.prediction, c.target];
      close(metrics.accuracy(f, y), c.accuracy);
      expect(metrics.confusionMatrix(f, y)).to.deep.equal(c.confusionMatrix);
      for (const [name, wanted] of Object.entries(c.averages)) {
        const average = name as metrics.Average;
        [metrics.precision, metrics.recall, metrics.f1].forEach((score, i) => {
          close(score(f, y, { average }), wanted[i]!, `${name} ${i}`);
        });
        const [p1, r1] = c.zeroDivision1[average];
        close(metrics.precision(f, y, { average, zeroDivision: 1 }), p1);
        close(metrics.recall(f, y, { average, zeroDivision: 1 }), r1);
      }
      const each = metrics.classScores(f, y);
      const columns = [
        each.map((s) => s.precision),
        each.map((s) => s.recall),
        each.map((s) => s.f1),
      ];
      columns.forEach((column, i) => {
        column.forEach((v, k) => {
          close(v, c.classScores[i]![k]!, `class ${k}`);
        });
      });
      expect(each.map((s) => s.support)).to.deep.equal(c.classScores[3]);
    });
  }
  for (const c of golden.scores)
    it(`area under ROC, log loss, top k of ${c.target.length} × ${c.probabilities[0]!.length}`, () => {
      close(metrics.logLoss(c.probabilities, c.target), c.logLoss, 'logLoss');
      close(metrics.rocAuc(c.probabilities, c.target), c.rocAuc.macro, 'macro');
      if (c.rocAuc.weighted !== undefined) {
        const average = 'weighted';
        close(metrics.rocAuc(c.probabilities, c.target, { average }), c.rocAuc.weighted, average);
      } else {
        const ones = c.probabilities.map((p) => p[1]!);
        close(metrics.rocAuc(ones, c.target), c.rocAuc.macro);
        close(metrics.logLoss(ones, c.target), c.logLoss);
      }
      c.topK?.forEach((wanted, i) => {
        close(
          metrics.topKAccuracy(c.probabilities, c.target, { k: i + 1 }),
          wanted,
          `top ${i + 1}`,
        );
      });
    });
  it('log loss where a certain prediction is wrong', () => {
    const { probabilities, target, logLoss } = golden.certain;
    close(metrics.logLoss(probabilities, target), logLoss);
  });
  for (const c of golden.regression)
    it(`regression with ${c.target.length} examples`, () => {
      for (const name of REGRESSION) close(metrics[name](c.prediction, c.target), c[name], name);
    });
});

describe('metrics', () => {
  it('take tensors, typed arrays and logits', () => {
    const logits = tg.tensor([
      [2, 1, 0],
      [0, 3, 1],
      [0, 1, 1],
      [5, 0, 0],
    ]);
    const y = tg.tensor(Int32Array.of(0, 1, 2, 2));
    collect();
    const before = tg.memory().tensors;
    expect(metrics.accuracy(logits, y)).to.equal(0.5); // of equal scores the first counts
    expect(metrics.accuracy(logits.argmax({ axis: 1 }), y)).to.equal(0.5);
    expect(metrics.accuracy(Int8Array.of(0, 1), [0, 1])).to.equal(1);
    expect(metrics.accuracy(tg.tensor([true, false]), [true, true])).to.equal(0.5);
    expect(metrics.confusionMatrix(logits, y)).to.deep.equal([
      [1, 0, 0],
      [0, 1, 0],
      [1, 1, 0],
    ]);
    expect(metrics.topKAccuracy(logits, y, { k: 1 })).to.equal(0.75); // here the last does
    expect(metrics.topKAccuracy(logits, y, { k: 3 })).to.equal(1);
    expect(tg.memory().tensors - before).to.be.at.most(3); // those of this test
    expect(metrics.logLoss(logits.softmax({ axis: 1 }), y)).to.be.closeTo(
      tg.losses.crossEntropy(logits, y).item(),
      1e-6,
    );
  });

  it('the area under ROC is the share of ordered pairs, equal ones counted half', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: -4, max: 4 }), fc.boolean()), {
          minLength: 2,
          maxLength: 40,
        }),
        (examples) => {
          const up = examples.filter(([, y]) => y).map(([s]) => s);
          const down = examples.filter(([, y]) => !y).map(([s]) => s);
          fc.pre(up.length > 0 && down.length > 0);
          const won = up.map((p) => down.map((q) => (p > q ? 1 : p === q ? 0.5 : 0))).flat();
          const area = metrics.rocAuc(
            examples.map(([s]) => s),
            examples.map(([, y]) => y),
          );
          close(area, won.reduce<number>((a, b) => a + b, 0) / won.length);
        },
      ),
    );
  });

  it('a confusion matrix counts every example once; its trace is the accuracy', () => {
    const label = fc.integer({ min: 0, max: 5 });
    fc.assert(
      fc.property(fc.array(fc.tuple(label, label), { minLength: 1, maxLength: 60 }), (pairs) => {
        const [f, y] = [pairs.map((p) => p[0]), pairs.map((p) => p[1])];
        const matrix = metrics.confusionMatrix(f, y, { classes: 6 });
        matrix.forEach((row, i) => {
          row.forEach((count, j) => {
            expect(count).to.equal(pairs.filter(([a, b]) => a === j && b === i).length);
          });
        });
        const trace = matrix.reduce((sum, row, i) => sum + row[i]!, 0);
        close(metrics.accuracy(f, y), trace / pairs.length);
      }),
    );
  });

  it('a mean over classes leaves out those that neither occur nor are predicted', () => {
    const [f, y] = [
      [0, 2, 2, 0],
      [0, 2, 0, 0],
    ];
    close(metrics.recall(f, y, { average: 'macro' }), (2 / 3 + 1) / 2);
    close(metrics.precision(f, y, { average: 'macro', classes: 5 }), (1 + 1 / 2) / 2);
  });

  it('constant targets and perfect predictions', () => {
    expect(metrics.rSquared([2, 2], [2, 2])).to.equal(1);
    expect(metrics.rSquared([2, 3], [2, 2])).to.equal(0);
    expect(metrics.rSquared([1, 2, 3], [1, 2, 3])).to.equal(1);
    expect(metrics.rSquared([2, 2, 2], [1, 2, 3])).to.equal(0);
    expect(metrics.precision([0, 0], [1, 0])).to.equal(0);
    expect(metrics.f1([0, 0], [0, 0])).to.equal(0);
  });

  const any = (v: unknown): never => v as never;
  const MISTAKES: readonly (readonly [() => unknown, string])[] = [
    [
      () => metrics.accuracy(any('a'), [1]),
      'accuracy: prediction must be a Tensor, a typed array or an array of numbers, got the string "a"',
    ],
    [
      () => metrics.accuracy([1, 2], [1]),
      'accuracy: target must have one entry per example, 2, got 1',
    ],
    [() => metrics.accuracy([], []), 'accuracy: prediction is empty, of shape [0]'],
    [
      () => metrics.accuracy([0.5], [1]),
      'accuracy: prediction[0] must be a class, an integer ≥ 0, got 0.5',
    ],
    [
      () => metrics.accuracy([[1, 2]], [2]),
      'accuracy: target[0] must be a class, an integer in 0 … 1, got 2',
    ],
    [
      () => metrics.accuracy([NaN], [1]),
      'accuracy: prediction holds NaN at position 0; it must be finite',
    ],
    [
      () => metrics.accuracy([[[1]]], [1]),
      'accuracy: prediction must be [n] or [n, columns], got [1, 1, 1]',
    ],
    [
      () => metrics.topKAccuracy([[1, 2]], [0], { k: 3 }),
      'topKAccuracy: k must be an integer ≥ 1 and ≤ 2, got the number 3',
    ],
    [
      () => metrics.topKAccuracy([1, 2], [0, 1]),
      'topKAccuracy: prediction must be scores [n, classes], got [2]',
    ],
    [
      () => metrics.confusionMatrix([3], [0], { classes: 2 }),
      'confusionMatrix: prediction holds class 3, but there are 2',
    ],
    [
      () => metrics.confusionMatrix([1e6], [0]),
      'confusionMatrix: the number of classes must be an integer ≥ 1 and ≤ 4096, got the number 1000001',
    ],
    [
      () => metrics.f1([0, 1, 2], [0, 1, 2], { average: 'binary' }),
      "f1: average 'binary' is for two classes, there are 3; take 'macro', 'weighted' or 'micro'",
    ],
    [
      () => metrics.f1([0, 1], [0, 1], { average: any('none') }),
      `f1: average must be 'binary', 'macro', 'weighted' or 'micro', got the string "none"`,
    ],
    [
      () => metrics.rocAuc([1, 2], [1, 1]),
      'rocAuc: the area is not defined: class 1 is that of every example',
    ],
    [
      () => metrics.rocAuc([[1, 2, 3]], [0]),
      'rocAuc: the area is not defined: class 0 is that of every example',
    ],
    [
      () => metrics.rocAuc([NaN, 2], [1, 0]),
      'rocAuc: prediction holds NaN at position 0; it must be finite',
    ],
    [
      () => metrics.rocAuc([1, 2], [1, 2]),
      'rocAuc: target[1] must be a class, an integer in 0 … 1, got 2',
    ],
    [
      () => metrics.logLoss([1.5], [1]),
      'logLoss: prediction holds 1.5, which is no probability; softmax and sigmoid make them of logits',
    ],
    [
      () => metrics.logLoss([[0.5, 0.4]], [1]),
      'logLoss: the probabilities of example 0 add up to 0.9 instead of 1',
    ],
    [() => metrics.rSquared([1], [1]), 'rSquared: R² needs two examples at least, got 1'],
    [
      () => metrics.meanSquaredError([1, 2], [[1], [2]]),
      'meanSquaredError: prediction and target must have the same shape: [2] x [2, 1]',
    ],
  ];
  for (const [mistake, message] of MISTAKES)
    it(message.slice(0, 90), () => {
      let error: unknown;
      try {
        mistake();
      } catch (e) {
        error = e;
      }
      expect((error as Error | undefined)?.message).to.equal(message);
    });
});
