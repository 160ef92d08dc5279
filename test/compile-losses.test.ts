// Every loss inside a compiled function: value and gradient have the bits of eager calls, with each reduction. The
// unreduced elementwise ones are also among the ops of compile-ops.test.ts.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { losses, type Tensor } from 'tapegrad';
import { ELEMENTWISE, SPECS, make, sample } from './catalogue/harness.js';
import { expectSame, labels } from './compile/tools.js';

type Options = Readonly<Record<string, unknown>>;
type Loss = (x: Tensor, y: Tensor, options: Options) => Tensor;
const all = losses as unknown as Record<string, Loss>;

const real = (seed: number, shape: number[], low: number, high: number): Tensor =>
  make(
    sample(
      seed,
      shape.reduce((a, b) => a * b, 1),
      [low, high],
      'float32',
    ),
    shape,
    'float32',
  );
const scores = (k: number): Tensor => real(k, [6, 5], -2, 2);
const chances = (k: number): Tensor => real(k + 50, [6, 5], 0.05, 0.95);
const logChances = (k: number): Tensor => scores(k).logSoftmax(1).detach();
const signs = (k: number): Tensor => real(k + 90, [6, 5], -1, 1).sign();
const classes = (k: number): Tensor => labels(k, 6, 5);
const weight = tg.tensor([0.5, 2, 1.5, 1, 0.25]);
const cost = real(3, [5, 5], 0, 2)
  .mul(tg.ones([5, 5]).sub(tg.eye(5)))
  .detach();

interface Case {
  readonly loss: string;
  readonly x: (k: number) => Tensor;
  readonly y: (k: number) => Tensor;
  readonly options?: Options;
  /** It looks at class indices or weights in JavaScript, which a recording has no values of. */
  readonly needsValues?: true;
}
const CASES: readonly Case[] = [
  ...SPECS.filter((op) => op.kind === 'loss' && op.name in losses).map(({ name }) => ({
    loss: name,
    x: name === 'klDivergence' ? logChances : name === 'binaryCrossEntropy' ? chances : scores,
    y: /hinge|logistic|exponential|perceptron/i.test(name) ? signs : chances,
  })),
  { loss: 'crossEntropy', x: scores, y: classes },
  {
    loss: 'crossEntropy',
    x: scores,
    y: classes,
    options: { weight, ignoreIndex: 2 },
    needsValues: true,
  },
  {
    loss: 'crossEntropy',
    x: scores,
    y: classes,
    options: { labelSmoothing: 0.2 },
    needsValues: true,
  },
  { loss: 'crossEntropy', x: scores, y: (k) => chances(k).softmax(1).detach() },
  { loss: 'nllLoss', x: logChances, y: classes, options: { weight }, needsValues: true },
  {
    loss: 'binaryCrossEntropyWithLogits',
    x: scores,
    y: chances,
    options: { posWeight: 2.5, weight },
  },
  { loss: 'klDivergence', x: logChances, y: logChances, options: { logTarget: true } },
  { loss: 'multiclassHinge', x: scores, y: classes, options: { margin: 0.3 }, needsValues: true },
  { loss: 'crammerSingerHinge', x: scores, y: classes, options: { cost }, needsValues: true },
  {
    loss: 'structuredHinge',
    x: scores,
    y: classes,
    options: { distance: cost },
    needsValues: true,
  },
];

describe('compiled losses', function () {
  this.timeout(60_000);
  it('are all here', () => {
    const tried = new Set(CASES.map((c) => c.loss));
    // taxonomy is no loss; the pairs of rankingHinge depend on its values: see below.
    const missing = Object.keys(losses).filter(
      (name) => !tried.has(name) && name !== 'taxonomy' && name !== 'rankingHinge',
    );
    expect(missing).to.deep.equal([]);
    expect([...ELEMENTWISE]).to.include('loss');
  });

  for (const { loss, x, y, options, needsValues } of CASES) {
    if (needsValues) continue;
    it(`${loss} ${JSON.stringify(Object.keys(options ?? {}))}`, async () => {
      for (const reduction of ['mean', 'sum', 'none'])
        await expectSame(
          () => ({
            fn: (f: Tensor, target: Tensor) => {
              const value = all[loss]!(f, target, { ...options, reduction });
              const [gradient] = tg.gradients(value.sum(), [f], { retainGraph: true });
              return { value, gradient };
            },
            args: (k) => {
              const f = x(k).detach();
              f.requiresGrad = true;
              return [f, y(k)];
            },
          }),
          { calls: 2, what: `${loss} ${reduction}` },
        );
    });
  }

  for (const { loss, x, y, options } of [
    ...CASES.filter((c) => c.needsValues),
    {
      loss: 'rankingHinge',
      x: () => tg.tensor([1, 2, 3]),
      y: () => tg.tensor([0, 2, 1]),
      options: {},
    },
  ])
    it(`${loss} ${JSON.stringify(Object.keys(options ?? {}))} needs values, which is said`, () => {
      const step = tg.compile((f: Tensor, target: Tensor) => all[loss]!(f, target, { ...options }));
      expect(() => step.runSync(x(1), y(1)))
        .to.throw(/being compiled/)
        .with.property('code', 'TG_TRACE');
    });
});
