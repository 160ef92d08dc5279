// Child process: one way for training to come to its end, named by the first argument. Prints what it saw.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

const [mode = '', ...numbers] = process.argv.slice(2);
const [count = 1, seed = 1] = numbers.map(Number);
const file = new URL('./trainer.js', import.meta.url);
const worker = (workerData: object, more: object = {}): Worker =>
  new Worker(file, { workerData, stderr: true, ...more });
const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
// A fixed sequence of waits: the same run can be had again by its seed.
let state = seed * 2654435761;
const random = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};

async function answer(w: Worker): Promise<unknown> {
  const [message] = (await once(w, 'message')) as [unknown];
  return message;
}

switch (mode) {
  // Two workers train at once; with 'main' the main thread does, too, else it never loads the addon.
  case 'two':
  case 'two-and-main': {
    const workers = [worker({ seed, steps: count }), worker({ seed, steps: count })];
    const ended = workers.map((w) => once(w, 'exit'));
    const answers = workers.map(answer);
    const results: unknown[] = [];
    if (mode === 'two-and-main') {
      const { train } = await import('./train.js');
      const tg = await import('tapegrad');
      const before = tg.memory().tensors;
      const losses = train(seed, count);
      results.push({ losses, memory: tg.memory().tensors - before });
    }
    results.push(...(await Promise.all(answers)));
    await Promise.all(ended);
    console.log(JSON.stringify(results));
    break;
  }
  // Workers are terminated in the middle of training, after waits of any length; sometimes two run.
  case 'terminate': {
    let ended = 0;
    const one = async (): Promise<void> => {
      const w = worker({ seed });
      if (random() < 0.8) await answer(w);
      await sleep(random() * 25);
      await w.terminate();
      ++ended;
    };
    for (let i = 0; i < count; i += 2) await Promise.all([one(), one()]);
    console.log(JSON.stringify({ ended }));
    break;
  }
  // The process ends in the middle of training, by the main thread's will or a worker's.
  case 'exit': {
    const { setup, step } = await import('./train.js');
    const w = seed % 2 ? worker({ seed }) : null;
    if (w) await answer(w);
    const s = setup(seed);
    const steps = Math.floor(random() * 60);
    for (let i = 0; i < steps; ++i) step(s);
    process.exit(7);
    break;
  }
  case 'exit-in-worker': {
    // In a worker, process.exit ends the worker; its exit code arrives here.
    const [code] = (await once(worker({ seed, end: 'exit' }), 'exit')) as [number];
    console.log(JSON.stringify({ code }));
    break;
  }
  // An error that nobody catches, in mid-step.
  case 'throw': {
    const { setup, step } = await import('./train.js');
    const s = setup(seed);
    for (let i = 0; i < 20; ++i) step(s);
    s.optimizer.zeroGrad();
    s.model.forward(s.x);
    throw new Error('in mid-step');
  }
  case 'throw-in-worker':
  case 'heap': {
    const limits = { resourceLimits: { maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 4 } };
    const end = mode === 'heap' ? 'heap' : 'throw';
    const w = worker({ seed, end }, mode === 'heap' ? limits : {});
    const exit = once(w, 'exit').catch(() => null);
    const error = await new Promise<NodeJS.ErrnoException>((done) => w.on('error', done));
    await exit;
    // The process goes on, and a new worker trains.
    const next = worker({ seed, steps: 3 });
    console.log(JSON.stringify({ code: error.code ?? error.message, next: await answer(next) }));
    break;
  }
  default:
    throw new Error(`no mode ${mode}`);
}
