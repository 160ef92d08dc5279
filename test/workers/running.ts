// Child process: one way for compiled training to come to its end while it runs, named by the first argument.
import { once } from 'node:events';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import * as tg from 'tapegrad';

const random = (state: { seed: number }): number => {
  state.seed = (Math.imul(state.seed, 1664525) + 1013904223) >>> 0;
  return state.seed / 2 ** 32;
};
const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Two trainings that would take hours, at once. */
function train(): tg.TrainingRun[] {
  return [1, 2].map((seed) => {
    tg.manualSeed(seed);
    const model = new tg.nn.Sequential(
      new tg.nn.Linear(16, 64),
      new tg.nn.ReLU(),
      new tg.nn.Linear(64, 4),
    );
    const optimizer = new tg.optim.Adam(model.parameters(), { learningRate: 1e-3 });
    const step = tg.compile((x: tg.Tensor, y: tg.Tensor) => {
      const loss = tg.losses.crossEntropy(model.forward(x), y);
      optimizer.minimize(loss);
      return loss;
    });
    const x = tg.keep(tg.randn([512, 16]));
    const y = tg.keep(tg.randint(0, 4, [512]));
    return step.train([x, y], { epochs: 1e6, batchSize: 32, reportEvery: 50 });
  });
}
const begun = (runs: tg.TrainingRun[]): Promise<unknown> =>
  Promise.all(runs.map((run) => run[Symbol.asyncIterator]().next()));

/** Resident memory in MiB. */
const resident = (): number => process.memoryUsage.rss() / 2 ** 20;

async function terminate(count: number, state: { seed: number }): Promise<void> {
  const one = async (): Promise<void> => {
    const worker = new Worker(new URL(import.meta.url), { workerData: 'train', stderr: true });
    // Mostly in mid-run, sometimes before or while it is compiled.
    if (random(state) < 0.8) await once(worker, 'message');
    await sleep(random(state) * 20);
    await worker.terminate();
  };
  for (let i = 0; i < count; i += 2) await Promise.all([one(), one()]);
}

const [mode = '', ...numbers] = process.argv.slice(2);
const [count = 1, seed = 1] = numbers.map(Number);
const state = { seed: Math.imul(seed, 2654435761) >>> 0 };
if (!isMainThread) {
  const runs = train();
  await begun(runs);
  parentPort!.postMessage('training');
  if (workerData === 'throw')
    setTimeout(() => {
      throw new Error('in mid-run');
    }, 5);
  if (workerData === 'exit') setTimeout(() => process.exit(7), 5);
} else
  switch (mode) {
    case 'terminate': {
      await terminate(10, state); // what is allocated once
      const before = resident();
      await terminate(count, state);
      console.log(JSON.stringify({ grown: resident() - before }));
      break;
    }
    case 'exit': {
      const runs = train();
      if (random(state) < 0.8) await begun(runs);
      await sleep(random(state) * 10);
      process.exit(7);
      break;
    }
    case 'worker-throw':
    case 'worker-exit': {
      const worker = new Worker(new URL(import.meta.url), { workerData: mode.slice(7) });
      const error = new Promise((done) => {
        worker.on('error', (e: Error) => {
          done(e.message);
        });
        worker.on('exit', done);
      });
      console.log(JSON.stringify({ ended: await error }));
      break;
    }
    case 'throw': {
      await begun(train());
      setTimeout(() => {
        throw new Error('in mid-run');
      }, 5);
      break;
    }
    case 'signal': {
      await begun(train());
      console.log('training');
      break;
    }
    // Nothing but the run keeps the process alive; it ends when the run does.
    case 'alive': {
      const [run, other] = train();
      let reports = 0;
      process.on('exit', () => {
        console.log(JSON.stringify({ reports }));
      });
      void (async () => {
        for await (const { step } of run!) {
          reports += step > 0 ? 1 : 0;
          if (reports === 3) other!.abort();
          if (reports === count) break;
        }
      })();
      break;
    }
    // Nobody holds the compiled function, or the run, but its report is waited for.
    case 'collected': {
      const x = tg.keep(tg.randn([64, 8]));
      const make = (): Promise<tg.TrainReport> => {
        const w = tg.keep(tg.zeros([8, 1]));
        w.requiresGrad = true;
        const optimizer = new tg.optim.SGD([w], { learningRate: 1e-3 });
        return tg
          .compile((x: tg.Tensor) => {
            const loss = x.matmul(w).sub(1).square().mean();
            optimizer.minimize(loss);
            return loss;
          })
          .train([x], { epochs: 200, batchSize: 8 }).finished;
      };
      const runs = Array.from({ length: count }, make);
      const collect = setInterval(() => globalThis.gc!(), 1);
      const reports = await Promise.all(runs);
      clearInterval(collect);
      console.log(JSON.stringify({ steps: reports.map((r) => r.step) }));
      break;
    }
    default:
      throw new Error(`no mode ${mode}`);
  }
