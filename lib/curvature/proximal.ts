// Minimisers of a smooth function plus a simple one that is not: proximal and projected gradients.
import { TapegradError, checkKeys, checkNumber, wrongType } from '../errors.js';
import { shapeOf, type Tensor } from '../tensor.js';
import { noiseOf } from './line-search.js';
import { Monitor, type StopOptions } from './monitor.js';
import { Objective, checkPoint, listOf, type Minimum, type Point } from './objective.js';
import { lipschitzAt } from './spectrum.js';
import { along, dot, norm, type Vector } from './vectors.js';

/**
 * The part of an objective that is not smooth: λ‖x‖₁, or a set that x must stay in (nonNegative: x ≥ 0; box:
 * low ≤ x ≤ high, numbers; l2Ball: ‖x‖₂ ≤ radius).
 */
export type Penalty =
  | { l1: number }
  | { nonNegative: true }
  | { box: readonly [low: number, high: number] }
  | { l2Ball: number };

export interface ProximalGradientOptions<P extends Point = Tensor> extends StopOptions<P> {
  /** One for the argument, or a list with one (or null: none) for each. */
  penalty: Penalty | readonly (Penalty | null)[];
  /** The step size η. Default 1/L with L = lipschitz(f, x0), raised where it turns out too small. */
  step?: number;
  /** Nesterov's momentum with restarts. Default true. */
  accelerate?: boolean;
}

/** A penalty on a part of the vector. */
interface Part {
  /** Replaces v by argmin_u penalty(u) + ‖u - v‖²/(2 step). */
  prox(v: Vector, step: number): void;
  value(x: Vector): number;
}
const each =
  (f: (v: number, step: number) => number) =>
  (v: Vector, step: number): void => {
    for (let i = 0; i < v.length; ++i) v[i] = f(v[i]!, step);
  };
const nothing = (): number => 0;

function partOf(op: string, penalty: unknown): Part | null {
  if (penalty === null) return null;
  const kinds = ['l1', 'nonNegative', 'box', 'l2Ball'];
  if (typeof penalty !== 'object')
    throw wrongType(op, 'penalty', 'an object such as { l1: 0.1 }', penalty);
  const given = { ...checkKeys(op, penalty, kinds) };
  const names = Object.keys(given);
  if (names.length !== 1)
    throw new TypeError(`${op}: a penalty must have exactly one of ${kinds.join(', ')}`);
  const value = given[names[0]!];
  switch (names[0]) {
    case 'l1': {
      const weight = checkNumber(op, 'penalty.l1', value, { min: 0 });
      return {
        // Soft threshold; what lies within it becomes exactly 0.
        prox: each((v, step) => Math.sign(v) * Math.max(0, Math.abs(v) - step * weight) || 0),
        value: (x) => weight * x.reduce((s, v) => s + Math.abs(v), 0),
      };
    }
    case 'nonNegative':
      if (value !== true) throw wrongType(op, 'penalty.nonNegative', 'true', value);
      return { prox: each((v) => Math.max(0, v)), value: nothing };
    case 'box': {
      if (!Array.isArray(value) || value.length !== 2)
        throw wrongType(op, 'penalty.box', 'a pair [low, high]', value);
      const low = checkNumber(op, 'penalty.box[0]', value[0]);
      const high = checkNumber(op, 'penalty.box[1]', value[1], { min: low });
      return { prox: each((v) => Math.min(high, Math.max(low, v))), value: nothing };
    }
    default: {
      const radius = checkNumber(op, 'penalty.l2Ball', value, { min: 0 });
      return {
        prox(v) {
          const size = norm(v);
          if (size > radius) v.forEach((e, i) => (v[i] = (e * radius) / size));
        },
        value: nothing,
      };
    }
  }
}

/** The penalties of all arguments, on the vector in which these lie end to end. */
function penaltyOf(op: string, option: unknown, x0: Point): Part {
  const list = checkPoint(op, 'x0', x0);
  const options = listOf(op, 'penalty', option);
  if (option === undefined || options.length !== list.length)
    throw new TypeError(
      `${op}: penalty must have an entry (or null) for each of the ${list.length} arguments`,
    );
  const parts = options.map((p) => partOf(op, p));
  const sizes = list.map((t) => shapeOf(t).reduce((a, b) => a * b, 1));
  const visit = (x: Vector, use: (part: Part, piece: Vector) => void): void => {
    let at = 0;
    parts.forEach((part, i) => {
      const piece = x.subarray(at, (at += sizes[i]!));
      if (part) use(part, piece);
    });
  };
  return {
    prox(v, step) {
      visit(v, (part, piece) => part.prox(piece, step));
    },
    value(x) {
      let total = 0;
      visit(x, (part, piece) => (total += part.value(piece)));
      return total;
    },
  };
}

/**
 * Minimises f(x) + penalty(x) for a smooth f: x ← prox(y - η∇f(y)), accelerated (FISTA, Beck & Teboulle 2009)
 * with restarts whenever the momentum points uphill (O'Donoghue & Candès 2015). With `l1` the lasso, whose
 * zeros are exact; with a set, projected gradient: non-negative least squares, box constraints.
 * @param f - a deterministic smooth objective of one or several float tensors
 * @param x0 - its argument(s) at the start; not changed
 * @param options - `penalty`; stops at a gradient mapping ‖(y - x)/η‖ ≤ `tolerance` (default 1e-8: 0 just where
 * the optimality conditions hold; the result's `gradientNorm`), at |Δf| ≤ `valueTolerance`, or after
 * `maxIterations` (100,000)
 * @returns `value` includes the penalty
 * @throws TypeError, RangeError for a bad option; TapegradError TG_NOT_FINITE; otherwise as {@link valueAndGrad}
 * @example tg.proximalGradient((w) => tg.matmul(x, w).sub(y).square().sum(), w0, { penalty: { l1: 0.1 } })
 */
export function proximalGradient<P extends Point>(
  f: (...x: Tensor[]) => Tensor,
  x0: P,
  options: ProximalGradientOptions<P>,
): Minimum<P> {
  const op = 'proximalGradient';
  const objective = new Objective(op, f, x0);
  const monitor = new Monitor<P>(objective, options, ['penalty', 'step', 'accelerate'], {
    tolerance: 1e-8,
    maxIterations: 100_000,
  });
  const { step, accelerate = true } = monitor.given;
  const penalty = penaltyOf(op, monitor.given['penalty'], x0);
  if (typeof accelerate !== 'boolean') throw wrongType(op, 'accelerate', 'a boolean', accelerate);
  let rate =
    step === undefined
      ? 1 / (lipschitzAt(objective, objective.start, 1e-9, 200) * (1 + 1e-6))
      : checkNumber(op, 'step', step, { above: 0 });
  if (!Number.isFinite(rate)) rate = 1; // f is linear around x0

  let x: Vector = objective.start.slice();
  penalty.prox(x, 0); // into the set, if it is one
  let y = x;
  let momentum = 1;
  for (let k = 0; ; ++k) {
    const at = objective.finiteSlope(y, `at iteration ${k}; is the step too long?`);
    let next: Vector;
    let smooth: number;
    for (;;) {
      next = along(y, -rate, at.gradient);
      penalty.prox(next, rate);
      smooth = objective.value(next);
      if (step !== undefined) break;
      // f must stay below its quadratic bound with L = 1/rate; or L was too small there.
      const move = along(next, -1, y);
      const bound = at.value + dot(at.gradient, move) + dot(move, move) / (2 * rate);
      if (smooth <= bound + noiseOf(objective, at.value)) break;
      rate /= 2;
      if (rate < 1e-300)
        throw new TapegradError('TG_LINE_SEARCH', `${op}: no step size suits f; is it smooth?`);
    }
    const total = { value: smooth + penalty.value(next), gradient: at.gradient };
    const mapping = norm(along(y, -1, next)) / rate;
    const reason = monitor.stops(k + 1, next, total, rate, mapping);
    if (reason) return monitor.result(reason, k + 1, next, total, mapping);
    const back = along(y, -1, next);
    const forth = along(next, -1, x);
    if (!accelerate || dot(back, forth) > 0) momentum = 1;
    const grown = accelerate ? 0.5 * (1 + Math.sqrt(1 + 4 * momentum * momentum)) : 1;
    y = along(next, (momentum - 1) / grown, forth);
    momentum = grown;
    x = next;
  }
}
