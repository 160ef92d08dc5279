// Step lengths along a direction: Armijo's backtracking, the exact minimum, and Wolfe's conditions.
import { TapegradError, checkKeys, checkNumber } from '../errors.js';
import type { Tensor } from '../tensor.js';
import { Objective, type Point, type Slope } from './objective.js';
import { along, dot, negated, type Vector } from './vectors.js';

export interface LineSearchOptions<P extends Point = Tensor> {
  /** Where to go, in the form of x; -∇f(x) unless told. Must lead downhill. */
  direction?: P;
  /** The first step that is tried, > 0. Default 1. */
  step?: number;
}
export interface BacktrackingOptions<P extends Point = Tensor> extends LineSearchOptions<P> {
  /** β in (0, 1): a refused step is multiplied by it. Default 0.5. */
  shrink?: number;
  /** c in (0, 1): the part of the promised decrease that must come true. Default 1e-4. */
  sufficient?: number;
}
export interface LineSearchResult {
  /** The length s of the step along the direction. */
  step: number;
  /** f(x + s · direction). */
  value: number;
  evaluations: number;
}

const unbounded = (objective: Objective, step: number): TapegradError =>
  new TapegradError(
    'TG_UNBOUNDED',
    `${objective.op}: f falls without end along a direction (still at step ${step})`,
  );

/** @internal An objective seen along a ray. */
export interface Ray {
  readonly objective: Objective;
  readonly x: Vector;
  readonly from: Slope;
  readonly direction: Vector;
  /** ∇f · direction at x, < 0. */
  readonly descent: number;
}

/** @internal How much of f's value is rounding. */
export const noiseOf = (objective: Objective, value: number): number =>
  8 * objective.epsilon * Math.abs(value);

/** @internal @throws RangeError unless the direction leads downhill */
export function rayOf(objective: Objective, x: Vector, from: Slope, direction: Vector): Ray {
  const descent = dot(from.gradient, direction);
  if (!(descent < 0))
    throw new RangeError(
      `${objective.op}: f does not fall along the direction: its slope is ${descent}`,
    );
  return { objective, x, from, direction, descent };
}

/** @internal Armijo's rule; null if no step down to the limits of rounding will do. */
export function backtrack(
  ray: Ray,
  first: number,
  shrink = 0.5,
  sufficient = 1e-4,
): LineSearchResult | null {
  const { objective, x, from, direction, descent } = ray;
  const least = 1e-18 * first;
  for (let step = first, n = 1; step > least; step *= shrink, ++n) {
    const value = objective.value(along(x, step, direction));
    if (value <= from.value + sufficient * step * descent) return { step, value, evaluations: n };
  }
  return null;
}

/**
 * @internal The nearest minimum along the ray, as the root of f's slope there: doubled until the slope turns,
 * then by the Illinois form of regula falsi (Dowell & Jarratt 1971). For a quadratic the first root is exact.
 */
export function minimizeAlong(ray: Ray, first: number): LineSearchResult {
  const { objective, x, direction, descent } = ray;
  let evaluations = 0;
  const slopeAt = (s: number): { s: number; slope: number; value: number } => {
    const { value, gradient } = objective.slope(along(x, s, direction));
    ++evaluations;
    return { s, slope: dot(gradient, direction), value };
  };
  let low = { s: 0, slope: descent, value: ray.from.value };
  let high = slopeAt(first);
  for (let i = 0; !(high.slope >= 0); ++i) {
    // Outside of f's domain the slope is NaN: come nearer, else go on.
    const next = Number.isFinite(high.slope) ? 2 * high.s : 0.5 * (low.s + high.s);
    if (Number.isFinite(high.slope)) low = high;
    if (i >= 200 || !Number.isFinite(next) || high.value === -Infinity)
      throw unbounded(objective, high.s);
    high = slopeAt(next);
  }
  let best = high;
  let [a, b] = [low.slope, high.slope];
  for (let i = 0, side = 0; i < 100; ++i) {
    if (Math.abs(best.slope) <= 1e-12 * -descent) break;
    const s = (low.s * b - high.s * a) / (b - a);
    if (!(s > low.s && s < high.s)) break; // nothing lies between them any more
    const mid = slopeAt(s);
    best = mid;
    if (mid.slope >= 0) {
      high = mid;
      b = mid.slope;
      if (side === 1) a /= 2;
      side = 1;
    } else {
      low = mid;
      a = mid.slope;
      if (side === -1) b /= 2;
      side = -1;
    }
  }
  return { step: best.s, value: best.value, evaluations };
}

/**
 * @internal A step that meets the weak Wolfe conditions, by bisection (Lewis & Overton 2013). Where f's
 * differences are lost in rounding, slopes decide instead (the approximate condition of Hager & Zhang 2005).
 * Null if there is none.
 */
export function wolfe(ray: Ray, first: number): { x: Vector; at: Slope; step: number } | null {
  const { objective, from, direction, descent } = ray;
  const [c1, c2] = [1e-4, 0.9];
  const noise = noiseOf(objective, from.value);
  let [low, high] = [0, Infinity];
  for (let s = first, i = 0; i < 80; ++i) {
    const x = along(ray.x, s, direction);
    const at = objective.slope(x);
    const slope = dot(at.gradient, direction);
    const enough =
      at.value <= from.value + c1 * s * descent ||
      (at.value <= from.value + noise && slope <= (2 * c1 - 1) * descent);
    if (!enough || !Number.isFinite(slope)) high = s;
    else if (slope < c2 * descent) low = s;
    else return { x, at, step: s };
    s = high < Infinity ? 0.5 * (low + high) : 2 * s;
  }
  if (high === Infinity) throw unbounded(objective, low);
  return null;
}

function prepare<P extends Point>(
  op: string,
  f: (...x: Tensor[]) => Tensor,
  x: P,
  options: unknown,
  more: readonly string[],
): { ray: Ray; first: number; given: Record<string, unknown> } {
  const objective = new Objective(op, f, x, 'x');
  const given = { ...checkKeys(op, options, ['direction', 'step', ...more]) };
  const first = checkNumber(op, 'step', given['step'] ?? 1, { above: 0 });
  const { direction } = given;
  const d = direction === undefined ? null : objective.packOther('direction', direction);
  const from = objective.finiteSlope(objective.start, 'at x');
  const ray = rayOf(objective, objective.start, from, d ?? negated(from.gradient));
  return { ray, first, given };
}

/**
 * Backtracking line search: the first of the steps s, βs, β²s, … with
 * f(x + s d) ≤ f(x) + c s ∇f(x)·d. Armijo 1966.
 * @param f - a deterministic objective (full batch) of one or several float tensors; @param x - its argument(s)
 * @throws RangeError if the direction does not lead downhill (at a critical point none does);
 * TapegradError TG_LINE_SEARCH if rounding hides every decrease
 */
export function backtracking<P extends Point>(
  f: (...x: Tensor[]) => Tensor,
  x: P,
  options?: BacktrackingOptions<P>,
): LineSearchResult {
  const { ray, first, given } = prepare('backtracking', f, x, options, ['shrink', 'sufficient']);
  const within = { above: 0, below: 1 };
  const shrink = checkNumber('backtracking', 'shrink', given['shrink'] ?? 0.5, within);
  const sufficient = checkNumber('backtracking', 'sufficient', given['sufficient'] ?? 1e-4, within);
  const found = backtrack(ray, first, shrink, sufficient);
  if (!found)
    throw new TapegradError(
      'TG_LINE_SEARCH',
      'backtracking: no step along the direction decreases f by more than rounding',
    );
  return found;
}

/**
 * Exact line search: the step to the nearest minimum of f along the direction, where ∇f(x + s d)·d = 0.
 * @param f - a deterministic objective (full batch) of one or several float tensors; @param x - its argument(s)
 * @throws RangeError if the direction does not lead downhill; TapegradError TG_UNBOUNDED if f falls for ever
 */
export function exactLineSearch<P extends Point>(
  f: (...x: Tensor[]) => Tensor,
  x: P,
  options?: LineSearchOptions<P>,
): LineSearchResult {
  const { ray, first } = prepare('exactLineSearch', f, x, options, []);
  return minimizeAlong(ray, first);
}
