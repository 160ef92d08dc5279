// Newton's method for small problems, and the log-barrier method's inner loop.
import { TapegradError, checkNumber } from '../errors.js';
import type { Tensor } from '../tensor.js';
import { eigenvaluesOf, scaleOf, solvePositive, type Symmetric } from './dense.js';
import { backtrack, noiseOf, rayOf } from './line-search.js';
import { Monitor, type StopOptions } from './monitor.js';
import { Objective, type Minimum, type Point } from './objective.js';
import { along, dot, negated, norm, same, type Vector } from './vectors.js';

export interface NewtonOptions<P extends Point = Tensor> extends StopOptions<P> {
  /** The first step that is tried, > 0. Default 1, the full step. */
  damping?: number;
  /** Shorten steps until f falls (Armijo's rule). Default true. */
  lineSearch?: boolean;
  /**
   * What to do about a Hessian that is not positive definite. 0, the default: throw. τ > 0: add the first of
   * 0, τ, 10 τ, 100 τ, … times its largest diagonal entry (1 if that is 0) to the diagonal that makes it so.
   */
  regularization?: number;
}

function refuse(op: string, h: Symmetric, iteration: number): never {
  const eigenvalues = eigenvaluesOf(h);
  const [least, most] = [eigenvalues[0]!, eigenvalues[eigenvalues.length - 1]!];
  const size = Math.max(Math.abs(least), Math.abs(most));
  const kind = least < -1e-12 * size ? 'indefinite' : 'singular';
  throw new TapegradError(
    kind === 'singular' ? 'TG_SINGULAR' : 'TG_INDEFINITE',
    `${op}: the Hessian is ${kind} at iteration ${iteration} (eigenvalues from ${least} to ${most}), so Newton's step is no descent; ` +
      'nothing was changed; pass { regularization: 1e-6 } to shift its eigenvalues, or use lbfgs',
  );
}

/** @internal -H⁻¹g. */
function newtonStep(
  op: string,
  h: Symmetric,
  gradient: Vector,
  regularization: number,
  iteration: number,
): Vector {
  const down = negated(gradient);
  const scale = scaleOf(h) || 1;
  const pivot = 8 * h.n * 2 ** -52;
  for (let tau = 0; ; tau = tau === 0 ? regularization : 10 * tau) {
    // A shift that was asked for may be tiny, and is enough if the factors exist.
    const step = solvePositive(h, down, tau * scale, tau > 0 ? 0 : pivot);
    if (step?.every(Number.isFinite)) return step as Vector;
    if (regularization === 0 || !(tau < 1e20)) refuse(op, h, iteration);
  }
}

/** @internal Newton's method on an objective; see {@link newton}. */
export function newtonOn<P extends Point>(
  objective: Objective,
  options: NewtonOptions<P> | undefined,
): Minimum<P> {
  const { op } = objective;
  const monitor = new Monitor<P>(objective, options, ['damping', 'lineSearch', 'regularization'], {
    tolerance: 1e-10,
    maxIterations: 100,
  });
  const { given } = monitor;
  const damping = checkNumber(op, 'damping', given['damping'] ?? 1, { above: 0 });
  const regularization = checkNumber(op, 'regularization', given['regularization'] ?? 0, {
    min: 0,
    max: 1e20,
  });
  const { lineSearch = true } = given;
  if (typeof lineSearch !== 'boolean') throw new TypeError(`${op}: lineSearch must be a boolean`);

  let x = objective.start;
  let step = 0;
  for (let k = 0; ; ++k) {
    const at = objective.curvature(x);
    if (!Number.isFinite(at.value) || !at.hessian.data.every(Number.isFinite))
      throw new TapegradError(
        'TG_NOT_FINITE',
        `${op}: f is ${at.value} or its derivatives are not finite at iteration ${k}`,
      );
    const reason = monitor.stops(k, x, at, step);
    if (reason) return monitor.result(reason, k, x, at);
    const direction = newtonStep(op, at.hessian, at.gradient, regularization, k);
    const promised = -0.5 * dot(at.gradient, direction);
    step = damping;
    if (lineSearch && promised <= noiseOf(objective, at.value)) {
      // f cannot tell any more whether a step is good; the gradient can.
      const next = along(x, damping, direction);
      const better = norm(objective.slope(next).gradient) < 0.5 * norm(at.gradient);
      if (!better || same(x, next)) return monitor.result('value', k, x, at);
      x = next;
      continue;
    }
    if (lineSearch) {
      const found = backtrack(rayOf(objective, x, at, direction), damping);
      if (!found) {
        if (promised <= 1e-8 * Math.abs(at.value)) return monitor.result('value', k, x, at); // rounding
        throw new TapegradError(
          'TG_LINE_SEARCH',
          `${op}: no step along Newton's direction decreases f, although ${promised} is promised at iteration ${k}`,
        );
      }
      ({ step } = found);
    }
    x = along(x, step, direction);
  }
}

/**
 * Newton's method x ← x - s H⁻¹∇f(x) with s from Armijo's backtracking (1 near the minimum). For small,
 * smooth problems: a step costs n Hessian-vector products and n³/3 operations. A quadratic takes one step.
 * Nocedal & Wright 2006, chapter 3.
 * @param f - a deterministic objective of one or several float tensors
 * @param x0 - its argument(s) at the start; not changed
 * @param options - stops at ‖∇f‖ ≤ `tolerance` (default 1e-10), at |Δf| ≤ `valueTolerance`, when rounding hides
 * all progress, or after `maxIterations` (100)
 * @throws TapegradError TG_SINGULAR or TG_INDEFINITE for a Hessian that is not positive definite, unless
 * `regularization` is given; TG_NOT_FINITE, TG_LINE_SEARCH; otherwise as {@link hessian}
 */
export function newton<P extends Point>(
  f: (...x: Tensor[]) => Tensor,
  x0: P,
  options?: NewtonOptions<P>,
): Minimum<P> {
  return newtonOn<P>(new Objective('newton', f, x0), options);
}
