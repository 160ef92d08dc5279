// Steps of a compiled function on a CUDA device, several of them in flight: the same bits as steps that are waited for
// one by one, whatever the timing; and what ends or holds up a run finds every step whole. Run by cuda-flight.test.ts.
import { expect } from 'chai';
import { setTimeout as sleep } from 'node:timers/promises';
import * as tg from 'tapegrad';
import { losses, nn, optim, type Tensor } from 'tapegrad';
import { Program, type NaNPolicy, type RunResult } from '#lib/compile/program.js';
import { native } from '#lib/native.js';
import { collect } from '../collect.js';
import { needsDevice } from './device.js';

const there = { device: 'cuda' } as const;
const BATCH = 4;
const STEPS = 23;
const ROWS = 40;
/** The batch that goes wrong, where one does. */
const BAD = 9;

/** Programs of the test under way: each has a stream, and threads of the emulated device. */
const programs: Program[] = [];
function made(program: Program): Program {
  programs.push(program);
  return program;
}

interface Options {
  device?: tg.Device;
  clip?: { errorIfNonfinite?: boolean };
  /** Puts such a number, or such a class, into the batch `BAD`. */
  bad?: number;
  badClass?: number;
}
/** A net with dropout, running statistics and a rate that changes from step to step. */
function problem({ device = 'cuda', clip, bad = 1, badClass = 2 }: Options = {}) {
  tg.manualSeed(3);
  const x = tg.randn([ROWS, 5]).dataSync() as Float32Array;
  const order = Int32Array.from({ length: STEPS * BATCH }, (_, i) => (i * 7) % (ROWS - 1));
  const y = tg.randint(0, 3, [ROWS]).dataSync() as Int32Array;
  x[(ROWS - 1) * 5] = bad;
  y[ROWS - 1] = badClass;
  order[BAD * BATCH + 1] = ROWS - 1;
  const data = [tg.tensor(x, { shape: [ROWS, 5] }), tg.tensor(y)];
  const model = new nn.Sequential(
    new nn.Linear(5, 8),
    new nn.BatchNorm1d(8),
    new nn.Tanh(),
    new nn.Dropout(0.3),
    new nn.Linear(8, 3),
  );
  model.to(device);
  const optimizer = new optim.Adam(model.parameters(), { learningRate: (t) => 0.05 / (t + 1) });
  const fn = (a: Tensor, b: Tensor): Tensor => {
    const loss = losses.crossEntropy(model.forward(a), b);
    optimizer.zeroGrad();
    loss.backward();
    if (clip) tg.clipGradNorm(model.parameters(), 0.5, clip);
    optimizer.step();
    return loss;
  };
  const like = [tg.ones([BATCH, 5], { device }), tg.zeros([BATCH], { device, dtype: 'int32' })];
  const program = made(new Program(fn, like, device));
  const stalls = (): number =>
    native.programFacts((program as unknown as { id: number }).id).stalls;
  const state = () => ({
    tensors: [...Object.values(model.stateDict()), ...model.parameters()].map((t) => [
      ...t.dataSync(),
    ]),
    steps: optimizer.steps,
    random: tg.randomState(),
  });
  return { data, order, model, optimizer, fn, program, stalls, state };
}
type Problem = ReturnType<typeof problem>;

type Part = Partial<Record<'from' | 'to', number>> & { onNaN?: NaNPolicy };
/** The steps from … to, in one run. */
function request({ data, order }: Problem, { from = 0, to = STEPS, onNaN = 'ignore' }: Part = {}) {
  const rows = order.subarray(from * BATCH, to * BATCH);
  return { steps: to - from, tensors: data, order: rows, onNaN, norm: true };
}
/** The same, each step being waited for; `without` leaves one out. */
function oneByOne(p: Problem, onNaN: NaNPolicy, without?: number): number[] {
  const all: number[] = [];
  for (let k = 0; k < STEPS; ++k) {
    if (k === without) continue;
    const { losses: seen, error } = p.program.runSync(request(p, { from: k, to: k + 1, onNaN }));
    all.push(...seen);
    if (error) break;
  }
  return all;
}
const lossesOf = ({ losses: seen, error }: RunResult): number[] => {
  expect(error).to.equal(null);
  return [...seen];
};
const codeOf = ({ error }: RunResult): unknown => (error as { code?: unknown } | null)?.code;

describe('steps in flight on CUDA', function () {
  this.timeout(120_000);
  before(function () {
    needsDevice(this);
  });
  afterEach(() => {
    for (const program of programs.splice(0)) program.dispose();
  });

  for (const onNaN of ['ignore', 'throw', 'skip'] as const)
    for (const from of ['cpu', 'cuda'] as const)
      it(`give the bits of single steps: rows from ${from}, onNaN ${onNaN}`, async () => {
        const single = problem();
        const wanted = oneByOne(single, onNaN);
        const after = single.state();
        expect(new Set(wanted).size, 'different losses').to.equal(STEPS);
        for (const run of ['run', 'runSync'] as const) {
          const many = problem();
          many.data.splice(0, 2, ...many.data.map((t) => t.to(from)));
          expect(lossesOf(await many.program[run](request(many, { onNaN })))).to.deep.equal(wanted);
          expect(many.state()).to.deep.equal(after);
        }
        const cpu = problem({ device: 'cpu' });
        const here = lossesOf(cpu.program.runSync(request(cpu, { onNaN })));
        const far = here.map((loss, k) => Math.abs(loss - wanted[k]!));
        expect(Math.max(...far)).to.be.below(1e-4);
      });

  it('give the norm of the last step', () => {
    for (const options of [{}, { clip: {} }]) {
      const many = problem(options);
      const { gradientNorm } = many.program.runSync(request(many));
      expect(gradientNorm).to.be.above(0);
      const single = problem(options);
      single.program.runSync(request(single, { to: STEPS - 1 }));
      const last = single.program.runSync(request(single, { from: STEPS - 1 }));
      expect(gradientNorm).to.equal(last.gradientNorm);
    }
  });

  it('let the device go idle once in a run; once in each step where the loss decides', () => {
    for (const [onNaN, clip, inSteps] of [
      ['ignore', undefined, 0],
      ['throw', undefined, 1],
      ['skip', undefined, 1],
      ['ignore', { errorIfNonfinite: true }, 1],
      ['throw', { errorIfNonfinite: true }, 2],
    ] as const) {
      const p = problem({ ...(clip && { clip }) });
      const before = p.stalls();
      lossesOf(p.program.runSync(request(p, { onNaN })));
      const stalls = p.stalls() - before;
      expect(stalls, `onNaN ${onNaN}, ${JSON.stringify(clip)}`).to.equal(STEPS * inSteps + 1);
    }
    const single = problem();
    const before = single.stalls();
    oneByOne(single, 'ignore');
    expect(single.stalls() - before).to.equal(STEPS);
  });

  for (const run of ['run', 'runSync'] as const)
    it(`${run}: a loss that is not finite ends it, or is left out, with all before in place`, async () => {
      for (const options of [{ bad: NaN }, { bad: NaN, clip: {} }]) {
        const single = problem(options);
        oneByOne(single, 'throw');
        const before = single.state();
        const failing = problem(options);
        const failed = await failing.program[run](request(failing, { onNaN: 'throw' }));
        expect(codeOf(failed)).to.equal('TG_NAN');
        expect(failed.error!.message).to.match(/input 0 .*NaN/);
        expect([failed.done, failed.losses.length]).to.deep.equal([BAD, BAD]);
        expect([...failed.losses].every(Number.isFinite)).to.equal(true);
        expect(failing.state()).to.deep.equal(before);

        const without = problem(options);
        const wanted = oneByOne(without, 'skip', BAD);
        const after = without.state();
        const skipping = problem(options);
        const skipped = await skipping.program[run](request(skipping, { onNaN: 'skip' }));
        const seen = lossesOf(skipped);
        expect([skipped.done, skipped.skipped]).to.deep.equal([STEPS, 1]);
        expect(seen.splice(BAD, 1)[0]).to.be.NaN;
        expect(seen).to.deep.equal(wanted);
        expect(skipping.state()).to.deep.equal(after);
      }
    });

  it('a norm that is refused ends the run at its step', async () => {
    const make = () => {
      const w = tg.tensor([1, 2], { requiresGrad: true, ...there });
      const optimizer = new optim.SGD([w], { learningRate: 0.01 });
      const fn = (x: Tensor): Tensor => {
        const loss = x.mul(w).sqrt().sum(); // at 0 the loss is finite, and its gradient is not
        optimizer.zeroGrad();
        loss.backward();
        tg.clipGradNorm([w], 1, { errorIfNonfinite: true });
        optimizer.step();
        return loss;
      };
      return { w, optimizer, program: made(new Program(fn, [tg.ones([1, 2])], 'cuda')) };
    };
    const table = Float32Array.from({ length: 2 * STEPS }, (_, i) => i + 1);
    table.fill(0, 2 * BAD, 2 * BAD + 2);
    const steps = (from: number, to: number) => ({
      steps: to - from,
      tensors: [tg.tensor(table, { shape: [STEPS, 2] })],
      order: Int32Array.from({ length: to - from }, (_, k) => from + k),
      onNaN: 'ignore' as const,
    });
    const p = make();
    const failed = await p.program.run(steps(0, STEPS));
    expect(codeOf(failed)).to.equal('TG_NAN');
    expect(failed.error!.message).to.match(/clipGradNorm: the norm of the gradients is/);
    const single = make();
    const wanted = Array.from({ length: BAD }, (_, k) =>
      lossesOf(single.program.runSync(steps(k, k + 1))),
    );
    expect([...failed.losses]).to.deep.equal(wanted.flat());
    expect([failed.done, p.optimizer.steps]).to.deep.equal([BAD, BAD]);
    expect([...p.w.dataSync()]).to.deep.equal([...single.w.dataSync()]);
    expect(lossesOf(p.program.runSync(steps(0, 2)))).to.have.length(2);
  });

  it('a class out of range ends the run at its step, and later ones have changed nothing', async () => {
    for (const onNaN of ['ignore', 'throw'] as const) {
      const single = problem({ badClass: 99 });
      const wanted = oneByOne(single, onNaN);
      const after = single.state();
      const p = problem({ badClass: 99 });
      const failed = await p.program.run(request(p, { onNaN }));
      expect(failed.error!.message).to.match(/99.*3/);
      expect([failed.done, [...failed.losses]]).to.deep.equal([BAD, wanted]);
      expect(p.state()).to.deep.equal(after);
      expect(lossesOf(p.program.runSync(request(p, { to: 3, onNaN })))).to.have.length(3);
    }
  });

  it('an abort, a read and a write in mid-run find whole steps', async () => {
    const p = problem();
    const order = Int32Array.from({ length: 4000 * BATCH }, (_, i) => p.order[i % p.order.length]!);
    const abort = new AbortController();
    const run = p.program.run({ ...request(p), steps: 4000, order }, abort.signal);
    const weight = p.model.parameters()[0]!;
    const seen: nn.Module[] = [];
    const read: number[][] = [];
    for (let k = 0; k < 12; ++k) {
      tg.ones([1 << 16], there)
        .exp()
        .dispose(); // the copies come after it
      seen.push(p.model.snapshot());
      read.push([...(k % 2 ? weight.dataSync() : await weight.data())]);
      expect(() => weight.copyFrom(weight))
        .to.throw()
        .with.property('code', 'TG_BUSY');
      await sleep(2);
    }
    abort.abort();
    const { done, losses: seenLosses, error } = await run;
    const after = p.state();
    expect(error).to.equal(null);
    expect(done).to.be.within(1, 3999);
    expect([...seenLosses].every(Number.isFinite)).to.equal(true);
    // What was read is what some step left.
    const all = (model: nn.Module): string =>
      Object.values(model.stateDict())
        .map((t) => t.dataSync().join())
        .join(' ');
    const left = [seen.map(all), read.map((values) => values.join())];
    const single = problem();
    const losses = [];
    for (let k = 0; ; ++k) {
      const now = [all(single.model), single.model.parameters()[0]!.dataSync().join()];
      for (const [i, list] of left.entries()) while (list[0] === now[i]) list.shift();
      if (k === done) break;
      const at = (k * BATCH) % order.length;
      const rows = order.subarray(at, at + BATCH);
      losses.push(single.program.runSync({ ...request(single), steps: 1, order: rows }).losses[0]!);
    }
    expect(left, 'what is of no step').to.deep.equal([[], []]);
    expect(losses).to.deep.equal([...seenLosses]);
    expect(single.state()).to.deep.equal(after);
  });

  it('disposed of in mid-run: the steps made count, and all memory comes back', async () => {
    const p = problem();
    const interrupt = async (after: number): Promise<void> => {
      const one = new Program(
        p.fn,
        p.data.map((t) => t.slice({ axis: 0, start: 0, end: BATCH })),
        'cuda',
      );
      const order = new Int32Array(4000 * BATCH);
      const run = one.run({ ...request(p), steps: 4000, order });
      await sleep(after);
      one.dispose();
      const { error, done } = await run;
      expect(error).to.have.property('code', 'TG_DISPOSED');
      expect(done).to.be.below(4000);
    };
    await interrupt(0); // by then nothing awaits what earlier tests made
    collect();
    const before = tg.memory(there);
    for (let round = 0; round < 5; ++round) await interrupt(3 * round);
    collect();
    const after = tg.memory(there);
    expect(after.bytes).to.be.at.most(before.bytes);
    expect(after.tensors).to.be.at.most(before.tensors);
  });

  it('large batches use less memory, with the same bits', () => {
    const rows = 6;
    const x = tg.randn([rows, 5 << 19]); // two rows are 20 MiB
    const program = new Program(
      (a: Tensor) => a.slice({ axis: 1, start: 7, end: 50 }).sum(),
      [tg.zeros([2, 5 << 19])],
      'cuda',
    );
    const order = Int32Array.from({ length: 2 * 9 }, (_, i) => (5 * i) % rows);
    const all = { steps: 9, tensors: [x], order, onNaN: 'ignore' } as const;
    const single = Array.from({ length: 9 }, (_, k) => {
      const one = { ...all, steps: 1, order: order.subarray(2 * k, 2 * k + 2) };
      return program.runSync(one).losses[0]!;
    });
    expect(lossesOf(program.runSync(all))).to.deep.equal(single);
    program.dispose();
  });

  it('train and fit: reports, schedules and early ends as step by step', async () => {
    const run = async (reportEvery: number) => {
      const { data, model, optimizer, fn, state } = problem();
      const step = tg.compile(fn, there);
      const options = { epochs: 3, batchSize: BATCH, seed: 4, reportEvery };
      const seen = [];
      for await (const { step: at, loss } of step.train(data, options)) seen.push([at, loss]);
      const fitted = await tg.fit(model, {
        data: { x: data[0]!, y: data[1]! },
        ...{ loss: losses.crossEntropy, optimizer, epochs: 2, batchSize: BATCH, seed: 4 },
        reportEvery,
      }).finished;
      return { seen, state: state(), last: fitted.loss };
    };
    const [often, seldom] = [await run(1), await run(5)];
    expect(seldom.state).to.deep.equal(often.state);
    for (const [at, loss] of seldom.seen) {
      const means = often.seen.filter(([k]) => k! > at! - 5 && k! <= at! && at! % 5 === 0);
      if (means.length < 5) continue;
      expect(loss).to.be.closeTo(means.reduce((sum, [, l]) => sum + l!, 0) / 5, 1e-12);
    }
  });
});
