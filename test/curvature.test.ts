// Second derivatives and what is built on them: the golden cases, the worked numbers and inequalities of the
// lectures on step sizes and curvature (A Intro to Deep Learning, D Côte d'Azur, E Monash), and bad input.
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import * as tg from 'tapegrad';
import { type Tensor, TapegradError } from 'tapegrad';
import { expectClose, generator, toTensor, type NDArray } from './catalogue/harness.js';
import { collect } from './collect.js';

const f64 = (data: Parameters<typeof tg.tensor>[0]): Tensor =>
  tg.tensor(data, { dtype: 'float64' });
const at = (x: Tensor, i: number): Tensor => tg.slice(x, { axis: 0, start: i, end: i + 1 }).sum();
const noise = (seed: number, n: number): number[] => {
  const next = generator(seed);
  return Array.from({ length: n }, () => 2 * next() - 1);
};
const norm = (v: ArrayLike<number>): number => Math.hypot(...Array.from(v));
const distance = (x: Tensor, y: Tensor): number => norm(x.sub(y).dataSync());
const close = (got: Tensor, wanted: readonly number[], tolerance = 1e-12): void => {
  const d = [...got.dataSync()];
  expect(d).to.have.lengthOf(wanted.length);
  wanted.forEach((v, i) => expect(d[i], `element ${i}`).to.be.closeTo(v, tolerance));
};
const throwsCode = (fn: () => unknown, code: string, message: RegExp): void => {
  let error: unknown;
  try {
    fn();
  } catch (e) {
    error = e;
  }
  expect(error).to.be.instanceOf(TapegradError);
  expect((error as TapegradError).code).to.equal(code);
  expect((error as TapegradError).message).to.match(message);
};

/** x₀² - x₁², lecture E's saddle. */
const saddle = (x: Tensor): Tensor => at(x, 0).square().sub(at(x, 1).square());
const rosenbrock = (x: Tensor): Tensor =>
  at(x, 1).sub(at(x, 0).square()).square().mul(100).add(at(x, 0).sub(1).square());

describe('golden second-order', () => {
  interface Case {
    name: string;
    x: NDArray;
    value: number;
    hessian: NDArray;
    vector: NDArray;
    hvp: NDArray;
  }
  const functions: Record<string, (x: Tensor) => Tensor> = {
    saddle,
    logSumExp: (x) => tg.logSumExp(x),
    sigmoidDot: (x) =>
      x
        .mul(tg.arange(1, 1 + x.size, 1, { dtype: 'float64' }))
        .sum()
        .sigmoid(),
  };
  const path = new URL('../../test/golden/second-order.json', import.meta.url);
  for (const c of JSON.parse(readFileSync(path, 'utf8')) as Case[])
    it(c.name, () => {
      const f = functions[c.name]!;
      const [x, v] = [toTensor(c.x, 'float64'), toTensor(c.vector, 'float64')];
      expect(f(x).item()).to.be.closeTo(c.value, 1e-9 * Math.abs(c.value));
      expectClose(tg.hessian(f, x), c.hessian, 1e-9, 1e-18, `${c.name}: hessian`);
      expectClose(tg.hvp(f, x, v), c.hvp, 1e-9, 1e-18, `${c.name}: hvp`);
      expectClose(tg.matmul(tg.hessian(f, x), v), c.hvp, 1e-9, 1e-18, `${c.name}: H v`);
    });
});

describe('derivatives of functions', () => {
  it('jacobian: rows for every element of f(x), [...out, ...in]', () => {
    const w = f64([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const j = tg.jacobian((x) => tg.matmul(w, x).tanh(), f64([0.1, -0.2, 0.05]));
    const slope = 1 - Math.tanh(-0.15) ** 2;
    expect(j.shape).to.deep.equal([2, 3]);
    const second = 1 - Math.tanh(0.4 - 1 + 0.3) ** 2;
    close(j, [slope, 2 * slope, 3 * slope, 4 * second, 5 * second, 6 * second]);
    const wide = tg.jacobian((x) => tg.transpose(x).square(), w);
    expect(wide.shape).to.deep.equal([3, 2, 2, 3]);
    for (let k = 0; k < 36; ++k) {
      const [a, b, c, d] = [
        Math.floor(k / 12),
        Math.floor(k / 6) % 2,
        Math.floor(k / 3) % 2,
        k % 3,
      ];
      const wanted = a === d && b === c ? 2 * (3 * b + a + 1) : 0;
      expect(wide.dataSync()[k]).to.equal(wanted);
    }
    expect(tg.jacobian((x) => x.sum(), w).shape).to.deep.equal([2, 3]);
    expect(tg.jacobian((x) => x.mul(2), tg.tensor(3)).item()).to.equal(2);
    expect(tg.jacobian((x) => x.mul(2), tg.zeros([0, 2])).shape).to.deep.equal([0, 2, 0, 2]);
    const deep = [1, 1, 2, 1, 1, 1, 1, 1];
    expect(tg.jacobian((x) => x.sum(), tg.ones(deep)).shape).to.deep.equal(deep);
    expect(() => tg.jacobian((x) => x, tg.ones(deep))).to.throw(RangeError, 'at most 8 dimensions');
    expect(tg.jacobian((x) => x.mul(2), tg.tensor([1, 2])).dtype).to.equal('float32');
  });

  it('hessian: agrees with differences of the gradient, symmetric, for any shape of x', () => {
    const f = (x: Tensor): Tensor =>
      tg.matmul(x, tg.transpose(x)).sigmoid().sum().add(x.exp().sum());
    const x = f64([noise(1, 3), noise(2, 3)]);
    const h = tg.hessian(f, x);
    expect(h.shape).to.deep.equal([2, 3, 2, 3]);
    const d = h.dataSync();
    for (let j = 0; j < 6; ++j) {
      const step = (by: number): ArrayLike<number> => {
        const data = Float64Array.from(x.dataSync());
        data[j]! += by;
        return tg
          .grad(f)(tg.tensor(data, { shape: [2, 3] }))
          .dataSync();
      };
      const [above, below] = [step(1e-5), step(-1e-5)];
      for (let i = 0; i < 6; ++i) {
        expect(d[6 * i + j]).to.be.closeTo((above[i]! - below[i]!) / 2e-5, 1e-8);
        expect(d[6 * i + j]).to.be.closeTo(d[6 * j + i]!, 1e-14);
      }
    }
  });

  it('several arguments: blocks that match the Hessian of the joined vector', () => {
    const f = (a: Tensor, b: Tensor): Tensor =>
      a.square().sum().mul(b).add(b.pow(3)).add(a.sum()).sum();
    const [a, b] = [f64([1, -2]), f64(0.5)];
    const [[aa, ab], [ba, bb]] = tg.hessian(f, [a, b]) as [[Tensor, Tensor], [Tensor, Tensor]];
    close(aa, [1, 0, 0, 1]);
    close(ab, [2, -4]);
    expect(ba.shape).to.deep.equal([2]);
    close(ba, [2, -4]);
    close(bb, [3]);
    const [va, vb] = tg.hvp(f, [a, b], [f64([3, 1]), f64(2)]) as [Tensor, Tensor];
    close(va, [3 + 4, 1 - 8]);
    close(vb, [6 - 4 + 6]);
  });

  it('a linear function has a Hessian of zeros', () => {
    close(
      tg.hessian((x) => x.mul(3).sum(), f64([1, 2])),
      [0, 0, 0, 0],
    );
    close(
      tg.hvp((x) => x.mul(3).sum(), f64([1, 2]), f64([1, 1])),
      [0, 0],
    );
    expect(tg.lipschitz((x) => x.mul(3).sum(), f64([1, 2]))).to.equal(0);
  });

  it('gradients of the caller stay as they are, and nothing leaks', () => {
    const w = f64([1, 2, 3]);
    w.requiresGrad = true;
    const y = w.square().sum();
    const run = (): void => {
      tg.tidy(() => {
        tg.jacobian((x) => x.mul(w).exp(), w);
        tg.hessian((x) => x.mul(w).exp().sum(), w);
        tg.hvp((x) => x.mul(w).exp().sum(), w, w);
        tg.newton((x) => x.exp().add(x.neg().exp()).sum(), w);
        tg.lbfgs((x) => x.exp().add(x.neg().exp()).sum(), w);
      });
    };
    run();
    collect();
    const before = tg.memory().tensors;
    run();
    expect(tg.memory().tensors).to.equal(before);
    expect(w.grad).to.equal(null);
    y.backward();
    close(w.grad!, [2, 4, 6]);
  });
});

describe('critical points', () => {
  it('E: x₁² - x₂² at 0 has H = diag(2, -2), eigenvalues -2 and 2: a saddle', () => {
    const zero = f64([0, 0]);
    close(tg.hessian(saddle, zero), [2, 0, 0, -2]);
    const { eigenvalues, kind, gradientNorm } = tg.classifyCriticalPoint(saddle, zero);
    expect(eigenvalues).to.deep.equal([-2, 2]);
    expect(kind).to.equal('saddle');
    expect(gradientNorm).to.equal(0);
  });

  it('minimum, maximum, degenerate', () => {
    const bowl = (x: Tensor): Tensor =>
      x
        .square()
        .mul(f64([1, 3]))
        .sum();
    const kindOf = (f: (x: Tensor) => Tensor, x: Tensor): string =>
      tg.classifyCriticalPoint(f, x).kind;
    expect(kindOf(bowl, f64([0, 0]))).to.equal('minimum');
    expect(kindOf((x) => bowl(x).neg(), f64([0, 0]))).to.equal('maximum');
    expect(kindOf((x) => at(x, 0).square(), f64([0, 0]))).to.equal('degenerate');
    expect(kindOf((x) => x.pow(4).sum(), f64([0, 0]))).to.equal('degenerate');
    expect(kindOf(rosenbrock, f64([1, 1]))).to.equal('minimum');
    expect(kindOf(saddle, tg.tensor([0, 0]))).to.equal('saddle');
    expect(() => tg.classifyCriticalPoint(bowl, f64([1, 0]))).to.throw(
      RangeError,
      'no critical point',
    );
  });
});

/** Least squares ½‖Xw - y‖² with its exact solution by the normal equations. */
function leastSquares(seed: number, rows = 30, columns = 4) {
  const data = noise(seed, rows * columns).map((v, i) => v * (1 + (i % columns)));
  const x = tg.tensor(Float64Array.from(data), { shape: [rows, columns] });
  const y = f64(noise(seed + 1, rows));
  const gram = tg.matmul(x.T, x);
  const eigenvalues = new EigenvalueDecomposition(new Matrix(gram.toArray() as number[][]), {
    assumeSymmetric: true,
  }).realEigenvalues;
  const f = (w: Tensor): Tensor => tg.matmul(x, w).sub(y).square().sum().mul(0.5);
  const best = tg.newton(f, tg.zeros([columns], { dtype: 'float64' }));
  return { f, best, largest: Math.max(...eigenvalues), start: f64(noise(seed + 2, columns)) };
}
/** Logistic regression, mean loss: smooth with L ≤ λmax(XᵀX)/(4n), and convex. */
function logisticRegression() {
  const [n, d] = [40, 3];
  const x = tg.tensor(Float64Array.from(noise(11, n * d)), { shape: [n, d] });
  const labels = f64(noise(12, n).map((v, i) => Number(v + x.dataSync()[d * i]! > 0)));
  const gram = new Matrix(tg.matmul(x.T, x).toArray() as number[][]);
  const { realEigenvalues } = new EigenvalueDecomposition(gram, { assumeSymmetric: true });
  const f = (w: Tensor): Tensor =>
    tg.losses.binaryCrossEntropyWithLogits(tg.matmul(x, w), labels, { reduction: 'mean' });
  return { f, l: Math.max(...realEigenvalues) / (4 * n), start: f64([3, -2, 1]) };
}

describe('lectures: step sizes', () => {
  it('E: gradient descent on x² from 10 for 10 steps of 0.2, 0.05 and 1.1', () => {
    const f = (x: Tensor): Tensor => x.square();
    for (const [step, wanted] of [
      [0.2, 0.060466],
      [0.05, 3.486784],
      [1.1, 61.917364],
    ] as const) {
      const trace: number[] = [];
      const options = {
        step,
        maxIterations: 10,
        callback: ({ x }: tg.Progress) => trace.push(x.item()),
      };
      const result = tg.gradientDescent(f, f64(10), options);
      expect(result.x.item(), `η = ${step}`).to.be.closeTo(wanted, 5e-7);
      expect(result.iterations).to.equal(10);
      expect(result.converged).to.equal(false);
      trace.forEach((x, t) => expect(x).to.be.closeTo(10 * (1 - 2 * step) ** t, 1e-12));
      expect(trace).to.have.lengthOf(11);
    }
  });

  it('A: for least squares lipschitz is λmax(XᵀX), and η = 1/L takes it', () => {
    for (const seed of [3, 30, 300]) {
      const { f, largest, start } = leastSquares(seed);
      expect(tg.lipschitz(f, start)).to.be.closeTo(largest, 1e-9 * largest);
      let step = 0;
      const callback = (p: tg.Progress): void => {
        ({ step } = p);
      };
      tg.gradientDescent(f, start, { step: '1/L', maxIterations: 1, callback });
      expect(step).to.be.closeTo(1 / largest, 1e-9 / largest);
    }
  });

  it('A: least squares, η = 1/L: f(w_T) - f* ≤ ‖w₀-w*‖²/(2ηT) at every T', () => {
    for (const seed of [3, 30]) {
      const { f, best, largest, start } = leastSquares(seed);
      const far = distance(start, best.x) ** 2;
      let checked = 0;
      tg.gradientDescent(f, start, {
        step: 1 / largest,
        maxIterations: 500,
        tolerance: 0,
        callback: ({ iteration: t, value }) => {
          if (t === 0) return;
          expect(value - best.value, `T = ${t}`).to.be.at.most((far * largest) / (2 * t));
          ++checked;
        },
      });
      expect(checked).to.be.at.least(100);
    }
  });

  for (const problem of ['least squares', 'logistic regression'] as const) {
    const make = (): { f: (w: Tensor) => Tensor; l: number; start: Tensor } => {
      if (problem === 'logistic regression') return logisticRegression();
      const { f, largest: l, start } = leastSquares(5);
      return { f, l, start };
    };

    it(`A, D: ${problem}, η = 1/L: f(x_{t+1}) ≤ f(x_t) - ‖∇f(x_t)‖²/(2L) at every step`, () => {
      const { f, l, start } = make();
      let bound = Infinity;
      let steps = 0;
      tg.gradientDescent(f, start, {
        step: 1 / l,
        maxIterations: 300,
        tolerance: 1e-7, // below, the decrease drowns in rounding
        callback: ({ iteration: t, value, gradientNorm }) => {
          expect(value, `step ${t}`).to.be.at.most(bound * (1 + 1e-15));
          bound = value - gradientNorm ** 2 / (2 * l);
          steps = t;
        },
      });
      expect(steps).to.be.greaterThan(20);
    });

    it(`D: ${problem}, convex and L-smooth: f(x_t) - f* ≤ 2L‖x₀-x*‖²/(t+4) at every t`, () => {
      const { f, l, start } = make();
      const best = tg.newton(f, start);
      const far = distance(start, best.x) ** 2;
      let steps = 0;
      tg.gradientDescent(f, start, {
        step: 1 / l,
        maxIterations: 300,
        tolerance: 0,
        callback: ({ iteration: t, value }) => {
          expect(value - best.value, `t = ${t}`).to.be.at.most((2 * l * far) / (t + 4));
          steps = t;
        },
      });
      expect(steps).to.be.greaterThan(20);
    });
  }

  it('the descent lemma needs η ≤ 1/L: with 2.1/L gradient descent on least squares diverges', () => {
    const { f, largest, start } = leastSquares(3);
    const run = (steps: number): number =>
      tg.gradientDescent(f, start, { step: 2.1 / largest, maxIterations: steps }).value;
    expect(run(200)).to.be.greaterThan(1e3 * run(20));
    throwsCode(() => run(20_000), 'TG_NOT_FINITE', /gradientDescent: .*too long/);
  });
});

describe('line searches', () => {
  const quadratic = (x: Tensor): Tensor =>
    x
      .square()
      .mul(f64([1, 10]))
      .sum()
      .mul(0.5);

  it('exact: η = gᵀg / gᵀHg for a quadratic', () => {
    const { step, value } = tg.exactLineSearch(quadratic, f64([3, 1]));
    const [g, gg, ghg] = [[3, 10], 109, 9 + 1000];
    expect(step).to.be.closeTo(gg / ghg, 1e-15);
    const wanted = 0.5 * ((3 - step * g[0]!) ** 2 + 10 * (1 - step * g[1]!) ** 2);
    expect(value).to.be.closeTo(wanted, 1e-14);
  });

  it('exact: the slope vanishes at the nearest minimum of a function that is not quadratic', () => {
    const f = (x: Tensor): Tensor => x.square().add(x.cos()).add(x.exp()).sum();
    const x = f64([2, -1]);
    const d = f64([-1, -0.2]);
    const { step, value } = tg.exactLineSearch(f, x, { direction: d, step: 0.01 });
    const end = x.add(d.mul(step));
    expect(tg.grad(f)(end).mul(d).sum().item()).to.be.closeTo(0, 1e-10);
    expect(value).to.equal(f(end).item());
  });

  it('backtracking: the first of 1, ½, ¼, … that meets Armijo, and not the one before', () => {
    const [x, g] = [f64([3, 1]), [3, 10]];
    const { step, value, evaluations } = tg.backtracking(quadratic, x, { sufficient: 0.3 });
    expect(step).to.equal(0.5 ** (evaluations - 1));
    const after = (s: number): number => quadratic(f64([3 - s * g[0]!, 1 - s * g[1]!])).item();
    expect(value).to.equal(after(step));
    expect(after(step)).to.be.at.most(9.5 - 0.3 * step * 109);
    expect(after(2 * step)).to.be.greaterThan(9.5 - 0.3 * 2 * step * 109);
  });

  it('every way to step reaches the minimum', () => {
    for (const step of ['backtracking', 'exact', '1/L', 0.1, (k: number) => 0.2 / (k + 1) ** 0.1]) {
      const result = tg.gradientDescent(quadratic, f64([3, 1]), { step: step as 'exact' });
      expect(result.converged, String(step)).to.equal(true);
      close(result.x, [0, 0], 1e-8);
    }
    // Boyd & Vandenberghe 2004, (9.20): the minimum is at x₀ = -½ log 2, x₁ = 0.
    const f = (x: Tensor): Tensor => {
      const [u, v] = [at(x, 0).sub(0.1), at(x, 1).mul(3)];
      return u.add(v).exp().add(u.sub(v).exp()).add(at(x, 0).add(0.1).neg().exp());
    };
    for (const step of ['backtracking', 'exact'] as const) {
      const { x, iterations } = tg.gradientDescent(f, f64([-1, 0.7]), { step });
      close(x, [-Math.LN2 / 2, 0], 1e-7);
      expect(iterations, step).to.be.lessThan(100);
    }
  });

  it('refuse uphill directions, functions without end, wrong shapes', () => {
    const x = f64([3, 1]);
    for (const search of [tg.backtracking, tg.exactLineSearch]) {
      expect(() => search(quadratic, x, { direction: f64([1, 1]) })).to.throw(RangeError, 'fall');
      expect(() => search(quadratic, f64([0, 0]))).to.throw(RangeError, 'fall');
      expect(() => search(quadratic, x, { direction: f64([1]) })).to.throw(RangeError, 'shape');
      expect(() => search(quadratic, x, { step: 0 })).to.throw(RangeError, 'step');
    }
    throwsCode(() => tg.exactLineSearch((v) => v.sum(), x), 'TG_UNBOUNDED', /falls without end/);
    throwsCode(() => tg.lbfgs((v) => v.sum(), x), 'TG_UNBOUNDED', /falls without end/);
  });
});

describe('Newton and L-BFGS', () => {
  it('a quadratic takes one Newton step -H⁻¹∇f', () => {
    const f = (x: Tensor): Tensor =>
      x
        .sub(f64([1, -2, 3]))
        .square()
        .mul(f64([1, 5, 20]))
        .sum();
    const { x, iterations, converged } = tg.newton(f, f64([7, 7, 7]));
    close(x, [1, -2, 3], 1e-14);
    expect(iterations).to.be.at.most(2);
    expect(converged).to.equal(true);
  });

  it('converges quadratically, and both reach the Rosenbrock minimum', () => {
    const errors: number[] = [];
    const { x } = tg.newton((v) => v.exp().sub(v.mul(2)).sum(), f64([1.5]), {
      callback: (p) => {
        errors.push(Math.abs(p.x.item() - Math.LN2));
      },
    });
    close(x, [Math.LN2], 1e-12);
    errors.slice(1).forEach((e, i) => expect(e).to.be.at.most(0.6 * errors[i]! ** 2 + 1e-13));
    close(tg.newton(rosenbrock, f64([-1.2, 1])).x, [1, 1], 1e-12);
    const found = tg.lbfgs(rosenbrock, f64([-1.2, 1]));
    close(found.x, [1, 1], 1e-8);
    expect(found.iterations).to.be.lessThan(60);
  });

  it('stops at ‖∇f‖ ≤ ε, at a small |Δf|, when told by the callback, or after maxIterations', () => {
    const f = (x: Tensor): Tensor => x.pow(4).add(x.square()).sum();
    const x0 = f64([3, -2]);
    for (const minimize of [tg.newton, tg.lbfgs, tg.gradientDescent]) {
      const byGradient = minimize(f, x0, { tolerance: 1e-3 });
      expect(byGradient.reason).to.equal('gradient');
      expect(byGradient.gradientNorm).to.be.at.most(1e-3);
      const byValue = minimize(f, x0, { tolerance: 0, valueTolerance: 1e-3 });
      expect([byValue.reason, byValue.converged]).to.deep.equal(['value', true]);
      const told = minimize(f, x0, { callback: ({ iteration }) => iteration < 2 });
      expect([told.reason, told.iterations, told.converged]).to.deep.equal(['callback', 2, false]);
      const short = minimize(f, x0, { maxIterations: 1 });
      expect([short.reason, short.iterations, short.converged]).to.deep.equal([
        'iterations',
        1,
        false,
      ]);
      close(x0, [3, -2], 0);
    }
  });

  it('several arguments, float32', () => {
    const f = (w: Tensor, b: Tensor): Tensor =>
      w.sub(1).square().sum().add(b.add(w.sum()).square().sum());
    for (const minimize of [tg.newton, tg.lbfgs, tg.gradientDescent]) {
      const { x } = minimize(f, [tg.tensor([5, 5]), tg.tensor(1)], { tolerance: 1e-4 });
      const [w, b] = x as [Tensor, Tensor];
      expect([w.dtype, w.shape, b.shape]).to.deep.equal(['float32', [2], []]);
      close(w, [1, 1], 1e-3);
      close(b, [-2], 1e-3);
    }
  });

  it('a singular or indefinite Hessian throws, names its eigenvalues and changes nothing', () => {
    const flat = (x: Tensor): Tensor => x.sum().sub(1).square();
    const x = f64([2, 3]);
    throwsCode(
      () => tg.newton(flat, x),
      'TG_SINGULAR',
      /newton: the Hessian is singular at iteration 0/,
    );
    throwsCode(
      () => tg.newton((v) => saddle(v), x),
      'TG_INDEFINITE',
      /indefinite at iteration 0 \(eigenvalues from -2 to 2\)/,
    );
    throwsCode(() => tg.newton((v) => v.sum(), x), 'TG_SINGULAR', /singular/);
    close(x, [2, 3], 0);
  });

  it('regularization takes such a Hessian', () => {
    const flat = (x: Tensor): Tensor => x.sum().sub(1).square();
    const { x, converged } = tg.newton(flat, f64([2, 3]), { regularization: 1e-6 });
    expect(converged).to.equal(true);
    expect(x.sum().item()).to.be.closeTo(1, 1e-9);
    // A double well, from where its Hessian is negative.
    const well = (v: Tensor): Tensor => v.square().sub(1).square().sum();
    close(tg.newton(well, f64([0.1, -0.1]), { regularization: 1e-3 }).x, [1, -1], 1e-9);
  });
});

describe('D: the log-barrier method for a linear program', () => {
  // max x + y with x + 2y ≤ 4, 3x + y ≤ 6, x, y ≥ 0: the corner (1.6, 1.2).
  const c = f64([-1, -1]);
  const a = f64([
    [1, 2],
    [3, 1],
    [-1, 0],
    [0, -1],
  ]);
  const b = f64([4, 6, 0, 0]);

  it('follows the central path to the optimal corner, with multipliers that prove it', () => {
    const { x, value, gap, dual, path } = tg.logBarrier(c, a, b);
    close(x, [1.6, 1.2], 1e-7);
    expect(value).to.be.closeTo(-2.8, 1e-7);
    expect(gap).to.be.at.most(2.8e-8);
    // Dual feasible: Aᵀλ = -c, λ ≥ 0; and the dual value is within the gap.
    const l = [...dual.dataSync()];
    l.forEach((v) => expect(v).to.be.greaterThan(0));
    close(tg.matmul(a.T, dual), [1, 1], 1e-6);
    expect(-dual.mul(b).sum().item()).to.be.closeTo(-2.8, 1e-6);
    // Every point of the path is feasible and no more than m/t above the optimum.
    expect(path.length).to.be.greaterThan(5);
    path.forEach((p, i) => {
      expect(
        tg
          .matmul(a, f64(p.x))
          .dataSync()
          .every((v, k) => v < b.dataSync()[k]!),
      ).to.equal(true);
      expect(p.value + 2.8).to.be.within(0, 4 / p.t + 1e-12);
      if (i > 0) expect(p.value).to.be.lessThan(path[i - 1]!.value);
    });
    // And stationary: t c + Aᵀ(1/(b - Ax)) = 0.
    const { t, x: first } = path[0]!;
    const slack = b.sub(tg.matmul(a, f64(first)));
    close(tg.matmul(a.T, slack.reciprocal()).add(c.mul(t)), [0, 0], 1e-7);
  });

  it('a random program with a known optimum, from a given start', () => {
    // Constraints of random directions at distance 1; the objective is a combination of the first five.
    const [m, n] = [40, 5];
    const rows = Array.from({ length: m }, (_, i) => {
      const v = noise(50 + i, n);
      return v.map((e) => e / norm(v));
    });
    const [A, B] = [f64(rows), f64(rows.map(() => 1))];
    const cost = f64(noise(7, n));
    const { x, value, dual } = tg.logBarrier(cost, A, B, { x0: f64([0.1, 0, 0, 0, 0]) });
    const least = Math.min(...B.sub(tg.matmul(A, x)).dataSync());
    expect(least).to.be.greaterThan(0);
    // Strong duality: the certificate does not depend on how x was found.
    close(tg.matmul(A.T, dual).add(cost), [0, 0, 0, 0, 0], 1e-6);
    expect(value).to.be.closeTo(-dual.sum().item(), 1e-6);
  });

  it('refuses what has no solution', () => {
    const infeasible = f64([[1], [-1]]);
    throwsCode(
      () => tg.logBarrier(f64([1]), infeasible, f64([-1, -1])),
      'TG_INFEASIBLE',
      /no x has/,
    );
    throwsCode(() => tg.logBarrier(f64([1]), f64([[1]]), f64([1])), 'TG_UNBOUNDED', /unbounded/);
    expect(() => tg.logBarrier(c, a, b, { x0: f64([9, 9]) })).to.throw(RangeError, 'feasible');
    expect(() => tg.logBarrier(c, a, f64([1]))).to.throw(RangeError, 'rows');
    expect(() => tg.logBarrier(f64([1]), a, b)).to.throw(RangeError, 'column');
    expect(() => tg.logBarrier((x) => x.mul(2), a, b, { x0: f64([1, 1]) })).to.throw(
      RangeError,
      'logBarrier: f must return a scalar',
    );
    expect(() => tg.logBarrier(c, f64([1, 2]), b)).to.throw(RangeError, 'dimensions');
  });

  it('finds a start where 0 is not feasible', () => {
    // min x + y with x ≥ 2, y ≥ 3.
    const { x } = tg.logBarrier(
      f64([1, 1]),
      f64([
        [-1, 0],
        [0, -1],
      ]),
      f64([-2, -3]),
    );
    close(x, [2, 3], 1e-6);
  });
});

describe('bad input to curvature', () => {
  const x = f64([1, 2]);
  const sum = (v: Tensor): Tensor => v.square().sum();
  const takers: Record<string, (f: any, x: any, options?: any) => unknown> = {
    hessian: tg.hessian,
    newton: tg.newton,
    lbfgs: tg.lbfgs,
    gradientDescent: tg.gradientDescent,
    lipschitz: tg.lipschitz,
    classifyCriticalPoint: tg.classifyCriticalPoint,
    backtracking: tg.backtracking,
    exactLineSearch: tg.exactLineSearch,
    proximalGradient: (f, v, o) => tg.proximalGradient(f, v, { penalty: { l1: 1 }, ...o }),
    hvp: (f, v) => tg.hvp(f, v, v),
    jacobian: tg.jacobian,
  };
  for (const [name, take] of Object.entries(takers))
    it(name, () => {
      collect();
      const before = tg.memory().tensors;
      const say = new RegExp(`^${name}: `);
      expect(() => take(null, x)).to.throw(TypeError, say);
      expect(() => take(sum, [1, 2])).to.throw(TypeError, say);
      expect(() =>
        take(
          sum,
          tg.tidy(() => tg.tensor(Int32Array.of(1))),
        ),
      ).to.throw(TypeError, say);
      expect(() => take(() => 1, x)).to.throw(TypeError, say);
      expect(() => take(async () => Promise.resolve(1), x)).to.throw(TypeError);
      throwsCode(() => take(() => tg.tensor(1), x), 'TG_GRAPH', say);
      if (name !== 'jacobian')
        expect(() => take((v: Tensor) => v.mul(2), x)).to.throw(RangeError, 'must return a scalar');
      if (!['hessian', 'hvp', 'jacobian'].includes(name)) {
        expect(() => take(sum, x, { wrong: 1 })).to.throw(TypeError, 'unknown option');
        expect(() => take(sum, f64([NaN, 1]))).to.throw(RangeError, 'finite');
        expect(() => take(sum, [])).to.throw(RangeError, 'empty');
      }
      expect(tg.memory().tensors - before).to.be.at.most(5); // x's of this test
    });

  it('hvp: v of another shape; options out of range', () => {
    expect(() => tg.hvp(sum, x, f64([1]))).to.throw(RangeError, 'hvp: v must have the shape of x');
    expect(() => tg.hvp(sum, x, f64([[1, 2]]))).to.throw(RangeError, 'shape');
    expect(() => tg.newton(sum, x, { tolerance: -1 })).to.throw(RangeError, 'tolerance');
    expect(() => tg.newton(sum, x, { maxIterations: 1.5 })).to.throw(RangeError, 'maxIterations');
    expect(() => tg.newton(sum, x, { damping: 0 })).to.throw(RangeError, 'damping');
    expect(() => tg.gradientDescent(sum, x, { step: NaN })).to.throw(RangeError, 'step');
    expect(() => tg.gradientDescent(sum, x, { step: 'big' as 'exact' })).to.throw(
      TypeError,
      'step',
    );
    expect(() => tg.gradientDescent(sum, x, { step: () => NaN })).to.throw(RangeError, 'step(0)');
    expect(() => tg.lbfgs(sum, x, { memory: 0 })).to.throw(RangeError, 'memory');
    throwsCode(
      () => tg.hessian(sum, tg.zeros([1_000_000])),
      'TG_OUT_OF_MEMORY',
      /hessian: a result of shape \[1000000, 1000000\]/,
    );
    expect(() => tg.newton(sum, tg.zeros([5000]))).to.throw(RangeError, '5000 variables');
  });
});
