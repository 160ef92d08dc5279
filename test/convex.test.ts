// The optima of convex problems on real data, found by scikit-learn (test/golden/convex.json), reached from the
// raw CSV files in float64, each with a minimiser that suits it; and problems whose optimality conditions prove
// the solution: lasso, non-negative least squares, a support vector machine.
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import * as tg from 'tapegrad';
import { type Tensor } from 'tapegrad';
import { generator } from './catalogue/harness.js';

interface ConvexCase {
  name: string;
  data: string;
  preprocessing: string;
  objective: string;
  optimum: number;
  coefficients: number[] | number[][];
  intercept: number | number[];
}
const read = (path: string): string =>
  readFileSync(new URL(`../../test/${path}`, import.meta.url), 'utf8');
const cases = JSON.parse(read('golden/convex.json')) as ConvexCase[];
const f64 = (data: Parameters<typeof tg.tensor>[0]): Tensor =>
  tg.tensor(data, { dtype: 'float64' });
const zeros = (...shape: number[]): Tensor => tg.zeros(shape, { dtype: 'float64' });

/** A CSV file's features, each with zero mean and unit variance (over n), and its target column. */
function load(name: string): { x: Tensor; target: number[]; n: number; d: number } {
  const rows = read(`data/${name}.csv`).trim().split('\n').slice(1);
  const table = rows.map((row) => row.split(',').map(Number));
  const raw = f64(table.map((row) => row.slice(0, -1)));
  const [n, d] = raw.shape as [number, number];
  const deviation = tg.variance(raw, { axis: 0, correction: 0 }).sqrt();
  const x = raw.sub(tg.mean(raw, { axis: 0 })).div(deviation);
  return { x, target: table.map((row) => row.at(-1)!), n, d };
}
const numberIn = (text: string, pattern: RegExp): number => Number(pattern.exec(text)![1]);

/** Within 1e-6 of the reference, relative. */
function expectOptimum(c: ConvexCase, value: number): void {
  expect((value - c.optimum) / c.optimum, `${c.name}: ${value}`).to.be.within(-1e-6, 1e-6);
}
/** The minimum is flat: the reference's coefficients are exact to the square root of its objective's error. */
function expectCoefficients(got: Tensor, wanted: number | number[] | number[][]): void {
  const flat = [wanted].flat(2);
  const largest = Math.max(...flat.map(Math.abs));
  [...got.dataSync()].forEach((v, i) => expect(v).to.be.closeTo(flat[i]!, 1e-3 * largest));
}

const solvers: Record<string, (c: ConvexCase) => void> = {
  // Newton: smooth, strictly convex (the classes overlap, so b is determined, too), 31 variables: a dozen
  // steps reach the last digit.
  logistic(c) {
    const { x, target, d } = load(c.data);
    const cost = numberIn(c.objective, /\+ ([\d.]+)\*sum log/);
    const y = f64(target);
    const f = (w: Tensor, b: Tensor): Tensor =>
      tg.losses
        .binaryCrossEntropyWithLogits(tg.matmul(x, w).add(b), y, { reduction: 'sum' })
        .mul(cost)
        .add(w.square().sum().mul(0.5));
    const found = tg.newton(f, [zeros(d), zeros()], { tolerance: 1e-8 });
    expect(found.converged).to.equal(true);
    expect(found.iterations).to.be.lessThan(20);
    expectOptimum(c, found.value);
    expectCoefficients(found.x[0]!, c.coefficients);
    expectCoefficients(found.x[1]!, c.intercept);
    // The quasi-Newton method, which forms no Hessian, agrees.
    expectOptimum(c, tg.lbfgs(f, [zeros(d), zeros()]).value);
  },
  // Newton: a quadratic, whose minimum is one step away.
  ridge(c) {
    const { x, target, d } = load(c.data);
    const lambda = numberIn(c.objective, /\+ ([\d.]+)\*\|w\|/);
    const y = f64(target);
    const f = (w: Tensor, b: Tensor): Tensor =>
      y.sub(tg.matmul(x, w)).sub(b).square().sum().add(w.square().sum().mul(lambda));
    const found = tg.newton(f, [zeros(d), zeros()]);
    expect(found.converged).to.equal(true);
    expect(found.iterations).to.be.at.most(3); // the others only polish the last digits
    expectOptimum(c, found.value);
    expectCoefficients(found.x[0]!, c.coefficients);
    expectCoefficients(found.x[1]!, c.intercept);
    // Gradient descent with η = 1/L gets there, too, in more steps.
    const start = [zeros(d), zeros()];
    const slow = tg.gradientDescent(f, start, { step: '1/L', tolerance: 1e-3 });
    expectOptimum(c, slow.value);
    expect(slow.iterations).to.be.greaterThan(100);
  },
  // L-BFGS: the same constant added to every intercept changes nothing, so the Hessian is singular and Newton
  // refuses; L-BFGS from 0 never leaves Σb = 0, where the reference lies, too.
  softmax(c) {
    const { x, target, d } = load(c.data);
    const classes = Math.max(...target) + 1;
    const y = tg.tensor(Int32Array.from(target));
    const f = (w: Tensor, b: Tensor): Tensor =>
      tg.losses
        .crossEntropy(tg.linear(x, w, b), y, { reduction: 'sum' })
        .add(w.square().sum().mul(0.5));
    const start = [zeros(classes, d), zeros(classes)];
    const found = tg.lbfgs(f, start);
    expect(found.converged).to.equal(true);
    expectOptimum(c, found.value);
    expectCoefficients(found.x[0]!, c.coefficients);
    expectCoefficients(found.x[1]!, c.intercept);
    expect(found.x[1]!.sum().item()).to.be.closeTo(0, 1e-9);
    expect(() => tg.newton(f, start)).to.throw(/newton: the Hessian is singular/);
    const shifted = tg.newton(f, start, { regularization: 1e-9 });
    expectOptimum(c, shifted.value);
  },
};

describe('convex optima', () => {
  it('the file holds problems that are solved here', () => {
    expect(cases.length).to.be.at.least(6);
    for (const c of cases) {
      expect(solvers).to.have.property(c.name.split('-')[0]!);
      expect(c.preprocessing).to.equal('standardize');
    }
  });
  for (const c of cases) it(c.name, () => solvers[c.name.split('-')[0]!]!(c));
});

describe('proximal gradients', () => {
  // FISTA: the penalty has kinks just where the solution lies; the soft threshold makes its zeros exact, which
  // no subgradient step does.
  for (const lambda of [1, 10, 30])
    it(`lasso on diabetes, λ = ${lambda}: exact zeros, and the subgradient conditions hold to 1e-8`, () => {
      const { x, target, n, d } = load('diabetes');
      const y = f64(target);
      const residual = (w: Tensor, b: Tensor): Tensor => tg.matmul(x, w).add(b).sub(y);
      const f = (w: Tensor, b: Tensor): Tensor =>
        residual(w, b)
          .square()
          .sum()
          .mul(0.5 / n);
      const found = tg.proximalGradient(f, [zeros(d), zeros()], {
        penalty: [{ l1: lambda }, null],
        tolerance: 1e-9,
      });
      expect(found.converged).to.equal(true);
      const [w, b] = found.x as [Tensor, Tensor];
      const slope = tg.matmul(x.T, residual(w, b)).div(n).dataSync();
      const weights = [...w.dataSync()];
      weights.forEach((v, j) => {
        if (v === 0) expect(Math.abs(slope[j]!)).to.be.at.most(lambda + 1e-8);
        else expect(slope[j]! + lambda * Math.sign(v)).to.be.closeTo(0, 1e-8);
      });
      expect(b.item()).to.be.closeTo(target.reduce((s, v) => s + v, 0) / n, 1e-8);
      expect(found.value).to.be.closeTo(f(w, b).item() + lambda * w.abs().sum().item(), 1e-9);
      const zero = weights.filter((v) => v === 0).length;
      expect(zero).to.be.within(1, d - 1);
      expect(weights.some((v) => Object.is(v, -0))).to.equal(false);
    });

  /** Random A [m, n] and b, as in the lecture's example for CVXPY. */
  const problem = (m: number, n: number): { a: Tensor; b: Tensor } => {
    const next = generator(1);
    const random = (k: number): Float64Array =>
      Float64Array.from({ length: k }, () => next() + next() + next() + next() - 2);
    return { a: tg.tensor(random(m * n), { shape: [m, n] }), b: tg.tensor(random(m)) };
  };

  // Accelerated projected gradient: projecting on x ≥ 0 is one maximum, and η = 1/L is known.
  it('D: min ‖Ax - b‖² with x ≥ 0 satisfies its KKT conditions to 1e-8', () => {
    const { a, b } = problem(30, 20);
    const f = (x: Tensor): Tensor => tg.matmul(a, x).sub(b).square().sum();
    for (const accelerate of [true, false]) {
      const { x, converged, value } = tg.proximalGradient(f, zeros(20), {
        penalty: { nonNegative: true },
        tolerance: 1e-10,
        accelerate,
      });
      expect(converged).to.equal(true);
      const [v, g] = [[...x.dataSync()], [...tg.grad(f)(x).dataSync()]];
      v.forEach((xi, i) => {
        expect(xi, `x[${i}]`).to.be.at.least(0);
        expect(g[i], `multiplier ${i}`).to.be.at.least(-1e-8);
        expect(xi * g[i]!, `complementarity ${i}`).to.be.closeTo(0, 1e-8);
      });
      const active = v.filter((xi) => xi === 0).length;
      expect(active).to.be.within(1, 19);
      expect(value).to.equal(f(x).item());
    }
    // The log-barrier method, which comes from inside, ends at the same value.
    const inside = tg.logBarrier(f, tg.eye(20, 20, { dtype: 'float64' }).neg(), zeros(20));
    const best = tg.proximalGradient(f, zeros(20), { penalty: { nonNegative: true } });
    expect(inside.value).to.be.closeTo(best.value, 1e-7 * best.value);
  });

  it('acceleration pays', () => {
    const { a, b } = problem(30, 20);
    const f = (x: Tensor): Tensor => tg.matmul(a, x).sub(b).square().sum();
    const count = (accelerate: boolean): number =>
      tg.proximalGradient(f, zeros(20), { penalty: { l1: 0.5 }, accelerate }).iterations;
    expect(count(true)).to.be.lessThan(count(false) / 2);
  });

  it('box and l2 ball: the projections of a point, and of a quadratic', () => {
    const p = f64([3, -0.2, -5]);
    const f = (x: Tensor): Tensor => x.sub(p).square().sum();
    const at = (penalty: tg.Penalty): number[] => [
      ...tg.proximalGradient(f, zeros(3), { penalty }).x.dataSync(),
    ];
    expect(at({ box: [-1, 2] })).to.deep.equal([2, -0.2, -1]);
    const size = Math.hypot(3, 0.2, 5);
    at({ l2Ball: 2 }).forEach((v, i) =>
      expect(v).to.be.closeTo((2 * [3, -0.2, -5][i]!) / size, 1e-9),
    );
    expect(at({ l2Ball: 100 })[2]).to.be.closeTo(-5, 1e-8);
  });

  it('a function with growing curvature, for which L at x0 is too small', () => {
    const f = (x: Tensor): Tensor => x.sub(3).pow(4).add(x.exp()).sum();
    const { x, converged } = tg.proximalGradient(f, f64([2.9, 3.1]), { penalty: { l1: 0.1 } });
    expect(converged).to.equal(true);
    [...tg.grad(f)(x).dataSync()].forEach((g, i) => {
      expect(g + 0.1 * Math.sign(x.dataSync()[i]!)).to.be.closeTo(0, 1e-8);
    });
  });

  it('bad penalties throw', () => {
    const f = (x: Tensor): Tensor => x.square().sum();
    const wrong =
      (penalty: unknown): (() => void) =>
      () =>
        void tg.proximalGradient(f, zeros(2), { penalty: penalty as tg.Penalty });
    expect(wrong(undefined)).to.throw(TypeError, 'penalty');
    expect(wrong([null, null])).to.throw(TypeError, 'for each of the 1 arguments');
    expect(wrong({ l1: -1 })).to.throw(RangeError, 'penalty.l1');
    expect(wrong({ l3: 1 })).to.throw(TypeError, 'unknown option');
    expect(wrong({})).to.throw(TypeError, 'exactly one');
    expect(wrong({ l1: 1, l2Ball: 1 })).to.throw(TypeError, 'exactly one');
    expect(wrong({ box: [1, 0] })).to.throw(RangeError, 'box[1]');
    expect(wrong({ nonNegative: 1 })).to.throw(TypeError, 'nonNegative');
  });
});

describe('a linear support vector machine', () => {
  // Log-barrier: the hinge makes it a quadratic program, min ½‖w‖² + C Σξ with ξ ≥ 1 - y(w·x + b), ξ ≥ 0. Its
  // kinks defeat methods for smooth functions, while subgradients are far too slow for 1e-6.
  it('two kinds of iris, C = 1: primal and dual objective agree to 1e-6', () => {
    const { x: all, target, d } = load('iris');
    const rows = target.flatMap((t, i) => (t > 0 ? [i] : []));
    const x = tg.indexSelect(all, tg.tensor(Int32Array.from(rows)));
    const y = rows.map((i) => (target[i] === 1 ? -1 : 1));
    const n = rows.length;
    const cost = 1;
    // Variables (w, b, ξ); a row -y(w·x + b) - ξ ≤ -1 and a row -ξ ≤ 0 for each example.
    const signed = tg.mul(x, f64(y).reshape([n, 1])).neg();
    const minusOne = tg.eye(n, n, { dtype: 'float64' }).neg();
    const a = tg.concat(
      [
        tg.concat([signed, f64(y).reshape([n, 1]).neg(), minusOne], { axis: 1 }),
        tg.concat([zeros(n, d + 1), minusOne], { axis: 1 }),
      ],
      { axis: 0 },
    );
    const b = tg.concat([f64(y.map(() => -1)), zeros(n)], { axis: 0 });
    const part = (v: Tensor, start: number, end: number): Tensor =>
      tg.slice(v, { axis: 0, start, end });
    const found = tg.logBarrier(
      (v) =>
        part(v, 0, d)
          .square()
          .sum()
          .mul(0.5)
          .add(
            part(v, d + 1, d + 1 + n)
              .sum()
              .mul(cost),
          ),
      a,
      b,
    );
    // The primal value with the hinge itself, without slack variables.
    const [w, bias] = [part(found.x, 0, d), part(found.x, d, d + 1)];
    const margin = tg.matmul(x, w).add(bias).mul(f64(y));
    const hinge = margin.neg().add(1).relu().sum().item();
    const primal = 0.5 * w.square().sum().item() + cost * hinge;
    // The dual value Σα - ½‖Σ αyx‖² of its multipliers, which are feasible: 0 ≤ α ≤ C, Σ αy = 0.
    const alpha = part(found.dual, 0, n);
    const combined = tg.matmul(x.T, alpha.mul(f64(y)));
    const dual = alpha.sum().item() - 0.5 * combined.square().sum().item();
    expect(alpha.mul(f64(y)).sum().item()).to.be.closeTo(0, 1e-5);
    alpha.dataSync().forEach((v) => expect(v).to.be.within(0, cost + 1e-6));
    expect(primal - dual).to.be.within(-1e-6 * primal, 1e-6 * primal);
    const right = margin.dataSync().filter((v) => v > 0).length;
    expect(right / n).to.be.greaterThan(0.9);
  });
});
