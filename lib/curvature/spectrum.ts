// What the eigenvalues of the Hessian say: the kind of a critical point, the smoothness constant L.
import { TapegradError, checkKeys, checkNumber } from '../errors.js';
import type { Tensor } from '../tensor.js';
import { eigenvaluesOf } from './dense.js';
import { Objective, type Point } from './objective.js';
import { norm, type Vector } from './vectors.js';

export type CriticalPointKind = 'minimum' | 'maximum' | 'saddle' | 'degenerate';
export interface CriticalPoint {
  /** Of the Hessian, ascending. */
  eigenvalues: number[];
  kind: CriticalPointKind;
  /** ‖∇f‖₂: how critical it is. */
  gradientNorm: number;
}

/**
 * Classifies a critical point by the signs of the Hessian's eigenvalues: all positive, a minimum; all
 * negative, a maximum; both signs, a saddle; else, when one is zero, degenerate: higher derivatives decide.
 * @param f - a function of one or several float tensors to a scalar; @param x - its argument(s)
 * @param options - `tolerance`: eigenvalues up to this part of the largest count as zero (default 1e-9, float32
 * 1e-4); `gradientTolerance`: the largest ‖∇f‖ accepted, relative to max(1, |λ|) (default 1e-3)
 * @throws RangeError if ∇f(x) is not zero; otherwise as {@link hessian}
 * @example tg.classifyCriticalPoint(f, x).kind // 'saddle' for x₀² - x₁² at 0, with eigenvalues -2 and 2
 */
export function classifyCriticalPoint(
  f: (...x: Tensor[]) => Tensor,
  x: Point,
  options?: { tolerance?: number; gradientTolerance?: number },
): CriticalPoint {
  const op = 'classifyCriticalPoint';
  const objective = new Objective(op, f, x, 'x');
  const given = { ...checkKeys(op, options, ['tolerance', 'gradientTolerance']) };
  const least = objective.epsilon > 1e-10 ? 1e-4 : 1e-9;
  const tolerance = checkNumber(op, 'tolerance', given['tolerance'] ?? least, {
    min: 0,
    below: 1,
  });
  const accepted = checkNumber(op, 'gradientTolerance', given['gradientTolerance'] ?? 1e-3, {
    min: 0,
  });
  const at = objective.curvature(objective.start);
  if (!at.hessian.data.every(Number.isFinite))
    throw new TapegradError('TG_NOT_FINITE', `${op}: the Hessian holds NaN or an infinity`);
  const eigenvalues = eigenvaluesOf(at.hessian);
  const size = Math.max(0, ...eigenvalues.map(Math.abs));
  const gradientNorm = norm(at.gradient);
  if (!(gradientNorm <= accepted * Math.max(1, size)))
    throw new RangeError(
      `${op}: x is no critical point: the gradient there has norm ${gradientNorm}`,
    );
  const up = eigenvalues.some((v) => v > tolerance * size);
  const down = eigenvalues.some((v) => v < -tolerance * size);
  const flat = eigenvalues.some((v) => Math.abs(v) <= tolerance * size);
  const kind =
    up && down ? 'saddle' : flat || !(up || down) ? 'degenerate' : up ? 'minimum' : 'maximum';
  return { eigenvalues, kind, gradientNorm };
}

/** A start vector without structure that a Hessian might share: Weyl's sequence of the golden ratio. */
const spread = (n: number): Vector =>
  Float64Array.from({ length: n }, (_, i) => (((i + 1) * 0.6180339887498949) % 1) - 0.45);

/** @internal See {@link lipschitz}. */
export function lipschitzAt(
  objective: Objective,
  x: Vector,
  tolerance: number,
  maxIterations: number,
): number {
  return objective.withProducts(x, (product) => {
    let v = spread(x.length);
    let size = norm(v);
    let estimate = 0;
    for (let k = 0; k < maxIterations && size > 0; ++k) {
      v = product(v.map((e) => e / size));
      size = norm(v);
      if (!Number.isFinite(size))
        throw new TapegradError(
          'TG_NOT_FINITE',
          `${objective.op}: the Hessian holds NaN or an infinity`,
        );
      // The lengths never fall; a slow stretch may be a plateau, so the first few do not count.
      const done = k >= 8 && size - estimate <= tolerance * size;
      estimate = size;
      if (done) break;
    }
    return estimate;
  });
}

/**
 * The Lipschitz constant L of ∇f near x: the largest |eigenvalue| of the Hessian there, by power iteration on
 * Hessian-vector products, from below. For a convex f it is λmax(H); for least squares ½‖Xw - y‖² it is
 * λmax(XᵀX) everywhere, and 1/L the classical step size. For other functions L may be larger elsewhere.
 * @param f - a function of one or several float tensors to a scalar; @param x - its argument(s)
 * @param options - stops when an iteration raises the estimate by less than `tolerance` · L (default 1e-12),
 * or after `maxIterations` (1000)
 * @throws as {@link hvp}; TapegradError TG_NOT_FINITE
 */
export function lipschitz(
  f: (...x: Tensor[]) => Tensor,
  x: Point,
  options?: { tolerance?: number; maxIterations?: number },
): number {
  const objective = new Objective('lipschitz', f, x, 'x');
  const given = { ...checkKeys('lipschitz', options, ['tolerance', 'maxIterations']) };
  const tolerance = checkNumber('lipschitz', 'tolerance', given['tolerance'] ?? 1e-12, { min: 0 });
  const count = checkNumber('lipschitz', 'maxIterations', given['maxIterations'] ?? 1000, {
    min: 1,
    integer: true,
  });
  return lipschitzAt(objective, objective.start, tolerance, count);
}
