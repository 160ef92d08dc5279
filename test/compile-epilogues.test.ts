// Activations behind products, their gradients behind the products of the layers above, and the gradients of biases:
// compiled functions compute them with the product (native/program/fuse.cpp), and leave what eager steps leave.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { losses, nn, optim, type Tensor } from 'tapegrad';
import { batch, expectSame, labels, stateOf, type World } from './compile/tools.js';

/** Training on batches of so many rows of 12 numbers; `forward` gives logits for 5 classes. */
function training(
  parameters: readonly Tensor[],
  forward: (x: Tensor) => Tensor,
  shape: readonly number[] = [21, 12],
): World {
  const optimizer = new optim.SGD(parameters, { learningRate: 0.1, momentum: 0.9 });
  const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  return {
    fn: (x: Tensor, y: Tensor) => {
      const loss = losses.crossEntropy(forward(x).reshape([rows, 5]), y);
      optimizer.minimize(loss);
      return loss;
    },
    args: (k) => [batch(k, shape), labels(k, rows, 5)],
    state: () => stateOf(parameters, optimizer),
    counts: () => optimizer.steps,
  };
}
const parametersOf = (...modules: readonly nn.Module[]): Tensor[] =>
  modules.flatMap((module) => module.parameters());

interface Options {
  readonly bias?: boolean;
  readonly dtype?: 'float32' | 'float64';
  readonly shape?: readonly number[];
}
/** Two hidden layers that end with f. */
function hidden(f: (x: Tensor) => Tensor, options: Options = {}): World {
  const { bias = true, dtype = 'float32', shape = [21, 12] } = options;
  const layers = [
    [12, 20],
    [20, 15],
    [15, 5],
  ].map(([inputs, outputs]) => new nn.Linear(inputs!, outputs!, { bias, dtype }));
  const forward = (x: Tensor): Tensor => {
    const [a, b, c] = layers as [nn.Linear, nn.Linear, nn.Linear];
    return c.forward(f(b.forward(f(a.forward(x.to(dtype))))));
  };
  return training(parametersOf(...layers), forward, shape);
}

const ACTIVATIONS: Readonly<Record<string, (x: Tensor) => Tensor>> = {
  relu: (x) => x.relu(),
  leakyRelu: (x) => x.leakyRelu({ negativeSlope: 0.2 }),
  sigmoid: (x) => x.sigmoid(),
  tanh: (x) => x.tanh(),
  silu: (x) => x.silu(),
  geluErf: (x) => x.geluErf(),
  geluTanh: (x) => x.geluTanh(),
  softplus: (x) => x.softplus(), // no product ends with this one
};

const NETS: Readonly<Record<string, () => World>> = {
  'without biases': () => hidden(ACTIVATIONS['tanh']!, { bias: false }),
  'with three axes': () => hidden(ACTIVATIONS['geluErf']!, { shape: [3, 7, 12] }),
  'of one row': () => hidden(ACTIVATIONS['relu']!, { shape: [1, 12] }),
  'with an activation that two layers read': () => {
    const below = new nn.Linear(12, 20);
    const heads = [new nn.Linear(20, 5), new nn.Linear(20, 5)] as const;
    return training(parametersOf(below, ...heads), (x) => {
      const y = below.forward(x).relu();
      return heads[0].forward(y).add(heads[1].forward(y));
    });
  },
  'with an activation that is added to what comes of it': () => {
    const layers = [new nn.Linear(12, 12), new nn.Linear(12, 12), new nn.Linear(12, 5)] as const;
    return training(parametersOf(...layers), (x) => {
      const y = layers[0].forward(x).tanh();
      return layers[2].forward(layers[1].forward(y).sigmoid().add(y));
    });
  },
  'with one weight and one bias in two layers': () => {
    const tied = new nn.Linear(12, 12);
    const last = new nn.Linear(12, 5);
    return training(parametersOf(tied, last), (x) =>
      last.forward(tied.forward(tied.forward(x).relu()).relu()),
    );
  },
  'of a weight and its transpose': () => {
    const w = tg.keep(batch(3, [20, 12]));
    const last = new nn.Linear(12, 5);
    w.requiresGrad = true;
    return training([w, ...last.parameters()], (x) =>
      last.forward(x.matmul(w.T).silu().matmul(w).relu()),
    );
  },
  'with biases alone to be trained': () => {
    const layers = [new nn.Linear(12, 20), new nn.Linear(20, 5)] as const;
    for (const { weight } of layers) weight.requiresGrad = false;
    const biases = layers.map(({ bias }) => bias!);
    return training(biases, (x) => layers[1].forward(layers[0].forward(x).relu()));
  },
  'with sums of an activation over either axis': () => {
    const layers = [new nn.Linear(12, 20), new nn.Linear(20, 5), new nn.Linear(20, 5)] as const;
    return training(parametersOf(...layers), (x) => {
      const y = layers[0].forward(x).relu();
      const rows = y.sum({ axis: 1, keepDims: true }).tanh();
      const columns = layers[2].forward(y.sum({ axis: 0 }).mul(0.01).reshape([1, 20]));
      return layers[1].forward(y).mul(rows).add(columns);
    });
  },
  'with a bias that is added': () => {
    const layers = [new nn.Linear(12, 20, { bias: false }), new nn.Linear(20, 5)] as const;
    const bias = tg.keep(batch(5, [20]));
    bias.requiresGrad = true;
    return training([bias, ...parametersOf(...layers)], (x) =>
      layers[1].forward(layers[0].forward(x).add(bias).relu()),
    );
  },
};

/** What the chains of the compiled step are made of. */
function chainsOf({ fn, args }: World): string[] {
  const step = tg.compile(fn);
  const { instructions } = step.program(...(args(0) as never[])).describe();
  step.dispose();
  return instructions
    .filter(({ parts }) => parts.length > 0)
    .map(({ parts }) => parts.map(({ op }) => op).join(' '));
}

describe('what products of compiled functions end with', function () {
  this.timeout(60_000);
  const within = 2e-5;

  for (const [name, f] of Object.entries(ACTIVATIONS)) {
    it(`${name}, its gradient, and those of biases`, () =>
      expectSame(() => hidden(f), { calls: 4, what: name, within }));
    it(`${name} in float64`, () =>
      expectSame(() => hidden(f, { dtype: 'float64' }), { calls: 3, what: name, within: 1e-11 }));
  }
  for (const [name, build] of Object.entries(NETS))
    it(`nets ${name}`, () => expectSame(build, { calls: 4, what: name, within }));

  it('in mixed precision', () =>
    expectSame(
      () => {
        const world = hidden(ACTIVATIONS['geluTanh']!);
        const fn = world.fn as (x: Tensor, y: Tensor) => Tensor;
        // Where the sum for a bias lies between two bfloat16, its order decides.
        return { ...world, fn: (x: Tensor, y: Tensor) => tg.autocast(() => fn(x, y)) };
      },
      { calls: 4, within: 2e-2 },
    ));

  it('a layer takes two calls on the way back: one for its gradient and its bias, one for its weight', () => {
    const { fn, args } = hidden(ACTIVATIONS['relu']!);
    expect(chainsOf({ fn, args })).to.deep.equal([
      'linear relu',
      'linear relu',
      'matmul relu (backward) sum',
      'matmul relu (backward) sum',
    ]);
  });
  it('a sum joins only what it sums, and where nothing lies in between', () => {
    const sums = (name: string): string[] =>
      chainsOf(NETS[name]!()).filter((parts) => parts.endsWith(' sum'));
    expect(sums('without biases')).to.deep.equal([]);
    // Two layers' gradients are added up before the activation's.
    expect(sums('with an activation that two layers read')).to.deep.equal([]);
    expect(sums('with biases alone to be trained')).to.deep.equal(['matmul relu (backward) sum']);
    expect(sums('with sums of an activation over either axis')).to.deep.equal(['linear relu sum']);
    expect(chainsOf(NETS['with a bias that is added']!())).to.include(
      'matmul relu (backward) sumTo',
    );
  });
});
