// Checkpoints of fit: that a resumed run has the bits of one that was never stopped, and that no end of a process,
// however rude, leaves a file that is less than whole.
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';
import { data, losses, nn, optim } from 'tapegrad';
import { makeData, Net, outcome, setUp, type Kind } from './workers/fit-setup.js';

const PROGRAM = fileURLToPath(new URL('./workers/fit.js', import.meta.url));

let box = '';
let path = '';
function useBox(): void {
  beforeEach(() => {
    box = fs.mkdtempSync(join(tmpdir(), 'fit-'));
    path = join(box, 'run.safetensors');
  });
  afterEach(() => {
    fs.rmSync(box, { recursive: true });
  });
}

async function finish(kind: Kind, more: Partial<tg.FitOptions> = {}, seed = 5): Promise<string> {
  const made = setUp(kind, seed);
  const report = await tg.fit(made.model, { ...made.options, ...more }).finished;
  return outcome(made, report);
}

describe('fit: resuming', function () {
  this.timeout(600_000);
  useBox();

  for (const kind of ['schedule', 'plateau'] as const)
    it(`gives the bits of the uninterrupted run at every cut, with a ${kind}`, async () => {
      const whole = await finish(kind);
      const keep = 100;
      expect(await finish(kind, { checkpoint: { path, everySteps: 1, keep } })).to.equal(whole);
      const cuts = fs.readdirSync(box);
      // The plateau's run stops early.
      expect(cuts.length).to.be.least(kind === 'schedule' ? 54 : 20);
      let boundaries = 0;
      for (const cut of cuts) {
        // Another seed: nothing may depend on what the model and the generator were before.
        const made = setUp(kind, 99);
        const run = tg.fit(made.model, { ...made.options, resume: join(box, cut) });
        const reports: tg.FitReport[] = [];
        for await (const r of run) reports.push(r);
        expect(outcome(made, reports.at(-1)!) === whole, cut).to.equal(true);
        if (reports[0]!.step % 6 === 4) ++boundaries;
      }
      expect(boundaries).to.be.greaterThan(2);
    });

  it('is exact after aborts at random moments, again and again', async () => {
    const whole = await finish('plateau');
    for (let trial = 0; trial < 10; ++trial) {
      fs.rmSync(path, { force: true });
      for (let attempt = 0; ; ++attempt) {
        const stop = new AbortController();
        const made = setUp('plateau', fs.existsSync(path) ? 50 + attempt : 5);
        const run = tg.fit(made.model, {
          ...made.options,
          checkpoint: { path, everyEpochs: 1000 },
          resume: true,
          signal: stop.signal,
        });
        // Longer each time, so that a machine that is busy gets there, too.
        const ms = Math.random() * 12 + trial / 2 + attempt;
        const timer = globalThis.setTimeout(() => stop.abort(), ms);
        const end = await run.finished.catch((error: unknown) => error);
        clearTimeout(timer);
        if (!stop.signal.aborted || !(end instanceof Error)) {
          expect(outcome(made, end as tg.FitReport) === whole).to.equal(true);
          break;
        }
        expect(end.name).to.equal('AbortError');
      }
    }
  });

  it('goes on in mid-epoch with loaders, streams and batches made for each epoch', async () => {
    const rows = makeData();
    const x = rows.x.toArray() as number[][];
    const y = [...rows.y.dataSync()];
    const get = (i: number) => ({ x: Float32Array.from(x[i]!), y: Int32Array.of(y[i]!) });
    const collate = (examples: unknown[]) => {
      const list = examples as ReturnType<typeof get>[];
      return [
        tg.tensor(list.map((e) => [...e.x])),
        tg.tensor(Int32Array.from(list, (e) => e.y[0]!)),
      ];
    };
    const sources: (() => tg.FitOptions['data'])[] = [
      () => new data.DataLoader(rows, { batchSize: 16, shuffle: true, seed: 3 }) as never,
      () =>
        new data.DataLoader(
          { length: 90, get },
          { batchSize: 16, shuffle: true, seed: 3, collate },
        ) as never,
      () =>
        new data.DataLoader(
          async function* () {
            for (let i = 0; i < 90; ++i) yield await Promise.resolve(get(i));
          },
          { batchSize: 16, collate },
        ) as never,
      () => (epoch: number) =>
        Array.from({ length: 5 }, (_, b) =>
          collate([0, 1, 2, 3, 4, 5].map((i) => get((i * 7 + b + epoch) % 90))),
        ),
    ];
    for (const source of sources) {
      fs.rmSync(box, { recursive: true });
      fs.mkdirSync(box);
      const checkpoint = { path, everySteps: 7, keep: 20 };
      const more = { epochs: 4, validation: undefined as never, reportEvery: 3 };
      const whole = await finish('schedule', { ...more, data: source(), checkpoint });
      const cuts = fs.readdirSync(box);
      expect(cuts.length).to.be.greaterThan(2);
      for (const cut of cuts)
        expect(
          (await finish('schedule', { ...more, data: source(), resume: join(box, cut) }, 77)) ===
            whole,
          `${sources.indexOf(source)} ${cut}`,
        ).to.equal(true);
    }
  });

  it('goes on for more epochs, and says at once when there is nothing left', async () => {
    const whole = await finish('schedule');
    await finish('schedule', { epochs: 3, checkpoint: { path } });
    const more = { checkpoint: { path }, resume: true };
    expect(await finish('schedule', more, 8)).to.equal(whole);
    const before = fs.readFileSync(path);
    const made = setUp('schedule', 9);
    const reports = [];
    for await (const r of tg.fit(made.model, { ...made.options, ...more })) reports.push(r);
    expect(reports.map((r) => r.epoch)).to.deep.equal([9]);
    expect(outcome(made, reports[0]!)).to.equal(whole);
    expect(fs.readFileSync(path).equals(before)).to.equal(true);
  });

  it('is exact if the abort came in the midst of validation', async () => {
    const examples = () => {
      const { x, y } = makeData(40);
      const labels = y.dataSync();
      return (x.toArray() as number[][]).map((r, i) => [Float32Array.from(r), labels[i]!]);
    };
    const collate = (list: unknown[]) => {
      const pairs = list as [Float32Array, number][];
      return [
        tg.tensor(pairs.map(([x]) => [...x])),
        tg.tensor(Int32Array.from(pairs, ([, y]) => y)),
      ];
    };
    const held = (stop?: AbortController, at = 0) =>
      new data.DataLoader(
        function* (epoch: number) {
          for (const [i, e] of examples().entries()) {
            if (epoch === at && i === 20) stop?.abort();
            yield e;
          }
        } as never,
        { batchSize: 8, seed: 0, collate, prefetch: 0 },
      ) as never;
    const whole = await finish('plateau', { validation: held() });
    for (const at of [0, 2, 5]) {
      const stop = new AbortController();
      const checkpoint = { path, everyEpochs: 1000 };
      const validation = held(stop, at);
      const cut = setUp('plateau');
      const run = tg.fit(cut.model, {
        ...cut.options,
        validation,
        checkpoint,
        signal: stop.signal,
      });
      const error = await run.finished.catch((e: unknown) => e as Error);
      expect(error).to.have.property('name', 'AbortError');
      expect(cut.optimizer.steps).to.equal(6 * (at + 1));
      const made = setUp('plateau', 3);
      const reports = [];
      const seen: number[] = [];
      for await (const r of tg.fit(made.model, {
        ...made.options,
        validation: held(),
        resume: path,
        onEpoch: (r) => void seen.push(r.epoch),
      }))
        reports.push(r);
      expect(reports[0]).to.have.property('validation');
      expect(seen[0]).to.equal(at + 1);
      expect(outcome(made, reports.at(-1)!)).to.equal(whole);
    }
  });

  it('starts anew with resume: true if there is no file yet', async () => {
    const checkpoint = { path, everyEpochs: 4 };
    expect(await finish('schedule', { checkpoint, resume: true })).to.equal(
      await finish('schedule'),
    );
    expect(fs.readdirSync(box)).to.deep.equal(['run.safetensors']);
  });

  it('goes on op by op, too', async () => {
    const whole = await finish('schedule', { eager: true });
    await finish('schedule', { eager: true, checkpoint: { path, everySteps: 5, keep: 6 } });
    for (const cut of fs.readdirSync(box))
      expect(await finish('schedule', { eager: true, resume: join(box, cut) }, 2)).to.equal(whole);
  });
});

describe('checkpoints', function () {
  this.timeout(600_000);
  useBox();

  it('hold model, optimizer, generator and loader, for loops of one’s own', () => {
    const make = (seed: number) => {
      tg.manualSeed(seed);
      const model = new Net();
      const optimizer = new optim.Adam(model.parameters());
      const loader = new data.DataLoader(makeData(), { batchSize: 16, shuffle: true, seed: 4 });
      return { model, optimizer, loader };
    };
    const train = ({ model, optimizer, loader }: ReturnType<typeof make>, count: number) => {
      let left = count;
      for (const { x, y } of loader) {
        tg.tidy(() => optimizer.minimize(losses.crossEntropy(model.forward(x), y)));
        if (--left === 0) break;
      }
      return JSON.stringify(
        [model.stateDict(), optimizer.stateDict().numbers, tg.randomState()],
        (_, v: unknown) => (tg.isTensor(v) ? [...v.dataSync()] : v),
      );
    };
    const first = make(1);
    train(first, 3);
    tg.saveCheckpoint(path, first);
    const whole = train(first, 2);
    const second = make(2);
    tg.loadCheckpoint(path, second);
    expect(train(second, 2)).to.equal(whole);
    // The model alone, from the same file.
    const third = make(3);
    tg.loadCheckpoint(path, { model: third.model });
  });

  it('load where every step so far was skipped', async () => {
    const { x, y } = makeData(6);
    const wrong = tg.full([6, 5], NaN);
    const made = setUp('schedule');
    const only = { ...made.options, epochs: 1, onNaN: 'skip' as const };
    const run = tg.fit(made.model, { ...only, data: () => [[wrong, y]], checkpoint: { path } });
    expect((await run.finished).skipped).to.equal(1);
    const next = setUp('schedule', 2);
    const data = () => [[x, y]];
    await tg.fit(next.model, { ...next.options, epochs: 2, data, resume: path }).finished;
    expect(next.optimizer.steps).to.equal(1);
  });

  it('are refused if any bit of the file is wrong, and change nothing then', async () => {
    const made = setUp('plateau');
    await tg.fit(made.model, { ...made.options, epochs: 1, checkpoint: { path } }).finished;
    const good = fs.readFileSync(path);
    const { model, optimizer } = setUp('plateau', 6);
    const before = JSON.stringify(model.stateDict(), (_, v: unknown) =>
      tg.isTensor(v) ? [...v.dataSync()] : v,
    );
    let tried = 0;
    for (let bit = 0; bit < good.length * 8; bit += 97) {
      const bad = Buffer.from(good);
      bad[bit >> 3]! ^= 1 << (bit & 7);
      fs.writeFileSync(path, bad);
      ++tried;
      expect(() => tg.loadCheckpoint(path, { model, optimizer }), `bit ${bit}`).to.throw(
        tg.TapegradError,
        path,
      );
    }
    expect(tried).to.be.greaterThan(500);
    for (const length of [0, 7, 100, good.length - 1]) {
      fs.writeFileSync(path, good.subarray(0, length));
      expect(() => tg.loadCheckpoint(path, { model, optimizer })).to.throw(tg.TapegradError, path);
    }
    const after = JSON.stringify(model.stateDict(), (_, v: unknown) =>
      tg.isTensor(v) ? [...v.dataSync()] : v,
    );
    expect(after).to.equal(before);
    fs.writeFileSync(path, good);
    tg.loadCheckpoint(path, { model, optimizer });
  });

  it('are refused if they are of another model, optimizer, loader, kind or version', async () => {
    const made = setUp('schedule');
    await tg.fit(made.model, { ...made.options, epochs: 1, checkpoint: { path } }).finished;
    const refuse = async (
      kind: Kind,
      more: Partial<tg.FitOptions>,
      message: RegExp,
      classes = 3,
    ) => {
      const other = setUp(kind, 1, classes);
      const bits = outcome(other, {} as never);
      const run = tg.fit(other.model, { ...other.options, resume: path, ...more });
      const error = await run.finished.then(
        () => undefined,
        (e: unknown) => e as Error,
      );
      expect(error?.message).to.match(message);
      expect(outcome(other, {} as never)).to.equal(bits);
    };
    await refuse('schedule', {}, /run\.safetensors: .*last\.weight must be float32 \[4, 12\]/, 4);
    await refuse('plateau', {}, /there is no plateau in it/);
    await refuse(
      'schedule',
      { seed: 1 },
      /was shuffled with seed \d+, not 1: give the loader that seed/,
    );
    await refuse('schedule', { data: makeData(91) }, /had 90 examples, not 91/);
    const sgd = setUp('schedule', 1);
    const bits = outcome(sgd, {} as never);
    const optimizer = new optim.SGD(sgd.model.parameters(), { learningRate: 1 });
    expect(() => {
      tg.loadCheckpoint(path, { model: sgd.model, optimizer });
    }).to.throw(/another optimizer/);
    expect(outcome(sgd, {} as never), 'the model fits, and is left all the same').to.equal(bits);
    const { tensors, metadata } = tg.io.loadSafetensors(path);
    tg.io.saveSafetensors(path, tensors, { metadata: { ...metadata, 'tapegrad.checkpoint': '2' } });
    await refuse('schedule', {}, /of version "2"; this tapegrad reads version 1/);
    tg.io.saveSafetensors(path, tensors);
    await refuse('schedule', {}, /is no tapegrad\.checkpoint/);
    await refuse('schedule', { resume: join(box, 'none') }, /none: cannot open: ENOENT/);
    tg.saveCheckpoint(path, { model: made.model, optimizer: made.optimizer });
    await refuse('schedule', {}, /is no checkpoint of fit/);
  });

  it('are refused with TG_BUSY while a program trains the model', async () => {
    const { model, optimizer, options } = setUp('schedule');
    const run = tg.fit(model, { ...options, epochs: 1000 });
    expect(() => tg.saveCheckpoint(path, { model, optimizer })).to.throw(/training is under way/);
    run.abort();
    await run.finished.catch(() => undefined);
    const step = tg.compile((x: tg.Tensor, y: tg.Tensor) => {
      const loss = losses.crossEntropy(model.forward(x), y);
      optimizer.minimize(loss);
      return loss;
    });
    const own = step.train([options.data.x, options.data.y], { epochs: 1e6 });
    await setTimeout(5);
    expect(() => tg.saveCheckpoint(path, { model, optimizer })).to.throw(/training is under way/);
    own.abort();
    await own.finished.catch(() => undefined);
    tg.saveCheckpoint(path, { model, optimizer });
    step.dispose();
  });

  it('keep a reader whole while others are written, and older ones as told', async () => {
    await finish('schedule', { checkpoint: { path, everySteps: 10, keep: 3 } });
    expect(fs.readdirSync(box).sort()).to.deep.equal(
      ['', '.1', '.2'].map((end) => `run.safetensors${end}`),
    );
    const steps = ['', '.1', '.2'].map((end) => {
      const { metadata, tensors } = tg.io.loadSafetensors(path + end);
      for (const t of Object.values(tensors)) t.dispose();
      return (JSON.parse(metadata['text']!) as { extra: { progress: { step: number } } }).extra
        .progress.step;
    });
    expect(steps).to.deep.equal([54, 50, 40]);
  });

  it('are written at the end of every so many epochs', async () => {
    await finish('schedule', { checkpoint: { path, everyEpochs: 2, keep: 9 } });
    const steps = fs.readdirSync(box).map((name) => {
      const { metadata, tensors } = tg.io.loadSafetensors(join(box, name));
      for (const t of Object.values(tensors)) t.dispose();
      return (JSON.parse(metadata['text']!) as { extra: { progress: { step: number } } }).extra
        .progress.step;
    });
    expect(steps.sort((a, b) => a - b)).to.deep.equal([12, 24, 36, 48, 54]);
  });

  it('fail with the system’s reason, the model being as it was after that step', async () => {
    const { model, options } = setUp('schedule');
    const run = tg.fit(model, { ...options, checkpoint: { path: join(box, 'no', 'where') } });
    const error = await run.finished.catch((e: unknown) => e as tg.TapegradError);
    expect(error).to.have.property('code', 'TG_FILE');
    expect(options.optimizer.steps).to.equal(6);
    await tg.fit(model, options).finished;
  });
});

describe('checkpoints of processes that are killed', function () {
  this.timeout(600_000);
  useBox();

  const start = (...args: string[]) => {
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output: string[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk.toString()));
    return { child, output, exit: once(child, 'exit') };
  };

  it('are whole after SIGKILL in mid-write', async () => {
    const { model } = setUp('schedule');
    let torn = 0;
    // Most kills come in mid-write; on a machine that is busy, the first twenty may not.
    for (let k = 0; k < 20 || (torn === 0 && k < 200); ++k) {
      const { child, exit } = start('save', path);
      await once(child.stdout, 'data'); // the first is written, the others follow without a pause
      await setTimeout(5 + Math.random() * 40);
      child.kill('SIGKILL');
      expect(await exit).to.deep.equal([null, 'SIGKILL']);
      tg.loadCheckpoint(path, { model: new nn.Sequential(new nn.Linear(400, 400)) });
      torn += fs.readdirSync(box).filter((name) => name.endsWith('.tmp')).length;
      for (const name of fs.readdirSync(box)) if (name.endsWith('.tmp')) fs.rmSync(join(box, name));
    }
    expect(torn, 'kills that came in mid-write').to.be.greaterThan(0);
    model.dispose();
  });

  it('lose no step to SIGTERM', async () => {
    const whole = start('fit', join(box, 'whole'));
    expect(await whole.exit).to.deep.equal([0, null]);
    let killed = 0;
    let last = '';
    for (let k = 0; k < 100 && !(killed > 0 && last.startsWith('finished')); ++k) {
      if (killed === 0) fs.rmSync(path, { force: true }); // it got to the end before the signal
      const { child, output, exit } = start('fit', path);
      // After so many reports, of 300; how many steps are made meanwhile, nobody knows.
      const wanted = Math.random() * 60;
      child.stdout.on('data', () => {
        if (!child.killed && output.join('').split('\n').length > wanted) child.kill('SIGTERM');
      });
      const end: unknown = await exit;
      last = output.join('').trim().split('\n').at(-1)!;
      // Node listens to no signal once it is on its way out.
      if (!last.startsWith('finished')) expect(end).to.deep.equal([0, null]);
      const steps = /^aborted after (\d+) steps, (\d+) in the file$/.exec(last);
      if (!steps) continue;
      ++killed;
      expect(steps[2]).to.equal(steps[1]);
    }
    expect(killed).to.be.greaterThan(0);
    expect(last).to.equal(whole.output.join('').trim().split('\n').at(-1));
  });
});
