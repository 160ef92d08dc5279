// Projections and proximal steps: against their optimality conditions, and inside optimizers.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { optim, type Tensor } from 'tapegrad';
import { sample } from './catalogue/harness.js';

const f64 = (data: number[], requiresGrad = false): Tensor =>
  tg.tensor(data, { dtype: 'float64', requiresGrad });
const values = (t: Tensor): number[] => [...t.dataSync()];
const l1 = (v: readonly number[]): number => v.reduce((s, x) => s + Math.abs(x), 0);
const l2 = (v: readonly number[]): number => Math.hypot(...v);

describe('projections', () => {
  it('nonNegative and box clip, and keep NaN', () => {
    const x = f64([-1, 0, 2, NaN]);
    expect(values(optim.project(x, 'nonNegative'))).to.deep.equal([0, 0, 2, NaN]);
    expect(values(optim.project(x, { box: [-0.5, 1] }))).to.deep.equal([-0.5, 0, 1, NaN]);
    expect(values(optim.project(x, { box: [null, 1] }))).to.deep.equal([-1, 0, 1, NaN]);
    expect(values(x)).to.deep.equal([-1, 0, 2, NaN]);
  });

  it('Duchi et al. by hand: (3, 1) onto the l1 ball of radius 2 is (2, 0)', () => {
    expect(values(optim.project(f64([3, 1]), { l1Ball: 2 }))).to.deep.equal([2, 0]);
    expect(values(optim.project(f64([-3, 2]), { l1Ball: 3 }))).to.deep.equal([-2, 1]);
    expect(values(optim.project(f64([3, 4]), { l2Ball: 1 }))).to.deep.equal([3 * 0.2, 4 * 0.2]);
  });

  for (const metric of [false, true])
    for (const kind of ['l1Ball', 'l2Ball'] as const)
      it(`${kind}${metric ? ' in a diagonal metric' : ''}: the conditions of Karush, Kuhn and Tucker`, () => {
        for (let seed = 0; seed < 60; ++seed) {
          const n = 1 + (seed % 17);
          const y = sample(seed, n, [-3, 3], 'float64');
          const h = metric ? sample(seed + 99, n, [0.1, 5], 'float64') : y.map(() => 1);
          const radius = 0.1 + (seed % 7) * 0.7;
          const size = kind === 'l1Ball' ? l1 : l2;
          const projection = { [kind]: radius } as unknown as optim.Projection;
          const x = values(optim.project(f64(y), projection, metric ? f64(h) : null));
          if (size(y) <= radius) {
            expect(x).to.deep.equal(y);
            continue;
          }
          expect(size(x)).to.be.closeTo(radius, 1e-12 * Math.max(1, radius));
          // h (y - x) = λ times a subgradient of the constraint, with one λ ≥ 0 for all.
          const pull = x.map((v, i) => h[i]! * (y[i]! - v));
          if (kind === 'l2Ball') {
            const lambda = pull.map((p, i) => p / x[i]!);
            for (const v of lambda) expect(v).to.be.closeTo(lambda[0]!, 1e-9 * lambda[0]!);
            expect(lambda[0]).to.be.above(0);
          } else {
            const lambda = Math.max(...pull.map(Math.abs));
            x.forEach((v, i) => {
              if (v === 0) expect(Math.abs(pull[i]!)).to.be.at.most(lambda * (1 + 1e-12));
              else expect(pull[i]! * Math.sign(v)).to.be.closeTo(lambda, 1e-11);
            });
          }
        }
      });

  it('float32, empty tensors, radius 0', () => {
    const x = tg.tensor([3, -4], { shape: [2, 1] });
    const onto = optim.project(x, { l2Ball: 2.5 });
    expect([onto.dtype, onto.shape, values(onto)]).to.deep.equal(['float32', [2, 1], [1.5, -2]]);
    expect(values(optim.project(x, { l1Ball: 0 })).map(Math.abs)).to.deep.equal([0, 0]);
    expect(values(optim.project(x, { l2Ball: 0 })).map(Math.abs)).to.deep.equal([0, 0]);
    expect(values(optim.project(tg.ones([0]), { l1Ball: 1 }))).to.deep.equal([]);
  });

  it('refuse bad sets and metrics', () => {
    const x = f64([1, 2]);
    expect(() => optim.project(x, { l2Ball: -1 })).to.throw(RangeError, 'l2Ball');
    expect(() => optim.project(x, null as never)).to.throw(TypeError, 'projection');
    expect(() => optim.project(x, { l1Ball: 1 }, f64([1]))).to.throw(RangeError, 'metric');
    expect(() => optim.project(tg.tensor(Int32Array.of(1)), 'nonNegative')).to.throw(
      TypeError,
      'int32',
    );
    expect(() => optim.softThreshold(x, -1)).to.throw(RangeError, 'threshold');
  });
});

describe('proximal step', () => {
  it('moves towards 0 and stops exactly there', () => {
    const x = f64([-2, -0.5, 0, 0.5, 1e-300, 3]);
    expect(values(optim.softThreshold(x, 0.5)).map((v) => v + 0)).to.deep.equal([
      -1.5, 0, 0, 0, 0, 2.5,
    ]);
    expect(
      values(optim.softThreshold(f64([1, 1, 1]), 1, f64([0.5, 2, 4]))).map((v) => v + 0),
    ).to.deep.equal([0, 0.5, 0.75]);
  });
});

/** Full-batch steps on ½‖Aw - b‖²/n. */
const A = tg.keep(f64(sample(3, 40 * 5, [-1, 1], 'float64')).reshape([40, 5]));
const truth = [1.5, -2, 0, 0.5, 0];
const b = tg.keep(
  tg.tidy(() => A.matmul(f64(truth)).add(f64(sample(4, 40, [-0.1, 0.1], 'float64')))),
);
const loss = (w: Tensor): Tensor => A.matmul(w).sub(b).square().mean().mul(0.5);
function solve(
  make: (w: Tensor) => optim.Optimizer,
  steps = 4000,
): { w: number[]; gradient: number[] } {
  const w = f64([0.1, 0.1, 0.1, 0.1, 0.1], true);
  const optimizer = make(w);
  for (let t = 0; t < steps; ++t) optimizer.minimize(() => loss(w));
  const gradient = tg.tidy(() => values(tg.grad(loss)(w.detach())));
  return { w: values(w), gradient };
}

describe('constrained and sparse optimization', () => {
  it('projected gradient descent: nonNegative, to the KKT conditions', () => {
    const { w, gradient } = solve(
      (p) => new optim.SGD([p], { learningRate: 0.5, projection: 'nonNegative' }),
    );
    w.forEach((v, i) => {
      expect(v).to.be.at.least(0);
      if (v > 0) expect(Math.abs(gradient[i]!)).to.be.below(1e-10);
      else expect(gradient[i]).to.be.at.least(-1e-10);
    });
    expect(w[1]).to.equal(0);
  });

  for (const [name, make] of [
    ['SGD', (p: Tensor, o: object) => new optim.SGD([p], { learningRate: 0.5, ...o })],
    ['Adagrad', (p: Tensor, o: object) => new optim.Adagrad([p], { learningRate: 0.5, ...o })],
  ] as const) {
    it(`${name} in a box and in the balls: the gradient points out of the set`, () => {
      for (const projection of [{ box: [-1, 1] }, { l2Ball: 1 }, { l1Ball: 1 }] as const) {
        const { w, gradient } = solve((p) => make(p, { projection }), 8000);
        const set = Object.keys(projection)[0];
        const dual = set === 'l1Ball' ? Math.max(...gradient.map(Math.abs)) : l2(gradient);
        if (set === 'box') {
          w.forEach((v, i) => {
            if (Math.abs(v) < 1) expect(Math.abs(gradient[i]!)).to.be.below(1e-6);
            else expect(Math.sign(gradient[i]!)).to.equal(-Math.sign(v));
          });
          expect(w[1]).to.equal(-1);
        } else {
          const size = set === 'l1Ball' ? l1(w) : l2(w);
          expect(size).to.be.closeTo(1, 1e-12);
          const along = w.reduce((s, v, i) => s - v * gradient[i]!, 0);
          expect(along, set).to.be.closeTo(dual, 1e-6);
        }
      }
    });

    it(`${name} with the proximal l1 step solves the lasso, with exact zeros`, () => {
      const lambda = 0.05;
      const { w, gradient } = solve((p) => make(p, { proximal: { l1: lambda } }), 8000);
      w.forEach((v, i) => {
        if (v === 0) expect(Math.abs(gradient[i]!)).to.be.at.most(lambda);
        else expect(gradient[i]! + lambda * Math.sign(v)).to.be.closeTo(0, 1e-6);
      });
      expect(w.filter((v) => v === 0).length).to.equal(2);
    });
  }

  it('any optimizer, for one group only', () => {
    for (const Kind of [
      optim.Adam,
      optim.RMSprop,
      optim.Adamax,
      optim.Nadam,
      optim.RAdam,
      optim.Adadelta,
    ]) {
      const [p, q] = [f64([0.001], true), f64([0.001], true)];
      const optimizer = new Kind(
        [{ parameters: [p], projection: 'nonNegative' }, { parameters: [q] }],
        {
          learningRate: 0.1,
        },
      );
      for (let t = 0; t < 50; ++t) optimizer.minimize(() => p.add(q).sum());
      expect(p.item(), Kind.name).to.equal(0);
      expect(q.item(), Kind.name).to.be.below(0);
    }
  });
});
