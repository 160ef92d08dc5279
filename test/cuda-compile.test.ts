// Compiled functions on a CUDA device, real or emulated: the tests of compiled functions with 'cuda' as the default
// device, in a process of their own; and what only a device has: inputs from elsewhere, its own memory, its own errors.
import { expect } from 'chai';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';
import { losses, nn, optim } from 'tapegrad';
import { runTests } from './children.js';
import { needsDevice } from './cuda/device.js';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const there = { device: 'cuda' } as const;

/** A classifier with its data, the same in each call but for the device. */
function problem(device: tg.Device) {
  tg.manualSeed(5);
  const x = tg.randn([120, 6]);
  const y = tg.tidy(() => x.matmul(tg.randn([6, 3])).argmax({ axis: 1 }));
  const model = new nn.Sequential(
    new nn.Linear(6, 16),
    new nn.Tanh(),
    new nn.Dropout(0.1),
    new nn.Linear(16, 3),
  );
  model.to(device);
  const optimizer = new optim.Adam(model.parameters(), { learningRate: 0.02 });
  const step = tg.compile(
    (a: tg.Tensor, b: tg.Tensor) => {
      const loss = losses.crossEntropy(model.forward(a), b);
      optimizer.zeroGrad();
      loss.backward();
      tg.clipGradNorm(model.parameters(), 0.5);
      optimizer.step();
      return loss;
    },
    { device },
  );
  return { x, y, model, optimizer, step };
}

const weightsOf = (model: nn.Module): number[] =>
  model.parameters().flatMap((p) => [...p.dataSync()]);

function expectNear(got: readonly number[], wanted: readonly number[], difference: number): void {
  expect(got.length).to.equal(wanted.length);
  const worst = Math.max(...got.map((g, i) => Math.abs(g - wanted[i]!)));
  expect(worst, 'largest difference').to.be.at.most(difference);
}

describe('compiled functions on CUDA', function () {
  this.timeout(600_000);
  before(function () {
    needsDevice(this);
  });

  for (const [file, least] of [
    ['compile-nets', 15],
    ['compile-epilogues', 20],
    ['compile-optim', 40],
    ['compile-grads', 10],
    ['compile-nan', 10],
    ['compile-losses', 20],
  ] as const)
    it(`pass ${file}.test.ts there`, async () => {
      const { code, signal, report, stderr } = await runTests({}, [
        ...['--file', here('cuda/default.js'), here(`${file}.test.js`)],
      ]);
      const failures = (report?.failures ?? []).map((f) => `${f.fullTitle}: ${f.err.message}`);
      expect(failures.join('\n'), stderr).to.equal('');
      expect({ code, signal }).to.deep.equal({ code: 0, signal: null });
      expect(report!.passes.length).to.be.at.least(least);
    });

  it('train as on the CPU: dropout, clipping, Adam', () => {
    const run = (device: tg.Device): number[] => {
      const { x, y, model, step } = problem(device);
      for (let k = 0; k < 12; ++k) step.runSync(x, y);
      return weightsOf(model);
    };
    expectNear(run('cuda'), run('cpu'), 2e-5);
  });

  it('take arguments from either side, and give results where they run', async () => {
    const { x, y, step, model } = problem('cuda');
    const fromHost = await step(x, y);
    expect(fromHost.device).to.equal('cuda');
    const weights = weightsOf(model);
    const again = problem('cuda');
    const fromDevice = await again.step(x.to('cuda'), y.to('cuda'));
    expect(fromDevice.item()).to.equal(fromHost.item());
    expect(weightsOf(again.model)).to.deep.equal(weights);
  });

  it('gather batches from tables on either side, with the same bits', async () => {
    const run = async (device: tg.Device): Promise<number[]> => {
      const { x, y, model, step } = problem('cuda');
      const data: [tg.Tensor, tg.Tensor] = [x.to(device), y.to(device)];
      await step.train(data, { epochs: 3, batchSize: 16, seed: 2 }).finished;
      return weightsOf(model);
    };
    expect(await run('cpu')).to.deep.equal(await run('cuda'));
  });

  it('take no memory after the first step', () => {
    const { x, y, step } = problem('cuda');
    step.runSync(x, y).dispose();
    step.runSync(x, y).dispose();
    const before = tg.memory(there);
    for (let k = 0; k < 50; ++k) step.runSync(x, y).dispose();
    const after = tg.memory(there);
    expect(after.systemAllocations).to.equal(before.systemAllocations);
    expect(after.tensors).to.equal(before.tensors);
    expect(after.bytes).to.equal(before.bytes);
  });

  it('give their memory back', () => {
    const { x, y, step } = problem('cuda');
    const before = tg.memory(there).bytes;
    step.runSync(x, y).dispose();
    expect(tg.memory(there).bytes).to.be.above(before);
    step.dispose();
    // What stays: Adam's two states for each weight.
    const states = 2 * 4 * (6 * 16 + 16 + 16 * 3 + 3);
    expect(tg.memory(there).bytes - before).to.be.within(states, 2 * states + 4096);
  });

  it('say so when tensors are on another device than the function', () => {
    const w = tg.randn([3, 2]);
    const step = tg.compile((x: tg.Tensor) => x.matmul(w), there);
    expect(() => step.runSync(tg.ones([2, 3])))
      .to.throw(/matmul: a tensor is on cpu, but this function is being compiled for cuda: move it/)
      .with.property('code', 'TG_TRACE');
    expect(() => tg.compile((x: tg.Tensor) => x, { device: 'gpu' as never })).to.throw(
      TypeError,
      /compile: device must be 'cpu' or 'cuda'/,
    );
  });

  it('notice that a model was moved', () => {
    const { x, y, model, step } = problem('cuda');
    step.runSync(x, y);
    model.to('cpu');
    expect(() => step.runSync(x, y)).to.throw(/moved to another device/);
  });

  it('fit: learns, and validates', async () => {
    const { x, y, model, optimizer } = problem('cuda');
    const report = await tg.fit(model, {
      ...{
        data: { x, y },
        loss: losses.crossEntropy,
        optimizer,
        epochs: 25,
        batchSize: 24,
        seed: 1,
      },
      validation: { x, y },
    }).finished;
    expect(report.validation!.accuracy).to.be.above(0.85);
    expect(model.parameters()[0]!.device).to.equal('cuda');
  });

  it('ends a run at an abort, with the steps that were made', async () => {
    const { x, y, step } = problem('cuda');
    const abort = new AbortController();
    const run = step.train([x, y], { epochs: 100_000, batchSize: 8, signal: abort.signal });
    setTimeout(() => abort.abort(), 100);
    let failure: unknown;
    await run.finished.catch((error: unknown) => (failure = error));
    expect(failure).to.have.property('name', 'AbortError');
    expect(step.runSync(x, y).item()).to.be.finite;
  });
});
