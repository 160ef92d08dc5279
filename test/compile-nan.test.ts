// What a compiled step does about a loss that is not finite: nothing, an error that names the op, or leaving the
// step out as if its batch had not been there.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { losses, nn, optim, type Tensor } from 'tapegrad';
import { valueBits } from './catalogue/harness.js';
import { batch, labels, stateOf } from './compile/tools.js';

const ROWS = 6;
/** Batch norm writes its running statistics before the loss is known. */
function classifier() {
  tg.manualSeed(11);
  const model = new nn.Sequential(
    new nn.Linear(4, 8),
    new nn.BatchNorm1d(8),
    new nn.ReLU(),
    new nn.Linear(8, 3),
  );
  const optimizer = new optim.Adam(model.parameters(), { learningRate: (t) => 0.1 / (t + 1) });
  const step = tg.compile((x: Tensor, y: Tensor) => {
    const loss = losses.crossEntropy(model.forward(x), y);
    optimizer.minimize(loss);
    return loss;
  });
  const state = () => ({
    bits: [...Object.values(model.stateDict()), ...stateOf([], optimizer)].map(valueBits),
    steps: optimizer.steps,
    rate: optimizer.learningRate,
    random: tg.randomState(),
  });
  return { step, state, optimizer };
}
const good = (k: number): [Tensor, Tensor] => [batch(k, [ROWS, 4]), labels(k, ROWS, 3)];
const bad = (value: number): [Tensor, Tensor] => {
  const data = batch(9, [ROWS, 4]).dataSync();
  data[5] = value;
  return [tg.tensor(data, { shape: [ROWS, 4] }), labels(9, ROWS, 3)];
};
const failure = async (work: () => unknown): Promise<Error & { code?: string }> => {
  try {
    await work();
  } catch (error) {
    return error as Error;
  }
  expect.fail('nothing was thrown');
};

describe('a loss that is not finite', () => {
  for (const value of [NaN, Infinity, -Infinity]) {
    it(`from an input of ${value}: an error names the input, and no bit has changed`, async () => {
      const { step, state } = classifier();
      step.runSync(...good(0));
      const before = state();
      for (const run of [
        () => step.runSync(...bad(value), { onNaN: 'throw' }),
        () => step(...bad(value), { onNaN: 'throw' }),
      ]) {
        const error = await failure(run);
        expect(error.code).to.equal('TG_NAN');
        expect(error.message).to.match(/input 0 .*NaN or infinity/);
        expect(state()).to.deep.equal(before);
      }
    });

    it(`from an input of ${value}: a skipped step changes no bit, and later ones are as without it`, async () => {
      const plain = classifier();
      plain.step.runSync(...good(8)); // makes the optimizer's arrays
      for (let k = 0; k < 5; ++k) plain.step.runSync(...good(k));
      const wanted = plain.state();
      const { step, state } = classifier();
      step.runSync(...good(8));
      for (let k = 0; k < 5; ++k) {
        const before = state();
        step.runSync(...bad(value), { onNaN: 'skip' });
        expect(state(), `after the bad batch ${k}`).to.deep.equal(before);
        await step(...good(k), { onNaN: 'skip' });
        if (k % 2) await step(...bad(value), { onNaN: 'skip' });
      }
      expect(state()).to.deep.equal(wanted);
    });
  }

  it('ignored unless told', () => {
    const { step, optimizer } = classifier();
    expect(step.runSync(...bad(NaN)).item()).to.be.NaN;
    expect(optimizer.steps).to.equal(1);
  });

  const OPS: Readonly<Record<string, (x: Tensor) => Tensor>> = {
    log: (x) => x.sub(5).log().sum(),
    div: (x) => x.div(x.mul(0)).mean(),
    exp: (x) => x.add(1000).exp().mean(),
    sqrt: (x) =>
      x
        .neg()
        .matmul(tg.ones([2, 2]))
        .sqrt()
        .sum(),
  };
  for (const [name, f] of Object.entries(OPS))
    it(`names ${name}, where it began`, async () => {
      const step = tg.compile((x: Tensor) => f(x));
      const error = await failure(() => step(tg.ones([2, 2]), { onNaN: 'throw' }));
      expect(error.code).to.equal('TG_NAN');
      expect(error.message).to.match(new RegExp(`\\b${name} was the first`));
      expect((await step(tg.ones([2, 2]))).item()).to.satisfy((v: number) => !Number.isFinite(v));
    });

  it('in the middle of train: skipped and counted, or the end of it with all before in place', async () => {
    const rows = 5 * ROWS;
    const x = batch(3, [rows, 4]).dataSync();
    x[2 * ROWS * 4 + 1] = NaN;
    const data: [Tensor, Tensor] = [tg.tensor(x, { shape: [rows, 4] }), labels(3, rows, 3)];
    const part = (k: number): [Tensor, Tensor] => {
      const cut = { axis: 0, start: k * ROWS, end: (k + 1) * ROWS };
      return [data[0].slice(cut), data[1].slice(cut)];
    };
    const options = { batchSize: ROWS, shuffle: false, seed: 1 };
    const end = async (ks: number[]) => {
      const one = classifier();
      for (const k of ks) await one.step(...part(k));
      return one.state();
    };
    const skipping = classifier();
    const report = await skipping.step.train(data, { ...options, onNaN: 'skip' }).finished;
    expect(report).to.include({ skipped: 1, step: 5 });
    expect(report.loss).to.be.finite;
    expect(skipping.state()).to.deep.equal(await end([0, 1, 3, 4]));
    const failing = classifier();
    const error = await failure(() => failing.step.train(data, options).finished);
    expect(error.code).to.equal('TG_NAN');
    expect(failing.state()).to.deep.equal(await end([0, 1]));
  });

  it('leaves out random numbers of a skipped step', async () => {
    const run = async (withBad: boolean) => {
      tg.manualSeed(3);
      const step = tg.compile((x: Tensor) => {
        return x.add(tg.rand([3])).sum();
      });
      const seen = [];
      for (let k = 0; k < 3; ++k) {
        if (withBad) await step(tg.full([3], NaN), { onNaN: 'skip' });
        seen.push((await step(tg.ones([3]))).item());
      }
      return seen;
    };
    expect(await run(true)).to.deep.equal(await run(false));
  });
});
