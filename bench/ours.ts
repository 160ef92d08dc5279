// The child process that measures tapegrad: `node ours.js '{"work":…,"seconds":…}'` prints one line of JSON.
// Code is written as a user would: results are disposed of where PyTorch's reference counts would free them,
// and a training step runs in tidy.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';
import { losses, nn, optim, type Tensor } from 'tapegrad';
import type { Work } from './cases.js';
import { measure, type Measurement } from './measure.js';

type Run = (n: number) => void;

function times(n: number, make: () => Tensor): void {
  for (let i = 0; i < n; ++i) make().dispose();
}

function eager(op: string, shape: number[]): Run {
  const a = tg.randn(shape, { requiresGrad: true });
  const b = tg.randn(shape, { requiresGrad: true });
  switch (op) {
    case 'add':
      return (n) => times(n, () => tg.add(a, b));
    case 'mul':
      return (n) => times(n, () => tg.mul(a, b));
    case 'matmul':
      return (n) => times(n, () => tg.matmul(a, b));
    case 'relu':
      return (n) => times(n, () => tg.relu(a));
    case 'tanh':
      return (n) => times(n, () => tg.tanh(a));
    case 'sum':
      return (n) => times(n, () => tg.sum(a));
    default:
      throw new Error(`no eager op ${op}`);
  }
}

function backward(shape: number[]): Run {
  const x = tg.randn(shape);
  const w = tg.randn(shape, { requiresGrad: true });
  const b = tg.randn(shape, { requiresGrad: true });
  return (n) => {
    for (let i = 0; i < n; ++i) {
      tg.tidy(() => {
        for (const p of [w, b]) {
          p.grad?.dispose();
          p.grad = null;
        }
        x.mul(w).add(b).tanh().mul(w).sum().backward();
      });
    }
  };
}

function elementwise(op: string, shape: number[]): Run {
  const normal = tg.randn(shape);
  const x = op === 'log' ? normal.abs() : normal;
  switch (op) {
    case 'relu':
      return (n) => times(n, () => tg.relu(x));
    case 'sigmoid':
      return (n) => times(n, () => tg.sigmoid(x));
    case 'tanh':
      return (n) => times(n, () => tg.tanh(x));
    case 'exp':
      return (n) => times(n, () => tg.exp(x));
    case 'log':
      return (n) => times(n, () => tg.log(x));
    case 'gelu':
      return (n) => times(n, () => tg.gelu(x));
    case 'softmax':
      return (n) => times(n, () => tg.softmax(x, -1));
    case 'sum':
      return (n) => times(n, () => tg.sum(x));
    default:
      throw new Error(`no elementwise op ${op}`);
  }
}

function gemm({ m, n, k, transposed }: Extract<Work, { kind: 'gemm' }>): Run {
  const a = transposed === 'a' ? tg.randn([k, m]).transpose() : tg.randn([m, k]);
  const b = transposed === 'b' ? tg.randn([n, k]).transpose() : tg.randn([k, n]);
  return (count) => times(count, () => tg.matmul(a, b));
}

function adam(tensors: number, size: number): Run {
  const parameters = Array.from({ length: tensors }, () => {
    const p = tg.randn([size], { requiresGrad: true });
    p.grad = tg.randn([size]);
    return p;
  });
  const optimizer = new optim.Adam(parameters, { learningRate: 1e-6 });
  return (n) => {
    for (let i = 0; i < n; ++i) optimizer.step();
  };
}

function step(sizes: number[], batch: number): Run {
  const layers: nn.Module[] = [];
  for (let i = 1; i < sizes.length; ++i) {
    if (i > 1) layers.push(new nn.ReLU());
    layers.push(new nn.Linear(sizes[i - 1]!, sizes[i]!));
  }
  const model = new nn.Sequential(...layers);
  // So small that weights and gradients stay ordinary numbers however often the batch is seen.
  const optimizer = new optim.Adam(model.parameters(), { learningRate: 1e-6 });
  const x = tg.randn([batch, sizes[0]!]);
  const y = tg.randint(0, sizes.at(-1)!, [batch]);
  return (n) => {
    for (let i = 0; i < n; ++i) {
      tg.tidy(() => {
        const loss = losses.crossEntropy(model.forward(x), y);
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
      });
    }
  };
}

/** The computation as a function that does it n times. */
export function build(work: Work): Run {
  switch (work.kind) {
    case 'eager':
      return eager(work.op, work.shape);
    case 'backward':
      return backward(work.shape);
    case 'elementwise':
      return elementwise(work.op, work.shape);
    case 'gemm':
      return gemm(work);
    case 'adam':
      return adam(work.tensors, work.size);
    case 'step':
      return step(work.sizes, work.batch);
  }
}

function main(): void {
  const { work, seconds, seed } = JSON.parse(process.argv[2]!) as {
    work: Work;
    seconds: number;
    seed: number;
  };
  tg.manualSeed(seed);
  const { version } = createRequire(import.meta.url)('tapegrad/package.json') as {
    version: string;
  };
  const result: Measurement = {
    ...measure(build(work), seconds),
    library: `tapegrad ${version}`,
    isa: tg.isa().used,
    threads: tg.numThreads(),
  };
  console.log(JSON.stringify(result));
}
if (process.argv[1] === fileURLToPath(import.meta.url)) main();
