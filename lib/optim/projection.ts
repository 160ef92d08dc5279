// Projections onto convex sets and the proximal step of the l1 norm: what keeps parameters feasible or
// sparse. Functions of tensors; no optimizer here.
import { fromData } from '../create.js';
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { native } from '../native.js';
import { clamp, clone, div, maximum, minimum, neg, sub } from '../ops.gen.js';
import { noGrad } from '../tape.js';
import { checkTensor, handleOf, shapeOf, tidy, type Tensor } from '../tensor.js';

/**
 * A convex set. `box` has a lower and an upper bound (null: none) for every element; the balls are those of
 * radius r around 0, for each tensor as a whole.
 */
export type Projection =
  | 'nonNegative'
  | { readonly box: readonly [number | null, number | null] }
  | { readonly l2Ball: number }
  | { readonly l1Ball: number };

/** A penalty: l1 times the sum of the absolute values. */
export interface Proximal {
  readonly l1: number;
}

/** @internal A copy of a projection, checked. */
export function checkProjection(op: string, value: unknown): Projection | null {
  if (value === null || value === 'nonNegative') return value;
  const expected = "'nonNegative', { box: [low, high] }, { l2Ball: radius } or { l1Ball: radius }";
  if (typeof value !== 'object') throw wrongType(op, 'projection', expected, value);
  const given = checkKeys(`${op}: projection`, value, ['box', 'l2Ball', 'l1Ball']);
  if (Object.keys(given).length !== 1) throw wrongType(op, 'projection', expected, value);
  const { box, l2Ball, l1Ball } = given;
  if (l2Ball !== undefined)
    return { l2Ball: checkNumber(op, 'projection.l2Ball', l2Ball, { min: 0 }) };
  if (l1Ball !== undefined)
    return { l1Ball: checkNumber(op, 'projection.l1Ball', l1Ball, { min: 0 }) };
  if (!Array.isArray(box) || box.length !== 2)
    throw wrongType(op, 'projection.box', 'a pair [low, high]', box);
  const [low, high] = box.map((bound: unknown, i) =>
    bound === null ? null : checkNumber(op, `projection.box[${i}]`, bound),
  ) as [number | null, number | null];
  if (low !== null && high !== null && low > high)
    throw new RangeError(`${op}: projection.box is empty: ${low} > ${high}`);
  return { box: [low, high] };
}

/** @internal A copy of a penalty, checked. */
export function checkProximal(op: string, value: unknown): Proximal | null {
  if (value === null) return null;
  const { l1 } = checkKeys(`${op}: proximal`, value, ['l1']);
  return { l1: checkNumber(op, 'proximal.l1', l1, { min: 0 }) };
}

function checkFloat(op: string, argument: string, value: unknown): Tensor {
  const t = checkTensor(op, argument, value);
  if (t.dtype !== 'float32' && t.dtype !== 'float64')
    throw new TypeError(`${op}: ${argument} must be float32 or float64, got ${t.dtype}`);
  return t;
}
function checkMetric(op: string, x: Tensor, metric: unknown): Tensor | null {
  if (metric === undefined || metric === null) return null;
  const h = checkFloat(op, 'metric', metric);
  if (h.dtype !== x.dtype || shapeOf(h).join() !== shapeOf(x).join())
    throw new RangeError(
      `${op}: the metric must be ${x.dtype} [${shapeOf(x).join(', ')}] like x, got ${h.dtype} [${shapeOf(h).join(', ')}]`,
    );
  return h;
}

const norm = (x: Tensor): number => native.gradientNorm(Float64Array.of(handleOf(x)), x);

/** Tries λ ≥ 0 for the root of a decreasing f with f(0) > 0, to the last bit. */
function root(f: (lambda: number) => number): number {
  let [low, high] = [0, 1];
  while (f(high) > 0 && high < 1e300) [low, high] = [high, high * 2];
  for (;;) {
    const middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return high;
    if (f(middle) > 0) low = middle;
    else high = middle;
  }
}

/** θ by which absolute values shrink onto the l1 ball: Duchi et al. 2008, figure 1. */
function shrinkage(values: Float64Array, radius: number): number {
  const u = values.map(Math.abs).sort().reverse();
  let [sum, theta] = [0, 0];
  for (let j = 0; j < u.length; ++j) {
    sum += u[j]!;
    const candidate = (sum - radius) / (j + 1);
    if (u[j]! <= candidate) break;
    theta = candidate;
  }
  return theta;
}

const soft = (v: number, t: number): number =>
  Math.abs(v) <= t ? 0 : v > 0 ? v - t : v < 0 ? v + t : v;

/** The elements after the projection, or null where the tensor is inside already. */
function ontoBall(
  values: Float64Array,
  h: Float64Array | null,
  power: 1 | 2,
  radius: number,
): Float64Array | null {
  const size = (at: (i: number) => number): number => {
    let sum = 0;
    for (let i = 0; i < values.length; ++i) sum += Math.abs(at(i)) ** power;
    return sum - radius ** power;
  };
  if (!(size((i) => values[i]!) > 0)) return null; // NaN stays as it is
  if (radius === 0) return new Float64Array(values.length);
  if (!h) {
    const theta = shrinkage(values, radius); // l1; the Euclidean l2 ball is a matter of scale
    return values.map((v) => soft(v, theta));
  }
  // Minimises Σ h (x - v)² on the sphere: Lagrange's conditions, with one multiplier λ.
  const at =
    power === 2
      ? (i: number, lambda: number): number => (h[i]! * values[i]!) / (h[i]! + lambda)
      : (i: number, lambda: number): number => soft(values[i]!, lambda / h[i]!);
  const lambda = root((l) => size((i) => at(i, l)));
  return values.map((_, i) => at(i, lambda));
}

/**
 * The point of a convex set that is nearest to x. With a metric h > 0 the distance is Σ h (x - y)²
 * (Mahalanobis, with a diagonal matrix): no difference for boxes; the balls then take a bisection.
 * l1 ball: Duchi, Shalev-Shwartz, Singer & Chandra 2008. The largest error is that of one rounding.
 * @throws TypeError, RangeError for a bad projection, such as a negative radius, or a metric of another shape
 */
export function project(x: Tensor, projection: Projection, metric?: Tensor | null): Tensor {
  checkFloat('project', 'x', x);
  const set = checkProjection('project', projection);
  if (set === null) throw wrongType('project', 'projection', 'a set', projection);
  const h = checkMetric('project', x, metric);
  return noGrad(() => {
    if (set === 'nonNegative') return clamp(x, { min: 0 });
    if ('box' in set) {
      const [min, max] = set.box;
      return clamp(x, { ...(min !== null && { min }), ...(max !== null && { max }) });
    }
    if ('l2Ball' in set && !h) {
      const y = clone(x);
      const length = norm(y);
      if (length > set.l2Ball) native.scale(Float64Array.of(handleOf(y)), set.l2Ball / length, y);
      return y;
    }
    const [power, radius] =
      'l2Ball' in set ? ([2, set.l2Ball] as const) : ([1, set.l1Ball] as const);
    const values = Float64Array.from(x.dataSync());
    const inside = ontoBall(values, h && Float64Array.from(h.dataSync()), power, radius);
    if (!inside) return clone(x);
    const data = x.dtype === 'float64' ? inside : Float32Array.from(inside);
    return fromData(data, shapeOf(x), x.dtype, x.device);
  });
}

/**
 * The proximal step of threshold ‖·‖₁: every element moves towards 0 by the threshold (divided by its metric,
 * if there is one) and becomes exactly 0 if it gets there.
 * @throws TypeError, RangeError for a negative threshold or a metric of another shape
 */
export function softThreshold(x: Tensor, threshold: number, metric?: Tensor | null): Tensor {
  checkFloat('softThreshold', 'x', x);
  checkNumber('softThreshold', 'threshold', threshold, { min: 0 });
  const h = checkMetric('softThreshold', x, metric);
  return shrink(x, threshold, h);
}

/** @internal softThreshold without its checks; a threshold that differs from step to step is a tensor. */
export function shrink(x: Tensor, threshold: number | Tensor, h: Tensor | null): Tensor {
  return noGrad(() =>
    tidy(() => {
      if (!h && typeof threshold === 'number')
        return sub(x, clamp(x, { min: -threshold, max: threshold }));
      const limit = h ? div(threshold, h) : (threshold as Tensor);
      return sub(x, minimum(maximum(x, neg(limit)), limit));
    }),
  );
}
