// Programs while they run: ended at any time, from any side, and fed by sources of every temper. What might crash is a
// child process, judged by its code and signal. TAPEGRAD_LONG=1: as many endings as make rare ones likely.
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';

const CHILD = fileURLToPath(new URL('./workers/running.js', import.meta.url));
const LONG = process.env['TAPEGRAD_LONG'] === '1';

interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}
/** `atLine`: what to do once it has said something. */
function run(args: (string | number)[], atLine?: (kill: () => void) => void): Promise<Ending> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--expose-gc', CHILD, ...args.map(String)], {
      timeout: 600_000,
      killSignal: 'SIGABRT',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (s: string) => {
      stdout += s;
      atLine?.(() => child.kill('SIGTERM'));
    });
    child.stderr.setEncoding('utf8').on('data', (s: string) => (stderr += s));
    child.on('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr });
    });
  });
}
async function succeeds(...args: (string | number)[]): Promise<Record<string, unknown>> {
  const { code, signal, stdout, stderr } = await run(args);
  expect({ code, signal, stderr }).to.deep.equal({ code: 0, signal: null, stderr: '' });
  return JSON.parse(stdout) as Record<string, unknown>;
}

const BATCH = 8;
const ROWS = 64;
/** A network, its compiled step, and the data; deterministic. */
function setUp() {
  tg.manualSeed(7);
  const model = new tg.nn.Sequential(
    new tg.nn.Linear(6, 16),
    new tg.nn.Tanh(),
    new tg.nn.Linear(16, 3),
  );
  const optimizer = new tg.optim.Adam(model.parameters(), { learningRate: 1e-3 });
  const eager = (x: tg.Tensor, y: tg.Tensor): tg.Tensor => {
    const loss = tg.losses.crossEntropy(model.forward(x), y);
    optimizer.minimize(loss);
    return loss;
  };
  const step = tg.compile(eager);
  const x = tg.keep(tg.randn([ROWS, 6]));
  const y = tg.keep(tg.randint(0, 3, [ROWS]));
  const batch = (k: number): [tg.Tensor, tg.Tensor] => {
    const start = (k % (ROWS / BATCH)) * BATCH;
    const rows = { axis: 0, start, end: start + BATCH };
    return [x.slice(rows), y.slice(rows)];
  };
  const values = (): number[] =>
    model.parameters().flatMap((p) => [...(p.dataSync() as Float32Array)]);
  return { model, optimizer, eager, step, x, y, batch, values };
}
type SetUp = ReturnType<typeof setUp>;

/** The error that a promise is rejected with. */
async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('was not rejected');
}
/** Until it has reported, and the next steps are under way. */
async function begun(training: tg.TrainingRun): Promise<void> {
  await training[Symbol.asyncIterator]().next();
  await setImmediate();
}
/** Whether a step works, and counts. */
async function goesOn({ step, optimizer, batch }: SetUp): Promise<void> {
  const before = optimizer.steps;
  const loss = await step(...batch(0));
  expect(loss.item()).to.be.within(0, 10);
  expect(optimizer.steps).to.equal(before + 1);
}

describe('running programs', function () {
  this.timeout(600_000);
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  before(() => process.on('unhandledRejection', note));
  after(() => process.off('unhandledRejection', note));
  afterEach(async () => {
    await setImmediate();
    expect(unhandled.splice(0)).to.deep.equal([]);
  });

  it('200 aborts at random times: each lands between two steps, and nothing is lost', async () => {
    const all = setUp();
    const { model, optimizer, step, x, y, batch, values } = all;
    const twin = setUp();
    let seed = 1;
    const random = (): number => (seed = (Math.imul(seed, 48271) >>> 0) % 2147483647) / 2147483647;
    let most = 0;
    for (let round = 0; round < 200; ++round) {
      twin.model.loadStateDict(model.stateDict());
      twin.optimizer.loadStateDict(optimizer.stateDict());
      const from = optimizer.steps;
      const later = random() * 4;
      const kind = round % 4;
      const controller = new AbortController();
      let made = 0;
      if (kind === 3) {
        // One step, aborted before it starts, while it runs or never.
        if (random() < 0.3) controller.abort();
        const promise = step(...batch(0), { signal: controller.signal });
        controller.abort();
        await promise.then(
          () => ++made,
          (error: Error) => expect(error.name).to.equal('AbortError'),
        );
      } else {
        const { signal } = controller;
        const training = step.train([x, y], {
          epochs: 1e6,
          batchSize: BATCH,
          shuffle: false,
          reportEvery: 25,
          ...(kind === 0 && { signal }),
        });
        if (kind === 2) {
          let left = Math.floor(later * 3);
          for await (const report of training) if (report.step > 0 && left-- <= 0) break;
        } else {
          await sleep(later);
          if (kind === 0) controller.abort(new Error('enough'));
          else training.abort(new Error('enough'));
        }
        const error = await rejection(training.finished);
        expect(error.message).to.match(/enough|abort/);
        made = optimizer.steps - from;
      }
      expect(optimizer.steps).to.equal(from + made);
      most = Math.max(most, made);
      for (let k = 0; k < made; ++k) twin.step.runSync(...twin.batch(k)).dispose();
      expect(twin.values()).to.deep.equal(values());
      if (round % 10 === 0) await goesOn(all);
    }
    expect(most).to.be.greaterThan(50);
  });

  it('an aborted run is where as many eager steps lead', async () => {
    const { optimizer, step, x, y, values } = setUp();
    const twin = setUp();
    const training = step.train([x, y], { epochs: 1e6, batchSize: BATCH, shuffle: false });
    await begun(training);
    training.abort();
    await rejection(training.finished);
    expect(optimizer.steps).to.be.greaterThan(0);
    for (let k = 0; k < optimizer.steps; ++k) twin.eager(...twin.batch(k));
    const expected = twin.values();
    for (const [i, value] of values().entries()) expect(value).to.be.closeTo(expected[i]!, 1e-4);
  });

  it('dispose while it runs: a rejection that says so; the steps that were made count', async () => {
    const all = setUp();
    const { optimizer, step, x, y, batch, values } = all;
    const training = step.train([x, y], { epochs: 1e6, batchSize: BATCH, shuffle: false });
    await begun(training);
    step.dispose();
    const error = await rejection(training.finished);
    expect(error.code).to.equal('TG_DISPOSED');
    // In the midst of a block of steps, or after its last.
    expect(error.message).to.match(/disposed of while it ran; \d+ of \d+ steps|was disposed of$/);
    const twin = setUp();
    for (let k = 0; k < optimizer.steps; ++k) twin.step.runSync(...twin.batch(k)).dispose();
    expect(values()).to.deep.equal(twin.values());

    const one = step(...batch(0));
    step.dispose();
    expect((await rejection(one)).code).to.equal('TG_DISPOSED');
    await goesOn(all);

    // While it waits for data that never comes.
    const never = step.train({
      [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }),
    });
    await setImmediate();
    step.dispose();
    expect((await rejection(never.finished)).code).to.equal('TG_DISPOSED');
  });

  it('abort ends a run that waits for a slow source', async () => {
    const all = setUp();
    let answer = (): void => undefined;
    const answered = new Promise<void>((resolve) => (answer = resolve));
    let closed = false;
    async function* slow(): AsyncGenerator<tg.Tensor[]> {
      try {
        yield all.batch(0);
        yield all.batch(1);
        await answered;
        yield all.batch(2);
      } finally {
        closed = true;
      }
    }
    const training = all.step.train(slow());
    while (all.optimizer.steps === 0) await sleep(1);
    await sleep(20); // the second batch waits for the third, which may end the epoch
    training.abort();
    expect((await rejection(training.finished)).name).to.equal('AbortError');
    expect(all.optimizer.steps).to.equal(1);
    await goesOn(all);
    expect(closed).to.equal(false);
    answer();
    while (!closed) await setImmediate();
  });

  for (const kind of ['sync', 'async'] as const)
    for (const at of [0, 1, 2, 5])
      it(`a source that throws (${kind}) at batch ${at}: the batches before it are trained on`, async () => {
        const all = setUp();
        function* throwing(): Generator<tg.Tensor[]> {
          for (let k = 0; k < at; ++k) yield all.batch(k);
          throw new Error('the disk is on fire');
        }
        async function* throwingAsync(): AsyncGenerator<tg.Tensor[]> {
          for (const batch of throwing()) {
            await setImmediate();
            yield batch;
          }
        }
        const source = kind === 'sync' ? throwing() : throwingAsync();
        const reports: tg.TrainReport[] = [];
        const training = all.step.train(source, { reportEvery: 1 });
        const error = await rejection(
          (async () => {
            for await (const report of training) reports.push(report);
          })(),
        );
        expect(error.message).to.equal('the disk is on fire');
        expect(reports.length).to.equal(at);
        expect(all.optimizer.steps).to.equal(at);
        await goesOn(all);
      });

  it('a wrong shape, dtype or kind in mid-epoch: a rejection that names it, after the batches before it', async () => {
    const wrong: [unknown, RegExp][] = [
      [[tg.randn([BATCH, 5]), tg.zeros([BATCH], { dtype: 'int32' })], /matmul|linear|5/],
      [[tg.randn([BATCH, 6]), tg.zeros([BATCH - 1], { dtype: 'int32' })], /crossEntropy/],
      [[tg.randn([BATCH, 6])], /./],
      ['a string', /batch/],
      [null, /batch/],
      [[new Float32Array(3), 'y'], /part 1 of a batch/],
    ];
    for (const [bad, message] of wrong) {
      const all = setUp();
      const training = all.step.train([all.batch(0), all.batch(1), bad, all.batch(2)]);
      expect((await rejection(training.finished)).message).to.match(message);
      expect(all.optimizer.steps).to.equal(2);
      await goesOn(all);
    }
  });

  it('a source is read at most three batches ahead, and waits for training', async () => {
    const { step, optimizer, batch } = setUp();
    let made = 0;
    let ahead = 0;
    function* source(): Generator<tg.Tensor[]> {
      for (; made < 60; ++made) {
        ahead = Math.max(ahead, made - optimizer.steps);
        yield batch(made);
      }
    }
    await step.train(source()).finished;
    expect(optimizer.steps).to.equal(60);
    // The batch that is being trained on, and three more.
    expect(ahead).to.be.within(1, 3);
  });

  it('a slow source costs no processor time', async () => {
    const { step, batch } = setUp();
    await step(...batch(0));
    async function* slow(): AsyncGenerator<tg.Tensor[]> {
      for (let k = 0; k < 10; ++k) {
        await sleep(50);
        yield batch(k);
      }
    }
    const before = process.cpuUsage();
    await step.train(slow()).finished;
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1e3).to.be.below(250); // ms, of more than 500
  });

  it('a reader of reports that is slow, or gone, does not stall training; two share them', async () => {
    const all = setUp();
    const options = { epochs: 300, batchSize: BATCH, reportEvery: 1 };
    const training = all.step.train([all.x, all.y], options);
    const seen: number[] = [];
    const reader = async (): Promise<void> => {
      for await (const { step } of training) {
        seen.push(step);
        await sleep(1);
      }
    };
    const readers = [reader(), reader()];
    expect((await training.finished).step).to.equal(2400);
    expect(seen.length).to.be.below(2400);
    await Promise.all(readers);
    expect(seen.at(-1)).to.equal(2400);
    expect(new Set(seen).size).to.equal(seen.length);
  });

  it('a source that ends early or has nothing to say', async () => {
    const all = setUp();
    const report = await all.step.train([all.batch(0)]).finished;
    expect(report.step).to.equal(1);
    const once = (function* () {
      yield all.batch(0);
    })();
    const error = await rejection(all.step.train(once, { epochs: 2 }).finished);
    expect(error.message).to.match(/no batches in epoch 2/);
    expect(all.optimizer.steps).to.equal(2);
    await goesOn(all);
  });

  it('shapes that churn: one warning for each function, few programs kept', async () => {
    const warnings: (Error & { code?: string })[] = [];
    const listen = (w: Error): void => {
      if (w.name === 'TapegradWarning') warnings.push(w);
    };
    process.on('warning', listen);
    try {
      const double = tg.compile((x: tg.Tensor) => x.mul(2), { cacheSize: 4 });
      for (let n = 1; n <= 4; ++n) await double(tg.ones([n]));
      for (let n = 1; n <= 4; ++n) await double(tg.ones([n]));
      await setImmediate();
      expect(warnings).to.deep.equal([]);
      for (let n = 5; n <= 12; ++n)
        expect((await double(tg.ones([n]))).dataSync()).to.deep.equal(new Float32Array(n).fill(2));
      await setImmediate();
      expect(warnings.length).to.equal(1);
      expect(warnings[0]!.message).to.match(/float32\[4\]; float32\[5\]/);
      expect(warnings[0]!.message).to.match(/dropLast/);
      expect(double.versions).to.equal(4);
      // Those that run are not taken away, however many there are.
      const results = await Promise.all(
        Array.from({ length: 8 }, (_, n) => double(tg.ones([20 + n]))),
      );
      for (const [n, r] of results.entries()) expect(r.sum().item()).to.equal(2 * (20 + n));
    } finally {
      process.off('warning', listen);
    }
  });

  describe('endings', () => {
    it('a compiled function that nobody holds is not collected while it trains', async () => {
      expect(await succeeds('collected', 6)).to.deep.equal({ steps: Array(6).fill(1600) });
    });
    it('a run keeps the process alive, and its end lets it end', async () => {
      expect(await succeeds('alive', 20)).to.deep.equal({ reports: 20 });
    });
    it('workers terminated in mid-run', async () => {
      const { grown } = (await succeeds('terminate', LONG ? 100 : 30)) as { grown: number };
      expect(grown).to.be.below(30); // MiB
    });
    it('process.exit in mid-run', async () => {
      for (let i = 0; i < (LONG ? 50 : 12); i += 2)
        for (const ending of await Promise.all([run(['exit', 1, i]), run(['exit', 1, i + 1])]))
          expect(ending).to.deep.equal({ code: 7, signal: null, stdout: '', stderr: '' });
    });
    it('process.exit, and an error that nobody catches, in a worker in mid-run end it alone', async () => {
      expect(await succeeds('worker-exit')).to.deep.equal({ ended: 7 });
      expect(await succeeds('worker-throw')).to.deep.equal({ ended: 'in mid-run' });
    });
    it('an error that nobody catches in mid-run ends the process as any other', async () => {
      const { code, signal, stderr } = await run(['throw']);
      expect({ code, signal }).to.deep.equal({ code: 1, signal: null });
      expect(stderr).to.include('Error: in mid-run');
    });
    it('SIGTERM in mid-run ends the process at once', async () => {
      const { code, signal } = await run(['signal'], (kill) => {
        kill();
      });
      expect({ code, signal }).to.deep.equal({ code: null, signal: 'SIGTERM' });
    });
  });
});
