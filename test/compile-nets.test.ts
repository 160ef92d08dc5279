// Whole nets inside a compiled function: what a training step leaves behind has the bits of the eager step, with any
// number of threads, and train() leaves what the same steps one by one leave.
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import * as tg from 'tapegrad';
import { losses, nn, optim, type Tensor } from 'tapegrad';
import { toTensor, type NDArray } from './catalogue/harness.js';
import {
  batch,
  expectSame,
  expectTrail,
  labels,
  stateOf,
  trailOf,
  valuesOf,
  type Trail,
  type World,
} from './compile/tools.js';

/** Training of a classifier with what its modules hold besides parameters. */
function training(model: nn.Module, shape: readonly number[], classes: number): World {
  const optimizer = new optim.Adam(model.parameters(), { learningRate: 0.01 });
  return {
    fn: (x: Tensor, y: Tensor) => {
      const out = (model as unknown as { forward(x: Tensor): Tensor }).forward(x);
      const loss = losses.crossEntropy(out, y);
      optimizer.minimize(loss);
      return loss;
    },
    args: (k) => [batch(k, shape), labels(k, shape[0]!, classes)],
    state: () => [...Object.values(model.stateDict()), ...stateOf([], optimizer)],
    counts: () => optimizer.steps,
  };
}
const mlp = (): nn.Module =>
  new nn.Sequential(
    new nn.Linear(33, 40),
    new nn.ReLU(),
    new nn.Linear(40, 17),
    new nn.Tanh(),
    new nn.Linear(17, 5),
  );
const cnn = (): nn.Module =>
  new nn.Sequential(
    new nn.Conv2d(2, 4, 3, { padding: 1 }),
    new nn.BatchNorm2d(4),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(4, 3, 3),
    new nn.AvgPool2d(2),
    new nn.Flatten(),
    new nn.Linear(3, 5),
  );

/** On CUDA, where the gradient of a bias is summed in another order. */
const WITHIN = 2e-5;

const NETS: Readonly<Record<string, () => World>> = {
  'a multilayer perceptron': () => training(mlp(), [19, 33], 5),
  'a convolutional net': () => training(cnn(), [4, 2, 8, 8], 5),
  'batch norm with its running statistics': () =>
    training(
      new nn.Sequential(
        new nn.Linear(7, 9),
        new nn.BatchNorm1d(9),
        new nn.ReLU(),
        new nn.Linear(9, 4),
      ),
      [11, 7],
      4,
    ),
  'dropout with its random streams': () =>
    training(
      new nn.Sequential(
        new nn.Linear(7, 30),
        new nn.Dropout(0.4),
        new nn.ReLU(),
        new nn.Dropout(0.2),
        new nn.Linear(30, 4),
      ),
      [11, 7],
      4,
    ),
  'layer norm': () =>
    training(
      new nn.Sequential(
        new nn.Linear(7, 9),
        new nn.LayerNorm(9),
        new nn.GELU(),
        new nn.Linear(9, 4),
      ),
      [6, 7],
      4,
    ),
  maxout: () => training(new nn.Sequential(new nn.Maxout(7, 6, 3), new nn.Linear(6, 4)), [6, 7], 4),
};

describe('compiled nets', function () {
  this.timeout(600_000);

  for (const [name, build] of Object.entries(NETS)) {
    it(name, () => expectSame(build, { calls: 5, what: name, within: WITHIN }));
    it(`${name}: the same bits for 1, 2 and 5 threads`, async () => {
      const before = tg.numThreads();
      try {
        const trails = [];
        for (const threads of [1, 2, 5]) {
          tg.setNumThreads(threads);
          trails.push(await trailOf(build, 'await', 3));
        }
        for (const trail of trails) expect(trail).to.deep.equal(trails[0]);
      } finally {
        tg.setNumThreads(before);
      }
    });
  }

  it('large layers, which run on several threads', async () => {
    const build = (): World =>
      training(
        new nn.Sequential(new nn.Linear(300, 257), new nn.ReLU(), new nn.Linear(257, 5)),
        [130, 300],
        5,
      );
    const before = tg.numThreads();
    try {
      tg.setNumThreads(1);
      const one = await trailOf(build, 'eager', 2);
      for (const threads of [2, 5]) {
        tg.setNumThreads(threads);
        expectTrail(await trailOf(build, 'await', 2), one, `${threads} threads`, WITHIN);
      }
    } finally {
      tg.setNumThreads(before);
    }
  });

  it('an embedding', () =>
    expectSame(
      () => {
        const table = new nn.Embedding(9, 6);
        const out = new nn.Linear(6, 4);
        const optimizer = new optim.SGD([...table.parameters(), ...out.parameters()], {
          momentum: 0.9,
        });
        return {
          fn: (words: Tensor, y: Tensor) => {
            const loss = losses.crossEntropy(out.forward(table.forward(words).mean(1)), y);
            optimizer.minimize(loss);
            return loss;
          },
          args: (k) => [labels(k, 12, 9).reshape([4, 3]), labels(k, 4, 4)],
          state: () => stateOf(optimizer.parameters, optimizer),
        };
      },
      { calls: 4 },
    ));

  it('one weight in two layers', () =>
    expectSame(
      () => {
        const w = tg.keep(batch(3, [6, 6]));
        w.requiresGrad = true;
        const optimizer = new optim.Adam([w]);
        return {
          fn: (x: Tensor) => {
            const loss = x.matmul(w).tanh().matmul(w.T).square().mean();
            optimizer.minimize(loss);
            return loss;
          },
          args: (k) => [batch(k, [5, 6])],
          state: () => stateOf([w], optimizer),
        };
      },
      { calls: 4 },
    ));

  it('train gives what the same steps one by one give', async () => {
    for (const name of ['a multilayer perceptron', 'dropout with its random streams']) {
      const shape = name.startsWith('a') ? [19, 33] : [11, 7];
      const classes = name.startsWith('a') ? 5 : 4;
      const rows = 3 * shape[0]!;
      const data = (): [Tensor, Tensor] => [batch(99, [rows, shape[1]!]), labels(1, rows, classes)];
      const ends: Trail[] = [];
      for (const way of ['eager', 'train'] as const) {
        tg.manualSeed(5);
        const world = NETS[name]!();
        const [x, y] = data();
        const step = tg.compile(world.fn as (x: Tensor, y: Tensor) => Tensor);
        if (way === 'train')
          await step.train([x, y], { epochs: 2, batchSize: shape[0]!, shuffle: false, seed: 1 })
            .finished;
        else {
          const fn = world.fn as (x: Tensor, y: Tensor) => Tensor;
          for (let k = 0; k < 6; ++k) {
            const cut = { axis: 0, start: (k % 3) * shape[0]!, end: ((k % 3) + 1) * shape[0]! };
            fn(x.slice(cut).clone(), y.slice(cut).clone());
          }
        }
        const state = world.state!().map(valuesOf);
        ends.push({ results: [], shapes: [], state, counts: world.counts!(), random: null });
      }
      expectTrail(ends[1]!, ends[0]!, name, WITHIN);
    }
  });
});

interface TrainingCase {
  name: string;
  dims: number[];
  activation: 'tanh' | 'sigmoid';
  loss: 'crossEntropy' | 'mse';
  optimizer: { name: string } & Record<string, unknown>;
  x: NDArray;
  y: NDArray;
  weights: NDArray[];
  losses: number[];
}
const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/training.json', import.meta.url), 'utf8'),
) as TrainingCase[];
const optimizers = Object.fromEntries(
  Object.entries(optim).map(([name, type]) => [name.toLowerCase(), type]),
) as unknown as Record<string, new (p: Tensor[], options: object) => optim.Optimizer>;

describe('compiled golden training', () => {
  for (const c of golden)
    it(c.name, async () => {
      const build = (): World => {
        const weights = c.weights.map((w) => toTensor(w, 'float64', true));
        const { name, ...options } = c.optimizer;
        const optimizer = new optimizers[name]!(weights, options);
        const [x, y] = [toTensor(c.x, 'float64'), toTensor(c.y, 'float64')];
        return {
          fn: (x: Tensor, y: Tensor) => {
            let h = x;
            for (let i = 0; i + 1 < weights.length; i += 2) {
              const z = tg.linear(h, weights[i]!, weights[i + 1]!);
              h = i + 2 < weights.length ? z[c.activation]() : z;
            }
            const loss =
              c.loss === 'mse' ? losses.meanSquaredError(h, y) : losses.crossEntropy(h, y);
            optimizer.minimize(loss);
            return loss;
          },
          args: () => [x, y],
          state: () => stateOf(weights, optimizer),
        };
      };
      await expectSame(build, { calls: c.losses.length, what: c.name, within: 1e-9 });
      const { fn, args } = build();
      const step = tg.compile(fn as (...a: unknown[]) => Tensor);
      c.losses.forEach((wanted, t) => {
        expect(step.runSync(...args(t)).item(), `loss before step ${t}`).to.be.closeTo(
          wanted,
          1e-8,
        );
      });
    });
});
