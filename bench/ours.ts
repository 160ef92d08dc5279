// The child process that measures tapegrad: `node ours.js '{"work":…,"seconds":…}'` prints one line of JSON.
// Code is written as a user would: results are disposed of where PyTorch's reference counts would free them,
// and a training step runs in tidy.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';
import { data, losses, nn, optim, type Tensor } from 'tapegrad';
import { CNN, CNN_FLAT, type ElementwiseOp, type Product, type Work } from './cases.js';
import { measure, type Measurement, type Run } from './measure.js';

export function times(n: number, make: () => Tensor): void {
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

function elementwise(op: ElementwiseOp, shape: number[]): Run {
  const normal = tg.randn(shape);
  const x = op.startsWith('log') && shape.length === 1 ? normal.abs() : normal;
  const last = shape.at(-1)!;
  const y = tg.randn(shape);
  const row = tg.randn([last]);
  const zeros = tg.zeros([last]);
  const classes = tg.randint(0, last, [shape[0]!]);
  const ops: Record<ElementwiseOp, () => Tensor> = {
    relu: () => tg.relu(x),
    sigmoid: () => tg.sigmoid(x),
    tanh: () => tg.tanh(x),
    exp: () => tg.exp(x),
    expm1: () => tg.expm1(x),
    log: () => tg.log(x),
    log1p: () => tg.log1p(x),
    erf: () => tg.erf(x),
    sin: () => tg.sin(x),
    cos: () => tg.cos(x),
    gelu: () => tg.gelu(x),
    add: () => tg.add(x, y),
    mul: () => tg.mul(x, y),
    addNumber: () => tg.add(x, 2),
    addRow: () => tg.add(x, row),
    sum: () => tg.sum(x),
    sum0: () => tg.sum(x, 0),
    sum1: () => tg.sum(x, 1),
    mean: () => tg.mean(x),
    mean0: () => tg.mean(x, 0),
    max: () => tg.max(x),
    max0: () => tg.max(x, 0),
    max1: () => tg.max(x, 1),
    softmax: () => tg.softmax(x, -1),
    softmax0: () => tg.softmax(x, 0),
    logSoftmax: () => tg.logSoftmax(x, -1),
    crossEntropy: () => losses.crossEntropy(x, classes),
    layerNorm: () => tg.layerNorm(x, row, zeros),
  };
  return (n) => times(n, ops[op]);
}

function operands({ m, n, k, transposed }: Product, dtype: 'float32' | 'float64' = 'float32') {
  const random = (rows: number, columns: number) => tg.randn([rows, columns], { dtype });
  return {
    a: transposed === 'a' ? random(k, m).transpose() : random(m, k),
    b: transposed === 'b' ? random(n, k).transpose() : random(k, n),
  };
}

function gemm(work: Extract<Work, { kind: 'gemm' }>): Run {
  const { a, b } = operands(work, work.dtype);
  return (count) => times(count, () => tg.matmul(a, b));
}

function products(list: Product[]): Run {
  const pairs = list.map((product) => operands(product));
  return (count) => {
    for (let i = 0; i < count; ++i) for (const { a, b } of pairs) tg.matmul(a, b).dispose();
  };
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

/** Steps of Adam on the cross-entropy of a model's outputs and random labels. */
function train(model: nn.Module, x: Tensor, classes: number): Run {
  // So small that weights and gradients stay ordinary numbers however often the batch is seen.
  const optimizer = new optim.Adam(model.parameters(), { learningRate: 1e-6 });
  const y = tg.randint(0, classes, [x.shape[0]!]);
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

function mlp(sizes: number[]): nn.Module {
  const layers: nn.Module[] = [];
  for (let i = 1; i < sizes.length; ++i) {
    if (i > 1) layers.push(new nn.ReLU());
    layers.push(new nn.Linear(sizes[i - 1]!, sizes[i]!));
  }
  return new nn.Sequential(...layers);
}

const step = (sizes: number[], batch: number): Run =>
  train(mlp(sizes), tg.randn([batch, sizes[0]!]), sizes.at(-1)!);

/** The step of `train` above, compiled. */
export function compiledStep(sizes: number[], batch: number) {
  const model = mlp(sizes);
  const optimizer = new optim.Adam(model.parameters(), { learningRate: 1e-6 });
  const x = tg.randn([batch, sizes[0]!]);
  const y = tg.randint(0, sizes.at(-1)!, [batch]);
  const step = tg.compile((input: Tensor, labels: Tensor) => {
    const loss = losses.crossEntropy(model.forward(input), labels);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  });
  return { step, x, y };
}

function compiled({ sizes, batch, by, onNaN }: Extract<Work, { kind: 'compiled' }>): Run {
  const { step, x, y } = compiledStep(sizes, batch);
  if (by === 'call')
    return async (n) => {
      for (let i = 0; i < n; ++i) (await step(x, y)).dispose();
    };
  // The rows of the one batch n times, in order: as much to compute and to read as the peers have.
  const repeat = (n: number) => ({
    count: () => n * batch,
    order: () => {
      const order = new Int32Array(n * batch);
      for (let i = 0; i < order.length; ++i) order[i] = i % batch;
      return order;
    },
  });
  return async (n) => {
    const loader = new data.DataLoader([x, y], { batchSize: batch, sampler: repeat(n) });
    await step.train(loader, { ...(onNaN && { onNaN }) }).finished;
  };
}

function cnn(batch: number): Run {
  const { size, kernel, channels, pool, hidden, classes } = CNN;
  const convolutions = channels
    .slice(1)
    .flatMap((out, i) => [new nn.Conv2d(channels[i]!, out, kernel), new nn.ReLU()]);
  const model = new nn.Sequential(
    ...convolutions,
    new nn.MaxPool2d(pool),
    new nn.Flatten(),
    new nn.Linear(CNN_FLAT, hidden),
    new nn.ReLU(),
    new nn.Linear(hidden, classes),
  );
  return train(model, tg.randn([batch, channels[0]!, size, size]), classes);
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
    case 'compiled':
      return compiled(work);
    case 'cnn':
      return cnn(work.batch);
    case 'products':
      return products(work.products);
  }
}

// Training runs in blocks of this length; a sample is one of them, with what its start and its end cost.
const BLOCK_NS = 5e7;

async function main(): Promise<void> {
  const { work, seconds, seed } = JSON.parse(process.argv[2]!) as {
    work: Work;
    seconds: number;
    seed: number;
  };
  tg.manualSeed(seed);
  const { version } = createRequire(import.meta.url)('tapegrad/package.json') as {
    version: string;
  };
  const trains = work.kind === 'compiled' && work.by === 'train';
  const result: Measurement = {
    ...(await measure(build(work), seconds, trains ? BLOCK_NS : undefined)),
    library: `tapegrad ${version}`,
    isa: tg.isa().used,
    threads: tg.numThreads(),
  };
  console.log(JSON.stringify(result));
}
if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
