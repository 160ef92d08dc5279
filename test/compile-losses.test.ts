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
/** Other examples are ignored in each call. */
const someIgnored = (k: number): Tensor => {
  const ids = classes(k).dataSync();
  ids[k % 6] = ids[(k + 2) % 6] = -100;
  return tg.tensor(ids);
};
const bits = (k: number): Tensor => signs(k).greater(0);
const weight = tg.tensor([0.5, 2, 1.5, 1, 0.25]);
const cost = real(3, [5, 5], 0, 2)
  .mul(tg.ones([5, 5]).sub(tg.eye(5)))
  .detach();

interface Case {
  readonly loss: string;
  readonly x: (k: number) => Tensor;
  readonly y: (k: number) => Tensor;
  readonly options?: Options;
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
  },
  {
    loss: 'crossEntropy',
    x: scores,
    y: classes,
    options: { labelSmoothing: 0.2 },
  },
  { loss: 'crossEntropy', x: scores, y: (k) => chances(k).softmax(1).detach() },
  {
    loss: 'crossEntropy',
    x: scores,
    y: (k) => chances(k).softmax(1).detach(),
    options: { labelSmoothing: 0.2, weight },
  },
  {
    loss: 'crossEntropy',
    x: scores,
    y: someIgnored,
    options: { labelSmoothing: 0.2, weight, ignoreIndex: -100 },
  },
  { loss: 'nllLoss', x: logChances, y: classes, options: { weight } },
  { loss: 'nllLoss', x: logChances, y: someIgnored, options: { ignoreIndex: -100 } },
  {
    loss: 'binaryCrossEntropyWithLogits',
    x: scores,
    y: chances,
    options: { posWeight: 2.5, weight },
  },
  { loss: 'klDivergence', x: logChances, y: logChances, options: { logTarget: true } },
  { loss: 'multiclassHinge', x: scores, y: classes, options: { margin: 0.3 } },
  { loss: 'crammerSingerHinge', x: scores, y: classes, options: { cost } },
  {
    loss: 'structuredHinge',
    x: scores,
    y: classes,
    options: { distance: cost },
  },
  { loss: 'structuredHinge', x: scores, y: bits, options: { distance: 'hamming' } },
];

describe('compiled losses', function () {
  this.timeout(600_000);
  it('are all here', () => {
    const tried = new Set(CASES.map((c) => c.loss));
    // taxonomy is no loss; the pairs of rankingHinge depend on its values: see below.
    const missing = Object.keys(losses).filter(
      (name) => !tried.has(name) && name !== 'taxonomy' && name !== 'rankingHinge',
    );
    expect(missing).to.deep.equal([]);
    expect([...ELEMENTWISE]).to.include('loss');
  });

  for (const { loss, x, y, options } of CASES) {
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

  it('take class weights and costs of each step', async () => {
    for (const [loss, name, given] of [
      ['crossEntropy', 'weight', (k: number) => real(k, [5], 0, 3)],
      ['nllLoss', 'weight', (k: number) => real(k, [5], 0, 3)],
      ['crammerSingerHinge', 'cost', (k: number) => cost.mul(k + 1)],
    ] as const)
      await expectSame(
        () => ({
          fn: (f: Tensor, target: Tensor, values: Tensor) =>
            all[loss]!(f, target, { [name]: values }),
          args: (k) => [logChances(k), classes(k), given(k)],
        }),
        { what: loss },
      );
  });

  // A wrong index must not be looked up in another example's row, which the flat scores hold next to it.
  for (const [loss, options] of [
    ['crossEntropy', { weight }],
    ['crossEntropy', { labelSmoothing: 0.1 }],
    ['crossEntropy', { ignoreIndex: -100 }],
    ['nllLoss', {}],
    ['nllLoss', { weight, ignoreIndex: -100 }],
    ['multiclassHinge', {}],
    ['crammerSingerHinge', {}],
    ['crammerSingerHinge', { cost }],
    ['structuredHinge', { distance: cost }],
  ] as const)
    it(`${loss} ${JSON.stringify(Object.keys(options))} refuses a class out of range at any step`, () => {
      const step = tg.compile((f: Tensor, target: Tensor) => all[loss]!(f, target, options));
      const run = (...ids: number[]): number =>
        step.runSync(scores(1), tg.tensor(Int32Array.from(ids))).item();
      const fine = run(0, 1, 2, 3, 4, 0);
      for (const wrong of [5, -1, 2 ** 31 - 1])
        expect(() => run(0, 1, wrong, 3, 4, 0), String(wrong)).to.throw(
          `index[2] is ${wrong}, but axis 0 has size 5`,
        );
      expect(run(0, 1, 2, 3, 4, 0)).to.equal(fine);
      step.dispose();
    });

  it('leave out an ignored example, even one of NaN', () => {
    const f = scores(1).dataSync();
    f.fill(NaN, 5, 10);
    const step = tg.compile((x: Tensor, y: Tensor) =>
      losses.crossEntropy(x, y, { ignoreIndex: 9 }),
    );
    const got = step.runSync(
      tg.tensor(f, { shape: [6, 5] }),
      tg.tensor(Int32Array.of(0, 9, 1, 2, 3, 4)),
    );
    expect(got.item()).to.be.greaterThan(0).and.lessThan(10);
    step.dispose();
  });

  it('rankingHinge needs values for its pairs, which is said', () => {
    const step = tg.compile((f: Tensor, y: Tensor) => losses.rankingHinge(f, y));
    expect(() => step.runSync(tg.tensor([1, 2, 3]), tg.tensor([0, 2, 1])))
      .to.throw(/being compiled/)
      .with.property('code', 'TG_TRACE');
  });
});
