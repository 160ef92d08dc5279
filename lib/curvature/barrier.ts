// The log-barrier method for linear programs, and for convex objectives under linear constraints: follows
// the central path with Newton's method (newton.ts).
import { fromData, tensor } from '../create.js';
import { getDefaultDevice } from '../device.js';
import { TapegradError, checkKeys, checkNumber, wrongType } from '../errors.js';
import { log, matmul, mul, slice, sub, sum } from '../ops.gen.js';
import { checkTensor, isTensor, shapeOf, tidy, type Tensor } from '../tensor.js';
import { newtonOn } from './newton.js';
import { Objective, callScalar, type Minimum } from './objective.js';
import { norm } from './vectors.js';

export interface CentralPoint {
  /** The weight of the objective against the barrier. */
  t: number;
  /** The objective at the point of the central path. */
  value: number;
  /** m/t: how far the value is above the optimum at most. */
  gap: number;
  x: number[];
}
export interface LogBarrierOptions {
  /** A strictly feasible start, Ax0 < b; found by a first phase unless given. */
  x0?: Tensor;
  /** Done when the duality gap is ≤ tolerance · max(1, |value|). Default 1e-8. */
  tolerance?: number;
  /** The factor by which t grows, > 1. Default 20. */
  growth?: number;
  /** The first t, > 0. Default 1. */
  t?: number;
}
export interface LogBarrierResult {
  /** float64 [n], strictly feasible. */
  x: Tensor;
  value: number;
  /** value - gap ≤ optimum ≤ value. */
  gap: number;
  /** Multipliers of the m constraints, ≥ 0: float64 [m]. */
  dual: Tensor;
  /** The points of the central path, one for each t. */
  path: CentralPoint[];
  /** Newton steps in all. */
  iterations: number;
}

const OP = 'logBarrier';
type Numbers = Float64Array<ArrayBuffer>;

/** Numbers where the caller's functions make tensors, too. */
const vector = (data: Numbers, shape: readonly number[]): Tensor =>
  fromData(data, shape, 'float64', getDefaultDevice());

function numbersOf(name: string, value: unknown, ndim: number): Numbers {
  const t = checkTensor(OP, name, value);
  if (shapeOf(t).length !== ndim)
    throw new RangeError(
      `${OP}: ${name} must have ${ndim} dimension${ndim > 1 ? 's' : ''}, got shape [${shapeOf(t).join(', ')}]`,
    );
  const data = Float64Array.from(t.dataSync());
  if (!data.every(Number.isFinite)) throw new RangeError(`${OP}: ${name} holds NaN or an infinity`);
  return data;
}

/** The constraints Ax ≤ b. */
interface Polyhedron {
  readonly m: number;
  readonly n: number;
  readonly a: Numbers;
  readonly b: Numbers;
}

function slacks({ m, n, a, b }: Polyhedron, x: Numbers): Numbers {
  const s = new Float64Array(m);
  for (let i = 0; i < m; ++i) {
    let ax = 0;
    for (let j = 0; j < n; ++j) ax += a[i * n + j]! * x[j]!;
    s[i] = b[i]! - ax;
  }
  return s;
}

/** Minimises t f(x) - Σ log(b - Ax) from a strictly feasible x, by Newton. */
function centre(
  f: (x: Tensor) => Tensor,
  { m, n, a, b }: Polyhedron,
  t: number,
  x: Numbers,
  enough: (x: Tensor) => boolean,
): { x: Numbers; iterations: number } {
  const [matrix, bound] = [vector(a, [m, n]), vector(b, [m])];
  const barrier = (v: Tensor): Tensor => sub(mul(f(v), t), sum(log(sub(bound, matmul(matrix, v)))));
  const objective = new Objective(OP, barrier, tensor(x));
  const lost = (cause?: unknown): TapegradError =>
    new TapegradError(
      'TG_UNBOUNDED',
      `${OP}: there is no central point for t = ${t}: is the objective unbounded below?`,
      { cause },
    );
  let found: Minimum<Tensor>;
  try {
    found = newtonOn<Tensor>(objective, {
      tolerance: 0, // ends when the decrease that Newton promises is lost in rounding
      // Where no constraint is near, the barrier's curvature is far below that of its steepest directions.
      regularization: 1e-18,
      callback: (progress) => !enough(progress.x),
    });
  } catch (error) {
    // What becomes of points that run away.
    const runaway = ['TG_NOT_FINITE', 'TG_LINE_SEARCH'];
    throw error instanceof TapegradError && runaway.includes(error.code) ? lost(error) : error;
  }
  const end = Float64Array.from(found.x.dataSync());
  if (found.reason !== 'callback') {
    // Stationary means that the objective's pull and the constraints' push cancel.
    const push = new Float64Array(n);
    slacks({ m, n, a, b }, end).forEach((s, i) => {
      for (let j = 0; j < n; ++j) push[j]! += a[i * n + j]! / s;
    });
    if (!found.converged || found.gradientNorm > 1e-3 * Math.max(1e-9 * t, norm(push)))
      throw lost();
  }
  return { x: end, iterations: found.iterations };
}

/** A strictly feasible point: minimises s under Ax - s ≤ b, s ≥ -1 until s < 0. */
function firstPhase(p: Polyhedron, growth: number): { x: Numbers; iterations: number } {
  const [m, n] = [p.m + 1, p.n + 1];
  const a = new Float64Array(m * n);
  for (let i = 0; i < p.m; ++i) {
    a.set(p.a.subarray(i * p.n, (i + 1) * p.n), i * n);
    a[i * n + p.n] = -1;
  }
  a[m * n - 1] = -1;
  const b = new Float64Array(m);
  b.set(p.b);
  b[p.m] = 1;
  const last = (x: Tensor): Tensor => sum(slice(x, { axis: 0, start: p.n, end: n }));
  let x: Numbers = new Float64Array(n);
  x[p.n] = 1 - Math.min(0, ...slacks(p, x.slice(0, p.n)));
  let iterations = 0;
  const inside = (v: Tensor): boolean => v.dataSync()[p.n]! < 0;
  for (let t = 1; !(x[p.n]! < 0); t *= growth) {
    const at = tidy(() => centre(last, { m, n, a, b }, t, x, inside));
    x = at.x;
    iterations += at.iterations;
    if (!(x[p.n]! < 0) && x[p.n]! - m / t > -1e-12)
      throw new TapegradError(
        'TG_INFEASIBLE',
        `${OP}: no x has Ax < b: some constraint is missed by at least ${x[p.n]! - m / t}`,
      );
  }
  return { x: x.slice(0, p.n), iterations };
}

/**
 * The log-barrier method: min cᵀx (or a convex f(x)) subject to Ax ≤ b. For t growing by a constant factor it
 * minimises t f(x) - Σ log(bᵢ - aᵢx) by Newton's method, starting from the last minimum: the central path,
 * whose points are at most m/t above the optimum. Boyd & Vandenberghe 2004, chapter 11. For small dense
 * problems; computed in float64.
 * @param objective - c, [n], of a linear program; or a convex function of x, float64 [n], to a scalar
 * @param a - [m, n]; @param b - [m]
 * @throws RangeError for shapes that do not fit, or an x0 that is not strictly feasible; TapegradError
 * TG_INFEASIBLE if no x has Ax < b, TG_UNBOUNDED if the objective has no minimum there
 * @example
 * // max x + y with x + 2y ≤ 4, 3x + y ≤ 6, x ≥ 0, y ≥ 0
 * tg.logBarrier(tg.tensor([-1, -1]), tg.tensor([[1, 2], [3, 1], [-1, 0], [0, -1]]), tg.tensor([4, 6, 0, 0])).x // (1.6, 1.2)
 */
export function logBarrier(
  objective: Tensor | ((x: Tensor) => Tensor),
  a: Tensor,
  b: Tensor,
  options?: LogBarrierOptions,
): LogBarrierResult {
  const given = { ...checkKeys(OP, options, ['x0', 'tolerance', 'growth', 't']) };
  const tolerance = checkNumber(OP, 'tolerance', given['tolerance'] ?? 1e-8, { above: 0 });
  const growth = checkNumber(OP, 'growth', given['growth'] ?? 20, { above: 1, max: 1e6 });
  const first = checkNumber(OP, 't', given['t'] ?? 1, { above: 0 });
  const matrix = numbersOf('a', a, 2);
  const [m, n] = shapeOf(a) as [number, number];
  const p: Polyhedron = { m, n, a: matrix, b: numbersOf('b', b, 1) };
  if (p.b.length !== m || m === 0 || n === 0)
    throw new RangeError(
      `${OP}: a [${m}, ${n}] must have as many rows (at least 1) as b [${p.b.length}] has elements`,
    );
  let f: (x: Tensor) => Tensor;
  if (typeof objective === 'function') {
    f = (x) => callScalar(OP, objective, [x], false);
  } else {
    if (!isTensor(objective))
      throw wrongType(OP, 'the objective', 'a Tensor or a function', objective);
    const c = numbersOf('c', objective, 1);
    if (c.length !== n)
      throw new RangeError(
        `${OP}: c [${c.length}] must have an element for each column of a [${m}, ${n}]`,
      );
    f = (x) => sum(mul(vector(c, [n]), x));
  }

  let x: Numbers;
  let iterations = 0;
  if (given['x0'] !== undefined) {
    x = numbersOf('x0', given['x0'], 1);
    if (x.length !== n || !slacks(p, x).every((s) => s > 0))
      throw new RangeError(`${OP}: x0 must be [${n}] and strictly feasible, Ax0 < b`);
  } else if (p.b.every((v) => v > 0)) {
    x = new Float64Array(n);
  } else {
    ({ x, iterations } = firstPhase(p, growth));
  }
  const path: CentralPoint[] = [];
  for (let t = first; ; t *= growth) {
    const at = tidy(() => centre(f, p, t, x, () => false));
    ({ x } = at);
    iterations += at.iterations;
    const value = tidy(() => f(vector(x, [n])).item());
    const gap = m / t;
    path.push({ t, value, gap, x: [...x] });
    if (gap > tolerance * Math.max(1, Math.abs(value))) continue;
    const dual = slacks(p, x).map((s) => 1 / (t * s));
    return { x: tensor(x), value, gap, dual: tensor(dual), path, iterations };
  }
}
