// AdaSecant, vSGD, full-matrix Adagrad and SVRG: against plain programs of the same formulas, and on problems
// where their papers promise something.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { optim, type Tensor } from 'tapegrad';
import { generator, sample } from './catalogue/harness.js';

const f64 = (data: number[], requiresGrad = true): Tensor =>
  tg.tensor(data, { dtype: 'float64', requiresGrad });
const values = (t: Tensor): number[] => [...t.dataSync()];
function expectAll(got: readonly number[], wanted: readonly number[], rtol: number): void {
  got.forEach((v, i) => {
    expect(v, `element ${i}`).to.be.closeTo(wanted[i]!, rtol * Math.max(1, Math.abs(wanted[i]!)));
  });
}

describe('AdaSecant', () => {
  it('is the algorithm that its comment writes', () => {
    const n = 5;
    const start = sample(1, n, [-1, 1], 'float64');
    const w = f64(start);
    const optimizer = new optim.AdaSecant([w], { learningRate: 0.5 });
    const eps = 1e-7;
    const fresh = (x: number) => ({
      x,
      g: eps,
      g2: eps,
      d: 0,
      d2: 0,
      a: eps,
      a2: eps,
      num: eps,
      den: eps,
      ad: eps,
      tau: 2.2,
      corrected: eps,
      before: eps,
    });
    const all = start.map(fresh);
    let resets = 0;
    for (let t = 0; t < 60; ++t) {
      const raw = start.map((_, i) => all[i]!.x * (1 + i) + sample(t, n, [-1, 1], 'float64')[i]!);
      w.grad = f64(raw, false);
      optimizer.step();
      const norm = Math.hypot(...raw) + eps;
      all.forEach((e, i) => {
        const g = raw[i]! / norm;
        const mix = (old: number, now: number): number => (1 - 1 / e.tau) * old + now / e.tau;
        const num = ((e.corrected - g) * (e.corrected - e.g)) ** 2;
        const den = ((e.corrected - e.g) * (g - e.g)) ** 2;
        e.g = 0.95 * e.g + 0.05 * g;
        e.g2 = 0.95 * e.g2 + 0.05 * g * g;
        e.num = mix(e.num, num);
        e.den = mix(e.den, den);
        const gamma = Math.min(Math.sqrt(e.num) / (Math.sqrt(e.den) + eps), 1.8);
        const corrected = (g + gamma * e.g) / (1 + gamma);
        const a = g - e.before;
        e.a = mix(e.a, a);
        e.a2 = mix(e.a2, a * a);
        const [d1, d2] = t === 0 ? [g, g * g] : [e.d, e.d2];
        const rate = Math.sqrt(d2 + eps) / Math.sqrt(e.a2 + eps) - e.ad / (e.a2 + eps);
        const d = -rate * corrected;
        e.d = mix(e.d, d);
        e.d2 = mix(e.d2, d * d);
        e.ad = mix(e.ad, d * a);
        const outlier =
          Math.abs(g - e.g) > 2 * Math.sqrt(Math.max(0, e.g2 - e.g * e.g)) ||
          Math.abs(a - e.a) > 2 * Math.sqrt(Math.max(0, e.a2 - e.a * e.a));
        if (outlier) ++resets;
        e.tau = outlier ? 2.2 : Math.max(1.5, (1 - (d1 * d1) / (d2 + eps)) * e.tau + 1);
        e.corrected = corrected;
        e.before = g;
        e.x += 0.5 * d;
      });
      expectAll(
        values(w),
        all.map((e) => e.x),
        1e-9,
      );
    }
    expect(resets).to.be.within(10, 59 * n); // both branches were taken
  });

  it('gets near the minimum of a noisy, badly scaled quadratic without a rate', () => {
    const w = f64([3, -2, 1]);
    const scale = f64([10, 1, 0.3], false);
    const loss = (x: Tensor): Tensor => x.square().mul(scale).sum();
    const start = loss(w).item();
    const optimizer = new optim.AdaSecant([w]);
    for (let t = 0; t < 1000; ++t)
      optimizer.minimize(() =>
        loss(w).add(w.mul(f64(sample(t, 3, [-1, 1], 'float64'), false)).sum()),
      );
    expect(loss(w).item()).to.be.below(0.05 * start);
  });
});

describe('vSGD', () => {
  const curvature = [4, 1, 0.25];
  const h = f64(curvature, false);
  const noisy = (w: Tensor, t: number): Tensor => {
    const centre = f64(sample(t, 3, [-1, 1], 'float64'), false);
    return w.sub(centre).square().mul(h).mul(0.5).sum();
  };

  it('is the algorithm that its comment writes', () => {
    const w = f64([2, -1, 3]);
    const optimizer = new optim.VSGD([w], { slowStart: 3 });
    const all = values(w).map((x) => ({ x, g: 0, v: 0, h: 0, tau: 0 }));
    for (let t = 0; t < 100; ++t) {
      optimizer.minimize(() => noisy(w, t));
      const centre = sample(t, 3, [-1, 1], 'float64');
      all.forEach((e, i) => {
        const g = curvature[i]! * (e.x - centre[i]!);
        const k = t === 0 ? 1 : 1 / e.tau;
        const c = t === 0 ? 3 : 1;
        e.g = (1 - k) * e.g + k * g;
        e.v = (1 - k) * e.v + k * c * g * g;
        e.h = (1 - k) * e.h + k * c * curvature[i]!;
        e.tau = t === 0 ? 4 : (1 - (e.g * e.g) / e.v) * e.tau + 1;
        e.x -= ((e.g * e.g) / (e.h * e.v)) * g;
      });
      expectAll(
        values(w),
        all.map((e) => e.x),
        1e-8,
      );
    }
  });

  it('converges on a noisy quadratic: the steps shrink by themselves', () => {
    const w = f64([20, -10, 30]);
    const optimizer = new optim.VSGD([w]);
    for (let t = 0; t < 3000; ++t) optimizer.minimize(() => noisy(w, t));
    for (const v of values(w)) expect(Math.abs(v)).to.be.below(0.15); // one sample deviates by 0.58
  });

  it('needs the loss as a function, and restores the parameters when it fails', () => {
    const w = f64([1, 2, 3]);
    const optimizer = new optim.VSGD([w]);
    expect(() => optimizer.minimize(w.sum())).to.throw(TypeError, 'function');
    expect(() => optimizer.step()).to.throw(TypeError, 'function');
    let calls = 0;
    const failing = (): Tensor => {
      if (++calls === 2) throw new Error('in the second call');
      return noisy(w, 1);
    };
    expect(() => optimizer.minimize(failing)).to.throw('in the second call');
    expect(values(w)).to.deep.equal([1, 2, 3]);
    expect(optimizer.steps).to.equal(0);
  });
});

describe('FullMatrixAdagrad', () => {
  it('for gradients along the axes it is Adagrad', () => {
    const [p, q] = [f64([1, 2, 3]), f64([1, 2, 3])];
    const options = { learningRate: 0.1, eps: 1e-10 };
    const both = [new optim.FullMatrixAdagrad([p], options), new optim.Adagrad([q], options)];
    for (let t = 0; t < 30; ++t) {
      const g = [0, 0, 0];
      g[t % 3] = sample(t, 1, [-1, 1], 'float64')[0]!;
      p.grad = f64(g, false);
      q.grad = f64(g, false);
      for (const o of both) o.step();
    }
    expectAll(values(p), values(q), 1e-12);
  });

  it('does not care how the axes are turned; Adagrad does', () => {
    const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
    const turn = ([x, y]: number[]): number[] => [c * x! - s * y!, s * x! + c * y!];
    const run = (
      Kind: typeof optim.Adagrad | typeof optim.FullMatrixAdagrad,
      turned: boolean,
    ): number[] => {
      const w = f64([0, 0]);
      const optimizer = new Kind([w], { learningRate: 0.1 });
      for (let t = 0; t < 40; ++t) {
        const g = sample(t, 2, [-1, 1], 'float64');
        w.grad = f64(turned ? turn(g) : g, false);
        optimizer.step();
      }
      return values(w);
    };
    expectAll(run(optim.FullMatrixAdagrad, true), turn(run(optim.FullMatrixAdagrad, false)), 1e-9);
    const wanted = turn(run(optim.Adagrad, false));
    expect(Math.abs(run(optim.Adagrad, true)[0]! - wanted[0]!)).to.be.above(1e-3);
  });

  it('the first step goes along the gradient with length η, also in float32 and for matrices', () => {
    const w = tg.tensor(
      [
        [0, 0],
        [0, 0],
      ],
      { requiresGrad: true },
    );
    w.grad = tg.tensor([
      [3, 0],
      [0, 4],
    ]);
    new optim.FullMatrixAdagrad([w], { learningRate: 0.5 }).step();
    expectAll(values(w), [-0.3, 0, 0, -0.4], 1e-6);
  });

  it('refuses large parameters before anything is made', () => {
    expect(() => new optim.FullMatrixAdagrad([tg.zeros([513], { requiresGrad: true })])).to.throw(
      RangeError,
      'at most 512',
    );
  });
});

describe('SVRG', () => {
  const [n, d] = [60, 4];
  const rng = generator(7);
  const A = tg.keep(f64(sample(1, n * d, [-1, 1], 'float64'), false).reshape([n, d]));
  const noise = Array.from({ length: n }, () => rng() - 0.5);
  const b = tg.keep(tg.tidy(() => A.matmul(f64([1, -2, 3, 0.5], false)).add(f64(noise, false))));
  const fresh = (): { w: Tensor; loss: (rows?: Tensor) => Tensor } => {
    const w = f64([0, 0, 0, 0]);
    const loss = (rows?: Tensor): Tensor => {
      const [x, y] = rows ? [tg.indexSelect(A, rows), tg.indexSelect(b, rows)] : [A, b];
      return x.matmul(w).sub(y).square().mean().mul(0.5);
    };
    return { w, loss };
  };
  const gradientNorm = (w: Tensor, loss: () => Tensor): number => {
    const [g] = tg.gradients(loss(), [w]);
    return Math.hypot(...values(g!));
  };

  it('converges linearly at a constant rate, where SGD stalls', () => {
    tg.manualSeed(3);
    const { w, loss } = fresh();
    const svrg = new optim.SVRG(new optim.SGD([w], { learningRate: 0.1 }), loss, n);
    const norms: number[] = [];
    for (let epoch = 0; epoch < 40; ++epoch) {
      svrg.epoch();
      norms.push(gradientNorm(w, loss));
    }
    expect(norms[39]).to.be.below(1e-12);
    expect(norms[19]!).to.be.below(1e-4 * norms[0]!);
    const other = fresh();
    const sgd = new optim.SGD([other.w], { learningRate: 0.1 });
    for (let t = 0; t < 40 * 2 * n; ++t)
      tg.tidy(() => {
        sgd.minimize(other.loss(tg.randint(0, n, [1])));
      });
    expect(gradientNorm(other.w, other.loss)).to.be.above(1e-4);
  });

  it('with one example per step of n = 1 it is gradient descent', () => {
    const w = f64([10]);
    const loss = (rows: Tensor): Tensor => w.square().mul(tg.onesLike(rows).to('float64')).mean();
    const svrg = new optim.SVRG(new optim.SGD([w], { learningRate: 0.2 }), loss, 1, {
      innerSteps: 10,
    });
    svrg.epoch();
    expect(w.item()).to.be.closeTo(0.060466, 5e-7);
  });

  it('chunks of the full gradient and batches change the rounding only; memory comes back', () => {
    const run = (chunkSize: number): number[] => {
      tg.manualSeed(5);
      const { w, loss } = fresh();
      const svrg = new optim.SVRG(new optim.SGD([w], { learningRate: 0.1 }), loss, n, {
        chunkSize,
        batchSize: 7,
        innerSteps: 11,
      });
      const { tensors } = tg.memory();
      for (let epoch = 0; epoch < 3; ++epoch) svrg.epoch();
      expect(tg.memory().tensors).to.be.at.most(tensors); // a sweep may free other tests' tensors
      return values(w);
    };
    expectAll(run(13), run(n), 1e-12);
  });

  it('with the proximal step it is Prox-SVRG: the lasso with exact zeros', () => {
    tg.manualSeed(1);
    const { w, loss } = fresh();
    const lambda = 0.3;
    const sgd = new optim.SGD([w], { learningRate: 0.05, proximal: { l1: lambda } });
    const svrg = new optim.SVRG(sgd, loss, n);
    for (let epoch = 0; epoch < 60; ++epoch) svrg.epoch();
    const g = values(tg.gradients(loss(), [w])[0]!);
    values(w).forEach((v, i) => {
      if (v === 0) expect(Math.abs(g[i]!)).to.be.at.most(lambda);
      else expect(g[i]! + lambda * Math.sign(v)).to.be.closeTo(0, 1e-9);
    });
    expect(values(w)).to.include(0);
  });

  it('refuses bad arguments, and restores the parameters when the loss fails', () => {
    const { w, loss } = fresh();
    const sgd = new optim.SGD([w]);
    expect(() => new optim.SVRG({} as never, loss, n)).to.throw(TypeError, 'optimizer');
    expect(() => new optim.SVRG(sgd, 1 as never, n)).to.throw(TypeError, 'loss');
    for (const count of [0, NaN, 1.5])
      expect(() => new optim.SVRG(sgd, loss, count)).to.throw(RangeError, 'count');
    expect(() => new optim.SVRG(sgd, loss, n, { batchSize: n + 1 })).to.throw(
      RangeError,
      'batchSize',
    );
    expect(() => new optim.SVRG(sgd, loss, n, { m: 1 } as never)).to.throw(TypeError, 'm');
    let calls = 0;
    const failing = (rows: Tensor): Tensor => {
      if (++calls === 4) throw new Error('in mid-step');
      return loss(rows);
    };
    const svrg = new optim.SVRG(sgd, failing, n);
    expect(() => svrg.epoch()).to.throw('in mid-step');
    expect(values(w).every((v) => v !== 0)).to.equal(true); // the first inner step's result
  });
});
