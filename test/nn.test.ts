// Modules, initialisation and gradient clipping.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { losses, nn, optim } from 'tapegrad';

class Net extends nn.Module {
  first = new nn.Linear(3, 4);
  rest = [new nn.Linear(4, 2), new nn.Linear(2, 1, { bias: false })];
  scale = tg.keep(tg.ones([2]));
  forward(x: tg.Tensor): tg.Tensor {
    return this.rest.reduce((h, layer) => layer.forward(h).tanh(), this.first.forward(x));
  }
}

describe('nn.Module', () => {
  it('finds parameters and buffers by name, also in arrays', () => {
    const net = new Net();
    expect(net.namedParameters().map(([name]) => name)).to.deep.equal([
      'first.weight',
      'first.bias',
      'rest.0.weight',
      'rest.0.bias',
      'rest.1.weight',
    ]);
    expect(net.namedBuffers().map(([name]) => name)).to.deep.equal(['scale']);
    expect(
      net
        .eval()
        .modules()
        .every((m) => !m.training),
    ).to.equal(true);
    expect(net.train().first.training).to.equal(true);
  });

  it('stateDict copies; loadStateDict restores, or names all that does not fit and writes nothing', () => {
    const net = new Net();
    const state = net.stateDict();
    const x = tg.randn([2, 3]);
    const before = net.forward(x).dataSync();
    const optimizer = new optim.SGD(net.parameters(), { learningRate: 1 });
    optimizer.minimize(losses.meanSquaredError(net.forward(x), tg.ones([2, 1])));
    const changed = net.forward(x).dataSync();
    expect(changed).to.not.deep.equal(before);
    const { scale: _, ...partial } = state;
    expect(() => net.loadStateDict({ ...partial, extra: tg.ones([1]) })).to.throw(
      'scale is missing; extra is not part of the module',
    );
    expect(net.forward(x).dataSync()).to.deep.equal(changed);
    expect(net.loadStateDict(state).forward(x).dataSync()).to.deep.equal(before);
  });

  it('Linear computes x Wᵀ + b', () => {
    const layer = new nn.Linear(2, 1, { dtype: 'float64' });
    const [[a, b]] = layer.weight.toArray() as [[number, number]];
    const c = (layer.bias!.toArray() as number[])[0]!;
    const y = layer.forward(tg.tensor([[2, 3]], { dtype: 'float64' })).item();
    expect(y).to.be.closeTo(2 * a + 3 * b + c, 1e-15);
  });
});

describe('initialisation', () => {
  const shape = [200, 300];
  const spread = (t: tg.Tensor): { limit: number; deviation: number } => ({
    limit: t.abs().max().item(),
    deviation: Math.sqrt(t.variance({ correction: 0 }).item()),
  });
  const near = (got: number, want: number): void => {
    expect(got / want).to.be.closeTo(1, 0.02);
  };
  beforeEach(() => {
    tg.manualSeed(3);
  });

  it('zeros and constants', () => {
    expect(nn.init.zeros([3]).toArray()).to.deep.equal([0, 0, 0]);
    expect(nn.init.constant([2], 7).toArray()).to.deep.equal([7, 7]);
  });
  it('normal', () => {
    near(spread(nn.init.normal(shape)).deviation, 0.01);
    near(spread(nn.init.normal(shape, 2)).deviation, 2);
  });
  it('calibrated: ±1/√n', () => {
    near(spread(nn.init.calibratedUniform(shape, 300)).limit, 1 / Math.sqrt(300));
  });
  it('Glorot: ±√(6/(in + out)), deviation √(2/(in + out))', () => {
    near(spread(nn.init.glorotUniform(shape)).limit, Math.sqrt(6 / 500));
    near(spread(nn.init.glorotNormal(shape, 3)).deviation, 3 * Math.sqrt(2 / 500));
  });
  it('He: ±√(6/in), deviation √(2/in), with the field of a convolution', () => {
    near(spread(nn.init.heUniform(shape)).limit, Math.sqrt(6 / 300));
    near(spread(nn.init.heNormal([64, 50, 3, 3])).deviation, Math.sqrt(2 / 450));
  });
});

describe('gradient clipping', () => {
  const parametersWith = (...grads: number[][]): tg.Tensor[] =>
    grads.map((g) => {
      const p = tg.zeros([g.length], { dtype: 'float64', requiresGrad: true });
      p.grad = tg.tensor(g, { dtype: 'float64' });
      return p;
    });
  const grads = (ps: readonly tg.Tensor[]): unknown => ps.map((p) => p.grad!.toArray());

  it('by norm: all gradients together are scaled to it, and the norm before comes back', () => {
    const ps = parametersWith([3, 0], [0, 4]);
    expect(tg.clipGradNorm(ps, 1)).to.equal(5);
    const [a, b] = grads(ps) as [number[], number[]];
    expect(a[0]).to.be.closeTo(0.6, 1e-6);
    expect(b[1]).to.be.closeTo(0.8, 1e-6);
    expect([a[1], b[0]]).to.deep.equal([0, 0]);
  });

  it('by norm: smaller gradients stay as they are, to the bit', () => {
    const ps = parametersWith([0.3], [0.4]);
    expect(tg.clipGradNorm(ps, 1)).to.be.closeTo(0.5, 1e-15);
    expect(grads(ps)).to.deep.equal([[0.3], [0.4]]);
  });

  it('by norm: an infinite norm is refused when told so, and nothing is changed', () => {
    const ps = parametersWith([1, Infinity]);
    expect(() => tg.clipGradNorm(ps, 1, { errorIfNonfinite: true })).to.throw(RangeError);
    expect(grads(ps)).to.deep.equal([[1, Infinity]]);
  });

  it('by value: each element is limited', () => {
    const ps = parametersWith([-3, 0.5, 2]);
    tg.clipGradValue(ps, 1);
    expect(grads(ps)).to.deep.equal([[-1, 0.5, 1]]);
  });
});
