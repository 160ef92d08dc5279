// The child process that measures tapegrad on a CUDA device; see child.ts. Written as a user would. A process
// measures one case, so nothing is left on the device from another.
import { createInterface } from 'node:readline';
import * as tg from 'tapegrad';
import { optim, type Tensor } from 'tapegrad';
import { build as buildAnywhere, times } from '../ours.js';
import type { Run } from '../measure.js';
import type { Work } from './cases.js';
import type { Greeting, Job, Ready, Round } from './child.js';

const say = (reply: Greeting | Ready | Round | { error: string }): void =>
  console.log(JSON.stringify(reply));

/** Forward and backward n times, with gradients that nobody adds up. */
function differentiated(leaves: Tensor[], forward: () => Tensor, gradient?: Tensor): Run {
  return (n) => {
    for (let i = 0; i < n; ++i) {
      tg.tidy(() => {
        for (const leaf of leaves) {
          leaf.grad?.dispose();
          leaf.grad = null;
        }
        forward().backward({ gradient });
      });
    }
  };
}

const normal = (shape: number[]): Tensor => tg.randn(shape);
const leaf = (shape: number[]): Tensor => tg.randn(shape, { requiresGrad: true });

function matmul({ dtype, m, n, k, operands }: Extract<Work, { kind: 'matmul' }>): Run {
  const matrix = (rows: number, columns: number) =>
    tg.tidy(() => tg.randn([rows, columns]).to(dtype));
  const a = matrix(m, k);
  const b = Array.from({ length: operands }, () => matrix(k, n));
  let next = 0;
  return (count) => times(count, () => tg.matmul(a, b[next++ % operands]!));
}

function adam({ tensors, size }: Extract<Work, { kind: 'adam' }>): Run {
  const parameters = Array.from({ length: tensors }, () => {
    const p = leaf([size]);
    p.grad = normal([size]);
    return p;
  });
  const optimizer = new optim.Adam(parameters, { learningRate: 1e-6 });
  return (n) => {
    for (let i = 0; i < n; ++i) optimizer.step();
  };
}

function build(work: Work): Run {
  switch (work.kind) {
    case 'copy': {
      const x = normal([work.size]);
      return (n) => times(n, () => x.clone());
    }
    case 'adam':
      return adam(work);
    case 'softmax': {
      const x = leaf([work.rows, work.columns]);
      return differentiated([x], () => tg.softmax(x, -1), normal(x.shape));
    }
    case 'layerNorm': {
      const x = leaf([work.rows, work.columns]);
      const [weight, bias] = [leaf([work.columns]), leaf([work.columns])];
      const forward = () => tg.layerNorm(x, weight, bias);
      return differentiated([x, weight, bias], forward, normal(x.shape));
    }
    case 'crossEntropy': {
      const x = leaf([work.rows, work.columns]);
      const labels = tg.randint(0, work.columns, [work.rows]);
      return differentiated([x], () => tg.losses.crossEntropy(x, labels));
    }
    case 'matmul':
      return matmul(work);
    case 'conv2d': {
      const { batch, channels, size, filters, kernel } = work;
      const x = leaf([batch, channels, size, size]);
      const weight = leaf([filters, channels, kernel, kernel]);
      const bias = tg.zeros([filters]);
      const out = size - kernel + 1;
      const forward = () => tg.conv2d(x, weight, bias);
      return differentiated([x, weight], forward, normal([batch, filters, out, out]));
    }
    case 'step':
      return buildAnywhere({
        kind: 'compiled',
        by: 'train',
        sizes: work.sizes,
        batch: work.batch,
        ...(work.onNaN && { onNaN: work.onNaN }),
      });
    case 'add':
      return buildAnywhere({ kind: 'eager', op: 'add', shape: work.shape });
  }
}

/** Wall time per call: from an idle device until it is idle again. */
async function time(run: Run, n: number): Promise<number> {
  tg.cuda.synchronize();
  const start = process.hrtime.bigint();
  await run(n);
  tg.cuda.synchronize();
  return Number(process.hrtime.bigint() - start) / n;
}

/** Warms up, and finds how many calls take that long. */
async function calibrate(run: Run, least: number): Promise<number> {
  for (let n = 1, warm = false; ;) {
    const total = n * (await time(run, n));
    if (total >= least && warm) return n;
    warm = true;
    if (total < least) n = Math.ceil(Math.min(8 * n, 1.2 * n * (least / total)));
  }
}

async function main(): Promise<void> {
  const { available, reason, devices } = tg.cuda.diagnose();
  if (!available) {
    say({ error: reason });
    return;
  }
  const { name, ...rest } = devices[0]!;
  tg.setDefaultDevice('cuda');
  say({ library: 'tapegrad', device: name, ...rest });
  let run: Run = () => undefined;
  let n = 1;
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      const job = JSON.parse(line) as Job | 'round';
      if (job === 'round') {
        say({ ns: await time(run, n) });
        continue;
      }
      tg.manualSeed(job.seed);
      const tf32 = 'precision' in job.work && job.work.precision === 'tf32';
      tg.setMatmulPrecision(tf32 ? 'high' : 'highest');
      run = build(job.work);
      // A run of training begins and ends with work of its own.
      const longer = job.work.kind === 'step' ? 5 : 1;
      n = await calibrate(run, longer * job.least_ns);
      say({ iterations: n });
    } catch (error) {
      say({ error: String(error) });
    }
  }
}

await main();
