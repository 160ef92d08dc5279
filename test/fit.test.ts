// fit: what it reports, validates, stops and restores, and what it says when something goes wrong. Resuming is in
// fit-resume.test.ts.
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { Writable } from 'node:stream';
import * as tg from 'tapegrad';
import { data, losses, metrics, nn, optim, schedules } from 'tapegrad';
import { makeData, Net, setUp } from './workers/fit-setup.js';
import { collect } from './collect.js';

const failure = (run: tg.TrainingRun<tg.FitReport>): Promise<Error & { code?: string }> =>
  run.finished.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: unknown) => error as Error,
  );
const bits = (model: nn.Module): string =>
  tg.tidy(() =>
    JSON.stringify(Object.entries(model.stateDict()).map(([name, t]) => [name, [...t.dataSync()]])),
  );

describe('fit', function () {
  this.timeout(600_000);

  it('does what a loop of one’s own does', async () => {
    const one = setUp('schedule');
    const { data: table, loss, optimizer } = one.options;
    const loader = new data.DataLoader(table, { batchSize: 16, shuffle: true, seed: 9 });
    for (let epoch = 0; epoch < 3; ++epoch)
      for (const { x, y } of loader)
        tg.tidy(() => {
          const value = loss(one.model.forward(x), y);
          optimizer.zeroGrad();
          value.backward();
          tg.clipGradNorm(optimizer.parameters, 1);
          optimizer.step();
        });
    for (const eager of [true, false]) {
      const two = setUp('schedule');
      const report = await tg.fit(two.model, { ...two.options, epochs: 3, seed: 9, eager })
        .finished;
      expect(report.step).to.equal(18);
      const expected = [...one.model.parameters()].flatMap((p) => [...p.dataSync()]);
      const found = [...two.model.parameters()].flatMap((p) => [...p.dataSync()]);
      // Programs fuse, which rounds otherwise; op by op it is the same loop.
      found.forEach((v, i) =>
        expect(v).to.be.closeTo(expected[i]!, eager ? 0 : 1e-4 * (1 + Math.abs(v))),
      );
    }
  });

  it('reports epochs, steps, losses, rates and norms', async () => {
    const { model, options } = setUp('schedule');
    const reports: tg.FitReport[] = [];
    const run = tg.fit(model, { ...options, epochs: 2 });
    for await (const r of run) reports.push(r);
    expect(reports.map((r) => [r.epoch, r.step])).to.deep.equal([
      [1, 4],
      [1, 6],
      [2, 10],
      [2, 12],
    ]);
    expect(reports.map((r) => r.validation !== undefined)).to.deep.equal([
      false,
      true,
      false,
      true,
    ]);
    const rate = schedules.cosine({ base: 0.02, steps: 60 });
    for (const r of reports) {
      expect(r.learningRate).to.equal(rate(r.step));
      expect(r.loss).to.be.within(0.1, 3);
      expect(r.gradientNorm).to.be.greaterThan(0);
      expect(r.samplesPerSecond).to.be.greaterThan(0);
      expect(r.skipped).to.equal(0);
    }
    expect(await run.finished).to.equal(reports.at(-1));
  });

  it('learns, with dropout and batch norm, from tuples, one column and convolutions', async () => {
    const { model, options } = setUp('schedule');
    const report = await tg.fit(model, { ...options, epochs: 60 }).finished;
    expect(report.validation!.accuracy).to.be.greaterThan(0.85);

    tg.manualSeed(2);
    const coder = new nn.Sequential(new nn.Linear(6, 6), new nn.Tanh(), new nn.Linear(6, 6));
    const optimizer = new optim.Adam(coder.parameters(), { learningRate: 0.01 });
    const x = tg.rand([64, 6]);
    const self = { data: x, loss: losses.meanSquaredError, optimizer, epochs: 100 };
    expect((await tg.fit(coder, self).finished).loss).to.be.below(0.02);

    class Two extends nn.Module {
      readonly a = new nn.Linear(6, 1);
      readonly b = new nn.Linear(6, 1);
      forward(p: tg.Tensor, q: tg.Tensor): tg.Tensor {
        return this.a.forward(p).add(this.b.forward(q));
      }
    }
    const two = new Two();
    const q = tg.rand([64, 6]);
    const target = tg.tidy(() =>
      x.sum({ axis: 1, keepDims: true }).sub(q.sum({ axis: 1, keepDims: true })),
    );
    const run = tg.fit(two, {
      data: [x, q, target],
      loss: losses.meanSquaredError,
      optimizer: new optim.Adam(two.parameters(), { learningRate: 0.05 }),
      epochs: 100,
      validation: [x, q, target],
    });
    expect((await run.finished).validation!.loss).to.be.below(0.02);
    expect((await run.finished).validation).to.not.have.property('accuracy');

    const net = new nn.Sequential(
      new nn.Conv2d(1, 4, 3),
      new nn.BatchNorm2d(4),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Linear(4 * 4 * 4, 2),
    );
    const pictures = tg.randn([40, 1, 6, 6]);
    const labels = tg.tensor(
      Int32Array.from(tg.tidy(() => pictures.mean({ axis: [1, 2, 3] })).dataSync(), (m) =>
        m > 0 ? 1 : 0,
      ),
    );
    const seen = await tg.fit(net, {
      data: { pictures, labels },
      loss: losses.crossEntropy,
      optimizer: new optim.Adam(net.parameters(), { learningRate: 0.01 }),
      epochs: 40,
      validation: { pictures, labels },
    }).finished;
    expect(seen.validation!.accuracy).to.be.greaterThan(0.9);
  });

  it('leaves modes as they were, and frozen parts in evaluation', async () => {
    const { model, options } = setUp('schedule');
    model.eval();
    model.drop.train();
    const running = [...model.norm.runningMean.dataSync()];
    await tg.fit(model, { ...options, epochs: 1 }).finished;
    expect([model.training, model.norm.training, model.drop.training]).to.deep.equal([
      false,
      false,
      true,
    ]);
    expect([...model.norm.runningMean.dataSync()]).to.not.deep.equal(running);
    model.train();
    model.norm.eval();
    const frozen = [...model.norm.runningMean.dataSync()];
    await tg.fit(model, { ...options, epochs: 1 }).finished;
    expect([...model.norm.runningMean.dataSync()]).to.deep.equal(frozen);
    expect(model.norm.training).to.equal(false);
  });

  it('gives its memory back', async () => {
    const { model, options } = setUp('plateau');
    const table = {
      x: Float32Array.from({ length: 90 * 5 }, (_, i) => Math.sin(i)),
      y: Int32Array.from({ length: 90 }, (_, i) => i % 3),
    };
    const shaped = { x: { data: table.x, shape: [90, 5] }, y: table.y };
    const train = () =>
      tg.fit(model, { ...options, data: shaped, validation: shaped, epochs: 2 }).finished;
    // Until nothing more goes: what tests of other files dropped may take turns of the event loop.
    const settled = async (): Promise<number> => {
      for (let last = Infinity; tg.memory().tensors < last;) {
        last = tg.memory().tensors;
        await new Promise((resolve) => setTimeout(resolve, 5));
        collect();
      }
      return tg.memory().tensors;
    };
    await train();
    const before = await settled();
    for (let k = 0; k < 5; ++k) await train();
    expect(await settled()).to.equal(before);
  });

  it('waits for onEpoch, with the weights of the report', async () => {
    const { model, options } = setUp('schedule');
    const inside: number[] = [];
    await tg.fit(model, {
      ...options,
      epochs: 3,
      onEpoch: async (r) => {
        const value = tg.tidy(() =>
          tg.noGrad(() => {
            model.eval();
            const { x, y } = options.validation;
            return losses.crossEntropy(model.forward(x), y).item();
          }),
        );
        model.train();
        expect(value).to.be.closeTo(r.validation!.loss, 1e-5);
        const steps = options.optimizer.steps;
        await new Promise((resolve) => setTimeout(resolve, 10));
        expect(options.optimizer.steps).to.equal(steps);
        inside.push(r.epoch);
      },
    }).finished;
    expect(inside).to.deep.equal([1, 2, 3]);
  });
});

describe('fit: validation', function () {
  this.timeout(600_000);

  for (const eager of [false, true])
    it(`is what the model says in evaluation mode, over uneven batches${eager ? ', op by op' : ''}`, async () => {
      const { model, options } = setUp('schedule');
      const validation = {
        data: options.validation,
        batchSize: 17,
        metrics: {
          f1: (p: tg.Tensor, t: tg.Tensor) => metrics.f1(p, t),
          count: (p: tg.Tensor, t: tg.Tensor) => p.shape[0]! * 1000 + t.shape[0]!,
        },
      };
      const random = tg.randomState();
      const { validation: found } = await tg.fit(model, {
        ...options,
        epochs: 1,
        seed: 1,
        eager,
        validation,
      }).finished;
      expect(tg.randomState().stream).to.equal(random.stream + 6, 'validation draws nothing');
      model.eval();
      tg.tidy(() =>
        tg.noGrad(() => {
          const { x, y } = options.validation;
          const scores = model.forward(x);
          expect(found!.loss).to.be.closeTo(losses.crossEntropy(scores, y).item(), 1e-5);
          expect(found!.accuracy).to.be.closeTo(metrics.accuracy(scores, y), 1e-9);
          expect(found!['f1']).to.be.closeTo(metrics.f1(scores, y), 1e-9);
          expect(found!['count']).to.equal(40040);
        }),
      );
    });

  it('reads loaders and streams, and changes no weight', async () => {
    const { model, options } = setUp('schedule');
    const rows = options.validation.x.toArray() as number[][];
    const labels = [...options.validation.y.dataSync()];
    const stream = () =>
      rows.map((r, i) => ({ x: Float32Array.from(r), y: labels[i]! }))[Symbol.iterator]();
    const loader = new data.DataLoader(options.validation, { batchSize: 7, seed: 0 });
    const a = await tg.fit(model, { ...options, epochs: 2, seed: 1, validation: loader as never })
      .finished;
    const two = setUp('schedule');
    const b = await tg.fit(two.model, { ...two.options, epochs: 2, seed: 1 }).finished;
    expect(a.validation!.accuracy).to.equal(b.validation!.accuracy);
    expect(a.validation!.loss).to.be.closeTo(b.validation!.loss, 1e-6);
    expect(bits(model)).to.equal(bits(two.model));
    const three = setUp('schedule');
    const collate = (list: unknown[]) => {
      const examples = list as { x: Float32Array; y: number }[];
      return [
        tg.tensor(examples.map((e) => [...e.x])),
        tg.tensor(Int32Array.from(examples, (e) => e.y)),
      ];
    };
    const streamed = new data.DataLoader(() => ({ [Symbol.iterator]: stream }), {
      collate,
      seed: 0,
    });
    const c = await tg.fit(three.model, {
      ...three.options,
      epochs: 2,
      seed: 1,
      validation: streamed as never,
    }).finished;
    expect(c.validation!.accuracy).to.equal(b.validation!.accuracy);
  });
});

describe('fit: early stopping and plateaus', function () {
  this.timeout(600_000);

  /** Lets a metric take given values, one for each epoch. */
  const script = (values: number[], more: tg.EarlyStoppingOptions = {}) => {
    const made = setUp('schedule');
    let at = 0;
    const weights: string[] = [];
    const options: tg.FitOptions = {
      ...made.options,
      epochs: values.length,
      validation: { data: made.options.validation, metrics: { given: () => values[at++]! } },
      earlyStopping: { monitor: 'validation.given', patience: 3, ...more },
      onEpoch: () => void weights.push(bits(made.model)),
    };
    return { ...made, options, weights };
  };

  it('stops after patience epochs without improvement, and restores the best weights', async () => {
    const { model, options, weights, optimizer } = script([5, 3, 4, 2, 2.5, NaN, 2, 1, 0]);
    const last = await tg.fit(model, options).finished;
    expect(last.epoch).to.equal(7);
    expect(bits(model)).to.equal(weights[3]);
    expect(weights[3]).to.not.equal(weights[6]);
    expect(optimizer.steps, 'the optimizer is left').to.equal(42);
  });

  it('counts only improvements above minDelta, up or down, and may leave the weights', async () => {
    const rising = script([1, 2.5, 2.4, 2.9, 3.4, 9], {
      mode: 'max',
      minDelta: 1,
      restoreBest: false,
    });
    expect((await tg.fit(rising.model, rising.options).finished).epoch).to.equal(5);
    expect(bits(rising.model)).to.equal(rising.weights[4]);
    const falling = script([5, 4.5, 3.9, 3, 2.9], { minDelta: 1, patience: 2 });
    expect((await tg.fit(falling.model, falling.options).finished).epoch).to.equal(5);
    expect(bits(falling.model)).to.equal(falling.weights[2]);
    const steady = script([5, 5, 5, 5, 5], { patience: 1 });
    expect((await tg.fit(steady.model, steady.options).finished).epoch).to.equal(2);
  });

  it('restores the best weights when the epochs are over, too', async () => {
    const { model, options, weights } = script([3, 1, 2]);
    expect((await tg.fit(model, options).finished).epoch).to.equal(3);
    expect(bits(model)).to.equal(weights[1]);
  });

  it('monitors the accuracy upwards and the training loss without validation', async () => {
    const { model, options } = setUp('schedule');
    const earlyStopping = { monitor: 'validation.accuracy', patience: 2 };
    const seen: number[] = [];
    const onEpoch = (r: tg.FitReport) => void seen.push(r.validation!.accuracy!);
    await tg.fit(model, { ...options, epochs: 200, earlyStopping, onEpoch }).finished;
    expect(seen.length).to.be.within(3, 199);
    expect(Math.max(...seen.slice(-2))).to.be.most(Math.max(...seen.slice(0, -2)));
    const other = setUp('schedule');
    const { validation: _, ...rest } = other.options;
    const run = tg.fit(other.model, {
      ...rest,
      epochs: 50,
      earlyStopping: { patience: 1, minDelta: 0.5 },
    });
    expect((await run.finished).epoch).to.be.below(5);
  });

  it('tells a plateau, and the rate falls', async () => {
    const { model, options, plateau } = setUp('plateau');
    const { earlyStopping: _, ...rest } = options;
    const rates: number[] = [];
    const onEpoch = () => void rates.push(plateau.learningRate);
    await tg.fit(model, { ...rest, onEpoch }).finished;
    const twin = new schedules.ReduceOnPlateau({
      base: 0.02,
      patience: 0,
      threshold: 0.05,
      factor: 0.7,
    });
    const again = setUp('plateau');
    const expected: number[] = [];
    for await (const r of tg.fit(again.model, {
      ...again.options,
      earlyStopping: { patience: 99 },
    }))
      if (r.validation) expected.push(twin.report(r.validation.loss));
    expect(rates).to.deep.equal(expected);
    expect(rates.at(-1)).to.be.below(0.02);
  });
});

describe('fit: the progress bar', function () {
  this.timeout(600_000);

  it('shows epoch, examples and loss', async () => {
    const { model, options } = setUp('schedule');
    let text = '';
    const stream = Object.assign(
      new Writable({
        write(chunk: Buffer, _, done) {
          text += chunk.toString();
          done();
        },
      }),
      {
        isTTY: true,
        columns: 80,
        cursorTo: () => true,
        clearLine: () => true,
        moveCursor: () => true,
      },
    );
    await tg.fit(model, { ...options, epochs: 2, progress: { stream, fps: 1000 } }).finished;
    expect(text).to.match(/epoch 1 .*64\/90 {2}loss \d\.\d{4}/s);
  });

  it('says which package is missing', () => {
    const hook = `export async function resolve(name, context, next) {
      if (name === 'cli-progress') throw Object.assign(new Error('none'), { code: 'ERR_MODULE_NOT_FOUND' });
      return next(name, context);
    }`;
    const program = `import { register } from 'node:module';
      register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}));
      const tg = await import('tapegrad');
      const model = new tg.nn.Linear(1, 1);
      const optimizer = new tg.optim.SGD(model.parameters(), { learningRate: 1 });
      const options = { data: tg.ones([4, 1]), loss: tg.losses.meanSquaredError, optimizer };
      await tg.fit(model, { ...options, progress: true }).finished.catch((e) => console.log(e.code, e.message));
      await tg.fit(model, options).finished;`;
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', program],
      { encoding: 'utf8' },
    );
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' });
    expect(stdout).to.equal(
      'TG_PACKAGE fit: the progress bar needs the package cli-progress: npm install cli-progress\n',
    );
  });
});

describe('fit: what the user got wrong', function () {
  this.timeout(600_000);

  const bad: [Record<string, unknown>, RegExp][] = [
    [{ epoch: 3 }, /unknown option "epoch"; known: epochs/],
    [{ epochs: 0 }, /epochs must be an integer ≥ 1/],
    [{ batchSize: 1.5 }, /batchSize must be an integer/],
    [{ shuffle: 1 }, /shuffle must be a boolean/],
    [{ data: undefined }, /data must be tensors/],
    [{ loss: 'mse' }, /loss must be a function of prediction and target/],
    [{ optimizer: {} }, /optimizer must be an Optimizer/],
    [{ clipGradNorm: -1 }, /clipGradNorm must be .*≥ 0/],
    [{ onNaN: 'stop' }, /onNaN must be one of ignore, throw, skip/],
    [{ reportEvery: 0 }, /reportEvery/],
    [{ signal: {} }, /signal must be an AbortSignal/],
    [{ progress: 1 }, /progress must be a boolean or options of cli-progress/],
    [{ eager: 'yes' }, /eager must be a boolean/],
    [{ onEpoch: 1 }, /onEpoch must be a function/],
    [{ plateau: {} }, /plateau must be a ReduceOnPlateau/],
    [{ resume: true }, /resume: true needs checkpoint\.path/],
    [{ resume: '' }, /resume must be the name of a file, got the string ""/],
    [{ checkpoint: { path: 'a\0b' } }, /checkpoint\.path must be the name of a file/],
    [{ resume: 1 }, /resume must be a boolean or the name of a file/],
    [{ checkpoint: 'file' }, /options must be an object, got the string "file"/],
    [{ checkpoint: {} }, /checkpoint\.path must be the name of a file/],
    [{ checkpoint: { path: 'x', everySteps: 0 } }, /checkpoint\.everySteps must be an integer ≥ 1/],
    [{ checkpoint: { path: 'x', keep: 0 } }, /checkpoint\.keep/],
    [{ checkpoint: { path: 'x', every: 1 } }, /unknown option "every"/],
    [{ earlyStopping: { patience: 0 } }, /earlyStopping\.patience must be an integer ≥ 1/],
    [{ earlyStopping: { minDelta: -1 } }, /earlyStopping\.minDelta/],
    [{ earlyStopping: { monitor: 'acuracy' } }, /earlyStopping\.monitor "acuracy" names nothing/],
    [{ earlyStopping: { mode: 'up' } }, /earlyStopping\.mode must be 'min' or 'max'/],
    [{ earlyStopping: { restoreBest: 1 } }, /earlyStopping\.restoreBest must be a boolean/],
    [{ validation: 3 }, /dataset must be tensors/],
    [
      { validation: { data: tg.ones([2, 2]), metrics: { f: 1 } } },
      /validation\.metrics\.f must be a function/,
    ],
    [{ validation: { data: tg.ones([2, 2]), metrics: { loss: () => 1 } } }, /computes loss itself/],
    [{ validation: { data: tg.ones([2, 2]), batchSize: 0 } }, /validation\.batchSize/],
  ];
  for (const [options, message] of bad)
    it(`says so at once: ${message.source.slice(0, 50)}`, () => {
      const made = setUp('schedule');
      expect(() => tg.fit(made.model, { ...made.options, ...options })).to.throw(message);
    });
  it('says so at once: the model, no options', () => {
    const { options } = setUp('schedule');
    expect(() => tg.fit({} as never, options)).to.throw(/model must be a Module/);
    expect(() => tg.fit(new Net(), undefined as never)).to.throw(/options must be an object/);
  });

  /** After a failure: the state is that of the step before, and the next run works. */
  const recovers = async (
    wrong: Partial<tg.FitOptions>,
    message: RegExp,
    made = setUp('schedule'),
  ): Promise<Error & { code?: string }> => {
    const error = await failure(tg.fit(made.model, { ...made.options, ...wrong }));
    expect(error.message).to.match(message);
    for (const p of made.model.parameters())
      expect(p.isDisposed || [...p.dataSync()].every(Number.isFinite)).to.equal(true);
    const next = setUp('schedule');
    if (made.model.parameters().every((p) => !p.isDisposed)) {
      next.model = made.model;
      next.options.optimizer = made.optimizer;
    }
    await tg.fit(next.model, { ...next.options, epochs: 1 }).finished;
    return error;
  };

  for (const eager of [false, true]) {
    describe(eager ? 'op by op' : 'compiled', () => {
      it('a source that throws, in mid-epoch', async () => {
        const { x, y } = makeData(6);
        const source = function* () {
          yield [x, y];
          yield [x, y];
          throw new Error('the disk is on fire');
        };
        const made = setUp('schedule');
        await recovers({ data: source, eager }, /the disk is on fire/, made);
        expect(made.optimizer.steps).to.equal(2 + 6);
      });
      it('a wrong shape in mid-epoch', async () => {
        const { x, y } = makeData(6);
        await recovers(
          {
            data: () => [
              [x, y],
              [tg.ones([6, 4]), y],
            ],
            eager,
          },
          /linear.*\[6, 4\]/,
        );
      });
      it('a NaN loss, which changes no bit', async () => {
        const { x, y } = makeData(6);
        const wrong = tg.full([6, 5], NaN);
        const one = setUp('schedule');
        await tg.fit(one.model, { ...one.options, epochs: 1, data: () => [[x, y]], eager })
          .finished;
        const random = tg.randomState();
        const made = setUp('schedule');
        const error = await failure(
          tg.fit(made.model, {
            ...made.options,
            data: () => [
              [x, y],
              [wrong, y],
            ],
            eager,
          }),
        );
        expect(error.code).to.equal('TG_NAN');
        expect(bits(made.model)).to.equal(bits(one.model));
        expect(made.optimizer.stateDict().numbers).to.deep.equal(one.optimizer.stateDict().numbers);
        expect(tg.randomState()).to.deep.equal(random);
        const skipping = setUp('schedule');
        const batches = () => [
          [x, y],
          [wrong, y],
          [x, y],
        ];
        const run = tg.fit(skipping.model, {
          ...skipping.options,
          epochs: 1,
          data: batches,
          onNaN: 'skip',
          eager,
        });
        expect((await run.finished).skipped).to.equal(1);
        expect(skipping.optimizer.steps).to.equal(2);
        expect([...skipping.model.norm.numBatches.dataSync()]).to.deep.equal([2]);
      });
      it('a disposed parameter', async () => {
        const made = setUp('schedule');
        const onEpoch = () => void made.model.last.weight.dispose();
        const error = await recovers({ onEpoch, eager }, /disposed/, made);
        expect(error.code).to.equal('TG_DISPOSED');
      });
      it('a loss that is no single number, a metric that is none, a throwing metric and callback', async () => {
        const each = (p: tg.Tensor, y: tg.Tensor) =>
          losses.crossEntropy(p, y, { reduction: 'none' });
        await recovers(
          { loss: each, eager },
          /loss must be a tensor with one element, got shape \[16\]/,
        );
        await recovers({ loss: (() => 3) as never, eager }, /one element, got the number 3/);
        const validation = (metric: () => number) => ({ data: makeData(8), metrics: { metric } });
        await recovers(
          { validation: validation(() => 'x' as never), eager },
          /metric's result must be a number/,
        );
        await recovers(
          {
            validation: validation(() => {
              throw new Error('a metric fails');
            }),
            eager,
          },
          /a metric fails/,
        );
        await recovers(
          { onEpoch: () => Promise.reject(new Error('a callback fails')), eager },
          /a callback fails/,
        );
        await recovers(
          { earlyStopping: { monitor: 'validation.f2' }, eager },
          /there is no validation\.f2 to monitor; there are loss, validation\.loss, validation\.accuracy/,
        );
      });
      it('a source that never answers, when it is aborted', async () => {
        const { x, y } = makeData(6);
        const silent = async function* () {
          yield [x, y];
          await new Promise(() => undefined);
        };
        for (const where of ['data', 'validation'] as const) {
          const made = setUp('schedule');
          const stop = new AbortController();
          const loader = new data.DataLoader(silent as never, { seed: 0 });
          const options = where === 'data' ? { data: silent } : { validation: loader as never };
          const run = tg.fit(made.model, {
            ...made.options,
            ...options,
            signal: stop.signal,
            eager,
          });
          setTimeout(() => stop.abort(), 30);
          expect((await failure(run)).name).to.equal('AbortError');
        }
      });
      it('aborts before, in and after everything', async () => {
        for (let delay = -1; delay < 40; delay += 1) {
          const made = setUp('schedule');
          const stop = new AbortController();
          if (delay < 0) stop.abort();
          const run = tg.fit(made.model, {
            ...made.options,
            epochs: 10_000,
            signal: stop.signal,
            eager,
          });
          if (delay === 0) stop.abort();
          else if (delay > 0) setTimeout(() => stop.abort(new Error('enough')), delay / 2);
          const error = await failure(run);
          expect(error.name === 'AbortError' || error.message === 'enough').to.equal(true);
          expect(made.model.training).to.equal(true);
          const report = await tg.fit(made.model, { ...made.options, epochs: 1, eager }).finished;
          expect(report.step).to.equal(6);
        }
      });
    });
  }

  it('a loader is left where an aborted training was, though it had read ahead', async () => {
    const { x, y } = makeData();
    const rows = x.toArray() as number[][];
    const labels = y.dataSync();
    const collate = (list: unknown[]) => {
      const indices = list as number[];
      return [
        tg.tensor(indices.map((i) => rows[i]!)),
        tg.tensor(Int32Array.from(indices, (i) => labels[i]!)),
      ];
    };
    const stop = new AbortController();
    const get = (i: number) => {
      if (i === 70) stop.abort();
      return i;
    };
    const loader = new data.DataLoader({ length: 90, get }, { batchSize: 16, seed: 0, collate });
    const { model, options } = setUp('schedule');
    const run = tg.fit(model, { ...options, data: loader as never, signal: stop.signal });
    expect((await failure(run)).name).to.equal('AbortError');
    const { steps } = options.optimizer;
    expect(steps).to.be.below(5);
    expect(loader.state()).to.deep.equal({ epoch: 0, position: steps * 16 });
  });

  it('leaving the loop ends training', async () => {
    const { model, options } = setUp('schedule');
    const run = tg.fit(model, { ...options, epochs: 1000 });
    for await (const r of run) if (r.epoch === 2) break;
    const steps = options.optimizer.steps;
    expect(steps).to.be.below(6000);
    expect((await failure(run)).name).to.equal('AbortError');
    expect(options.optimizer.steps).to.equal(steps);
  });

  it('two fits with one optimizer', async () => {
    const { model, options } = setUp('schedule');
    const run = tg.fit(model, { ...options, epochs: 2 });
    expect((await failure(tg.fit(model, options))).code).to.equal('TG_BUSY');
    expect((await run.finished).epoch).to.equal(2);
    await tg.fit(model, { ...options, epochs: 1 }).finished;
  });
});
