// What a process meets whose CUDA device is missing, small or fails: prints JSON. The device's trouble is in the
// environment: see cuda-errors.test.ts.
import { Worker, isMainThread } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';

interface Failure {
  name: string;
  code: string | undefined;
  message: string;
}
const failureOf = (error: unknown): Failure => {
  const { name, message, code } = error as Error & { code?: string };
  return { name, code, message };
};
function attempt(fn: () => unknown): Failure | null {
  try {
    fn();
    return null;
  } catch (error) {
    return failureOf(error);
  }
}
const there = { device: 'cuda' } as const;

const MODES: Record<string, () => unknown> = {
  /** Everything that names the device. */
  missing: () => ({
    available: tg.cuda.isAvailable(),
    diagnosis: tg.cuda.diagnose(),
    limit: tg.cuda.memoryLimit,
    failures: [
      attempt(() => tg.zeros([2], there)),
      attempt(() => tg.tensor([1], there)),
      attempt(() => tg.ones([2]).to('cuda')),
      attempt(() => {
        tg.setDefaultDevice('cuda');
      }),
      attempt(() => new tg.nn.Linear(2, 2).to('cuda')),
      attempt(() => tg.memory(there)),
    ],
    synchronized: attempt(() => {
      tg.cuda.synchronize();
    }),
    cpu: tg.ones([2]).add(1).toArray(),
  }),

  /** Ops until one fails, and what can be done afterwards. */
  async fails() {
    // No kernel runs for these.
    const x = tg.tensor(new Float32Array(64).fill(1), there);
    const early = x.data();
    let first: Failure | null = null;
    for (let i = 0; i < 100 && !first; ++i) first = attempt(() => x.add(1).dispose());
    first ??= attempt(() => {
      tg.cuda.synchronize();
    });
    const asked = await x.data().then(() => null, failureOf);
    const later = [
      attempt(() => x.add(1)),
      attempt(() => x.dataSync()),
      attempt(() => tg.zeros([2], there)),
      attempt(() => tg.ones([2]).to('cuda')),
      attempt(() => {
        tg.cuda.synchronize();
      }),
    ];
    const available = tg.cuda.isAvailable();
    const before = tg.memory(there).tensors;
    x.dispose();
    return {
      first,
      asked,
      later,
      available,
      disposed: [x.isDisposed, tg.memory(there).tensors - before],
      early: await early.then((data) => data[0], failureOf),
      cpu: tg.ones([2]).add(1).toArray(),
    };
  },

  /** Training, steps of which are in flight when the device fails. */
  async flight() {
    const x = tg.ones([64, 8]);
    const w = tg.tensor(new Float32Array(8), { requiresGrad: true, ...there });
    const before = tg.memory(there);
    const optimizer = new tg.optim.SGD([w], { learningRate: 1e-3 });
    const step = tg.compile((rows: tg.Tensor) => {
      const loss = rows.mul(w).sum();
      optimizer.minimize(loss);
      return loss;
    }, there);
    const train = (): Promise<Failure | null> =>
      step
        .train([x], { epochs: 4, batchSize: 2, onNaN: 'ignore' })
        .finished.then(() => null, failureOf);
    const first = await train();
    const { steps } = optimizer;
    const again = [await train(), await train()];
    step.dispose();
    const after = tg.memory(there);
    return {
      first,
      again,
      steps: [steps, optimizer.steps],
      left: [after.tensors - before.tensors, after.bytes - before.bytes],
      cpu: tg.ones([2]).add(1).toArray(),
    };
  },

  /** Tensors that nobody disposes of, more of them than the device holds; then too large ones. */
  full() {
    for (let i = 0; i < 200; ++i) tg.zeros([1 << 18], there); // 200 MiB
    const kept: tg.Tensor[] = [];
    let full: Failure | null = null;
    while (!full && kept.length < 1000) full = attempt(() => kept.push(tg.zeros([1 << 20], there)));
    for (const t of kept) t.dispose();
    return {
      full,
      kept: kept.length,
      huge: attempt(() => tg.zeros([2 ** 38], there)),
      uploaded: attempt(() => tg.broadcastTo(tg.ones([1]), { shape: [2 ** 38] }).to('cuda')),
      after: tg
        .ones([1 << 20], there)
        .slice({ axis: 0, start: 0, end: 2 })
        .toArray(),
    };
  },

  /** A training step while nothing may wait for the device, and something that does wait. */
  waits() {
    const { step, loss } = training();
    step(); // makes gradients and the optimizer's states
    process.env['TAPEGRAD_EMULATION_WAITS'] = '0';
    const failures = [attempt(step), attempt(step)];
    delete process.env['TAPEGRAD_EMULATION_WAITS'];
    const value = loss().item();
    process.env['TAPEGRAD_EMULATION_WAITS'] = '0';
    return { failures, value, read: attempt(() => loss().item()) };
  },

  /** A class out of range where each launch waits. */
  blocking() {
    const before = tg.memory(there).tensors;
    const [x, y] = [tg.zeros([2, 3], there), tg.tensor([0, 7], { dtype: 'int32', ...there })];
    const failure = attempt(() => tg.losses.crossEntropy(x, y));
    return {
      failure,
      tensors: tg.memory(there).tensors - before,
      synchronized: attempt(() => {
        tg.cuda.synchronize();
      }),
    };
  },

  /** Faults of two threads, each of which hears of its own. */
  async threads() {
    const x = select(5);
    const worker = new Worker(fileURLToPath(import.meta.url), { argv: ['fault'] });
    const theirs = await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
    return { theirs, ours: attempt(() => x.dataSync()), after: attempt(() => x.dataSync()) };
  },

  /** Ends, and has workers end, with faults under way. */
  async endings() {
    for (let i = 0; i < 5; ++i) {
      const worker = new Worker(fileURLToPath(import.meta.url), { argv: ['faults'] });
      await new Promise((resolve) => worker.once('message', resolve));
      await worker.terminate();
    }
    for (let i = 0; i < 50; ++i) select(9);
    process.exit(0);
  },

  /** Ends with copies under way. */
  exit() {
    for (let i = 0; i < 50; ++i) void tg.full([1 << 16], i, there).data();
    process.exit(0);
  },

  /** Workers that are terminated in the middle of ops and copies. */
  async terminate() {
    for (let i = 0; i < 10; ++i) {
      const worker = new Worker(fileURLToPath(import.meta.url), { argv: ['work'] });
      await new Promise((resolve) => worker.once('message', resolve));
      await new Promise((resolve) => setTimeout(resolve, i));
      await worker.terminate();
    }
    return { cpu: tg.ones([2]).toArray(), cuda: tg.ones([2], there).toArray() };
  },
};

/** Of four rows on the device, one that may not exist. */
const select = (row: number): tg.Tensor =>
  tg.indexSelect(tg.ones([4, 2], there), tg.full([64], row, { dtype: 'int32', ...there }));

/** Embeddings, batch norm, a loss that looks its classes up, Adam. */
function training() {
  const { nn } = tg;
  const words = new nn.Embedding(12, 8);
  const rest = new nn.Sequential(new nn.BatchNorm1d(8), new nn.Linear(8, 5));
  const model = new nn.Sequential(words, rest).to('cuda');
  const optimizer = new tg.optim.Adam(model.parameters());
  const x = tg.tensor([1, 5, 11, 0], { dtype: 'int32', ...there });
  const y = tg.tensor([4, 0, -100, 2], { dtype: 'int32', ...there });
  const z = tg.tensor([4, 0, 1, 2], { dtype: 'int32', ...there });
  const loss = (): tg.Tensor => {
    const scores = model.forward(x);
    const ignoring = tg.losses.crossEntropy(scores, y, { ignoreIndex: -100 });
    return tg.losses.crossEntropy(scores, z).add(ignoring);
  };
  const step = (): void => {
    optimizer.zeroGrad();
    loss().backward();
    optimizer.step();
  };
  return { step, loss };
}

/** On a thread of its own: rows that exist, one that does not, and what was said of each. */
async function fault(many: boolean): Promise<void> {
  const { parentPort } = await import('node:worker_threads');
  const rows = many ? [] : [1, -3, 1];
  parentPort!.postMessage(rows.map((row) => attempt(() => select(row).dataSync())));
  for (let i = 0; many && i < 900; ++i) select(9).dispose();
}

async function work(): Promise<void> {
  const { parentPort } = await import('node:worker_threads');
  for (let i = 0; ; ++i) {
    const x = tg.ones([1 << 12], there);
    const reads = [x.add(i).data(), x.mul(2).data()];
    if (i === 0) parentPort!.postMessage('works');
    await Promise.race(reads);
  }
}

const mode = process.argv[2]!;
if (!isMainThread) await (mode === 'work' ? work() : fault(mode === 'faults'));
else console.log(JSON.stringify(await MODES[mode]!()));
