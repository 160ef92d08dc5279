// Full-batch minimisers of smooth functions by gradients alone: gradient descent and L-BFGS.
import { TapegradError, checkNumber, wrongType } from '../errors.js';
import type { Tensor } from '../tensor.js';
import { backtrack, minimizeAlong, noiseOf, rayOf, wolfe, type Ray } from './line-search.js';
import { Monitor, type StopOptions } from './monitor.js';
import { Objective, type Minimum, type Point, type Slope } from './objective.js';
import { lipschitzAt } from './spectrum.js';
import { along, dot, negated, norm, same, type Vector } from './vectors.js';

/**
 * A number η; 'backtracking' (Armijo, starting from twice the last step), 'exact' (the nearest minimum along
 * -∇f); '1/L' with L = lipschitz(f, x0), right for quadratics; or a schedule, a function of the step count.
 */
export type DescentStep =
  number | 'backtracking' | 'exact' | '1/L' | ((iteration: number) => number);

export interface GradientDescentOptions<P extends Point = Tensor> extends StopOptions<P> {
  /** Default 'backtracking'. */
  step?: DescentStep;
}

/** The step to take; null if none leads down. */
type Stepper = (k: number, x: Vector, at: Slope) => number | null;
/** The ray along -∇f; null where its slope is lost to underflow. */
const downhill = (objective: Objective, x: Vector, at: Slope): Ray | null =>
  dot(at.gradient, at.gradient) > 0 ? rayOf(objective, x, at, negated(at.gradient)) : null;

function stepper(objective: Objective, step: unknown): Stepper {
  const { op } = objective;
  switch (step) {
    case 'backtracking': {
      let last = 0.5;
      return (_k, x, at) => {
        const ray = downhill(objective, x, at);
        const found = ray && backtrack(ray, 2 * last, 0.5, 0.5);
        if (found) last = found.step;
        return found && found.step;
      };
    }
    case 'exact': {
      let last = 1;
      return (_k, x, at) => {
        const ray = downhill(objective, x, at);
        return ray && (last = minimizeAlong(ray, last).step);
      };
    }
    case '1/L': {
      const l = lipschitzAt(objective, objective.start, 1e-12, 1000);
      if (!(l > 0))
        throw new TapegradError('TG_SINGULAR', `${op}: the Hessian is 0 at x0, so there is no 1/L`);
      return () => 1 / l;
    }
    default:
      if (typeof step === 'function')
        return (k) =>
          checkNumber(op, `step(${k})`, (step as (k: number) => unknown)(k), { min: 0 });
      if (typeof step !== 'number')
        throw wrongType(
          op,
          'step',
          "a number, 'backtracking', 'exact', '1/L' or a function of the iteration",
          step,
        );
      checkNumber(op, 'step', step, { above: 0 });
      return () => step;
  }
}

/**
 * Gradient descent x ← x - η∇f(x) on a deterministic objective (full batch). Cauchy 1847.
 * @param f - an objective of one or several float tensors; @param x0 - its argument(s) at the start; not changed
 * @param options - `step`; stops at ‖∇f‖ ≤ `tolerance` (default 1e-8), at |Δf| ≤ `valueTolerance`, when x stops
 * moving, or after `maxIterations` (10,000)
 * @throws TapegradError TG_NOT_FINITE if the iteration diverged; otherwise as {@link valueAndGrad}
 * @example tg.gradientDescent((x) => x.square(), tg.tensor(10), { step: 0.2, maxIterations: 10 }).x
 */
export function gradientDescent<P extends Point>(
  f: (...x: Tensor[]) => Tensor,
  x0: P,
  options?: GradientDescentOptions<P>,
): Minimum<P> {
  const objective = new Objective('gradientDescent', f, x0);
  const monitor = new Monitor<P>(objective, options, ['step'], {
    tolerance: 1e-8,
    maxIterations: 10_000,
  });
  const next = stepper(objective, monitor.given['step'] ?? 'backtracking');
  let x = objective.start;
  let taken = 0;
  for (let k = 0; ; ++k) {
    const at = objective.finiteSlope(x, `at iteration ${k}; is the step too long?`);
    const reason = monitor.stops(k, x, at, taken);
    if (reason) return monitor.result(reason, k, x, at);
    const step = next(k, x, at);
    const moved = step === null ? x : along(x, -step, at.gradient);
    // Nothing will change any more, unless a schedule pauses.
    if (step !== 0 && same(x, moved)) return monitor.result('value', k, x, at);
    taken = step ?? 0;
    x = moved;
  }
}

export interface LbfgsOptions<P extends Point = Tensor> extends StopOptions<P> {
  /** Pairs of steps and gradient changes that are remembered. Default 10. */
  memory?: number;
}

interface Pair {
  readonly s: Vector;
  readonly y: Vector;
  readonly rho: number;
}

/** -H∇f, with the inverse Hessian that the pairs suggest: the two-loop recursion. */
function quasiNewton(pairs: readonly Pair[], gradient: Vector): Vector {
  let q = negated(gradient);
  const alphas = new Array<number>(pairs.length);
  for (let i = pairs.length - 1; i >= 0; --i) {
    const { s, y, rho } = pairs[i]!;
    alphas[i] = rho * dot(s, q);
    q = along(q, -alphas[i]!, y);
  }
  const newest = pairs[pairs.length - 1];
  if (newest) {
    const scale = 1 / (newest.rho * dot(newest.y, newest.y));
    q = q.map((v) => v * scale);
  }
  pairs.forEach(({ s, y, rho }, i) => {
    q = along(q, alphas[i]! - rho * dot(y, q), s);
  });
  return q;
}

/** A step along the quasi-Newton direction, or along -∇f where that does not lead downhill. */
function follow(
  objective: Objective,
  x: Vector,
  at: Slope,
  pairs: Pair[],
): ReturnType<typeof wolfe> {
  let direction = quasiNewton(pairs, at.gradient);
  if (!(dot(at.gradient, direction) < 0)) {
    pairs.length = 0;
    direction = negated(at.gradient);
    if (!(dot(at.gradient, direction) < 0)) return null;
  }
  const first = pairs.length > 0 ? 1 : Math.min(1, 1 / norm(at.gradient));
  return wolfe(rayOf(objective, x, at, direction), first);
}

/**
 * L-BFGS with a Wolfe line search: the method of choice for smooth full-batch objectives that are too large, or
 * too flat in some direction, for {@link newton}. Liu & Nocedal 1989.
 * @param f - a deterministic objective of one or several float tensors
 * @param x0 - its argument(s) at the start; not changed
 * @param options - stops at ‖∇f‖ ≤ `tolerance` (default 1e-8), at |Δf| ≤ `valueTolerance`, when rounding hides
 * all progress, or after `maxIterations` (1000)
 * @throws TapegradError TG_NOT_FINITE if f is not finite at x0; otherwise as {@link valueAndGrad}
 */
export function lbfgs<P extends Point>(
  f: (...x: Tensor[]) => Tensor,
  x0: P,
  options?: LbfgsOptions<P>,
): Minimum<P> {
  const objective = new Objective('lbfgs', f, x0);
  const monitor = new Monitor<P>(objective, options, ['memory'], {
    tolerance: 1e-8,
    maxIterations: 1000,
  });
  const room = checkNumber('lbfgs', 'memory', monitor.given['memory'] ?? 10, {
    min: 1,
    max: 1000,
    integer: true,
  });
  const pairs: Pair[] = [];
  let x = objective.start;
  let at = objective.finiteSlope(x, 'at x0');
  let taken = 0;
  for (let k = 0; ; ++k) {
    const reason = monitor.stops(k, x, at, taken);
    if (reason) return monitor.result(reason, k, x, at);
    let found = follow(objective, x, at, pairs);
    if (!found && pairs.length > 0) {
      pairs.length = 0; // once more, straight down
      found = follow(objective, x, at, pairs);
    }
    if (!found) return monitor.result('value', k, x, at);
    const s = along(found.x, -1, x);
    const y = along(found.at.gradient, -1, at.gradient);
    const sy = dot(s, y);
    if (sy > 1e-16 * dot(y, y) && Number.isFinite(1 / sy)) pairs.push({ s, y, rho: 1 / sy });
    if (pairs.length > room) pairs.shift();
    const still = same(x, found.x) || -dot(at.gradient, s) <= 1e-3 * noiseOf(objective, at.value);
    ({ x, at, step: taken } = found);
    if (still) return monitor.result('value', k + 1, x, at);
  }
}
