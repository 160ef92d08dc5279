// A user's function of tensors as a function of one float64 vector: its value, gradient, Hessian and
// Hessian-vector products. What derivatives.ts and all minimisers share. Knows no algorithm.
import { gradients } from '../backward.js';
import { tensor } from '../create.js';
import type { Device } from '../device.js';
import { TapegradError, wrongType } from '../errors.js';
import { enableGrad, noGrad } from '../tape.js';
import { checkTensor, isTensor, shapeOf, tidy, type Tensor } from '../tensor.js';
import type { Symmetric } from './dense.js';
import { norm, type Vector } from './vectors.js';

/**
 * A function of one or several float tensors to a scalar. What it makes is freed after each call (as by
 * {@link tidy}), and it may be called many times at the same point.
 */
export type ObjectiveFunction = (...x: Tensor[]) => Tensor;
/** Where an objective is evaluated: its only argument, or a list of its arguments. */
export type Point = Tensor | readonly Tensor[];
/** A result in the form in which the point was given. */
export type Like<P extends Point> = P extends Tensor ? Tensor : Tensor[];

export interface Slope {
  readonly value: number;
  readonly gradient: Vector;
}

/** Why a minimiser stopped. */
export type Reason = 'gradient' | 'value' | 'iterations' | 'callback';

/** What minimisers return. */
export interface Minimum<P extends Point> {
  /** New tensors like those given as x0, which are left as they were. */
  x: Like<P>;
  /** f(x). */
  value: number;
  /** ‖∇f(x)‖₂ over all arguments. */
  gradientNorm: number;
  iterations: number;
  /** Whether it stopped because it was done: the gradient is small, or f does not fall any more. */
  converged: boolean;
  reason: Reason;
}

/** @internal One thing or an array of things, as an array; its length, which may be anybody's code, is read once. */
export function listOf(op: string, name: string, value: unknown): unknown[] {
  if (!Array.isArray(value)) return [value];
  const { length } = value;
  if (!(length >= 1 && length <= MAX_ARGUMENTS))
    throw new RangeError(
      length === 0
        ? `${op}: ${name} is an empty list`
        : `${op}: ${name} has ${length} entries; at most ${MAX_ARGUMENTS} are possible`,
    );
  return Array.from({ length }, (_, i) => (value as unknown[])[i]);
}
const MAX_ARGUMENTS = 4096;

/** The point as a list. @throws TypeError unless it is made of float tensors */
export function checkPoint(op: string, name: string, x: unknown): Tensor[] {
  return listOf(op, name, x).map((t, i) => {
    const argument = Array.isArray(x) ? `${name}[${i}]` : name;
    const checked = checkTensor(op, argument, t);
    if (checked.dtype !== 'float32' && checked.dtype !== 'float64')
      throw new TypeError(
        `${op}: ${argument} must be float32 or float64 to be differentiated by, got ${checked.dtype}`,
      );
    return checked;
  });
}

/** f's result at the given leaves. @throws TypeError, RangeError unless it is a float scalar, TG_GRAPH */
export function callScalar(
  op: string,
  f: ObjectiveFunction,
  leaves: readonly Tensor[],
  recorded: boolean,
): Tensor {
  const y: unknown = f(...leaves);
  if (!isTensor(y)) throw wrongType(op, "f's result", 'a scalar Tensor', y);
  checkTensor(op, "f's result", y);
  if (y.size !== 1)
    throw new RangeError(
      `${op}: f must return a scalar, got shape [${shapeOf(y).join(', ')}]; reduce it with sum() or mean()`,
    );
  if (recorded && !y.requiresGrad)
    throw new TapegradError('TG_GRAPH', `${op}: f's result does not depend on its arguments`);
  return y;
}

/** A tensor of zeros with a one at element k, in the form of y. */
export function unitLike(y: Tensor, k: number): Tensor {
  const data = new Float64Array(y.size);
  data[k] = 1;
  return tensor(data, { shape: shapeOf(y), dtype: y.dtype, device: y.device });
}

/** Newton and the eigenvalues need n² numbers and n³ operations. */
const MAX_DENSE = 4096;

/** An objective function with its arguments laid end to end. */
export class Objective {
  /** x0. */
  readonly start: Vector;
  /** The rounding unit of the results: that of the least exact argument. */
  readonly epsilon: number;
  private readonly shapes: readonly (readonly number[])[];
  private readonly dtypes: readonly ('float32' | 'float64')[];
  private readonly devices: readonly Device[];

  constructor(
    readonly op: string,
    private readonly f: ObjectiveFunction,
    private readonly x0: Point,
    name = 'x0',
  ) {
    if (typeof f !== 'function') throw wrongType(op, 'f', 'a function', f);
    const list = checkPoint(op, name, x0);
    this.shapes = list.map((t) => [...shapeOf(t)]);
    this.dtypes = list.map((t) => t.dtype as 'float32' | 'float64');
    this.devices = list.map((t) => t.device);
    this.epsilon = this.dtypes.includes('float32') ? 2 ** -23 : 2 ** -52;
    this.start = this.pack(list);
    if (!this.start.every(Number.isFinite))
      throw new RangeError(`${op}: ${name} must be finite, but it holds NaN or an infinity`);
  }

  /** Numbers of tensors in the arguments' shapes, as one vector; null stands for zeros. */
  pack(list: readonly (Tensor | null)[]): Vector {
    const sizes = this.shapes.map((s) => s.reduce((a, b) => a * b, 1));
    const all = new Float64Array(sizes.reduce((a, b) => a + b, 0));
    let at = 0;
    list.forEach((t, i) => {
      if (t) all.set(t.dataSync(), at);
      at += sizes[i]!;
    });
    return all;
  }
  /** The direction that another point given by the user stands for. */
  packOther(name: string, v: unknown): Vector {
    const list = checkPoint(this.op, name, v);
    const shapes = list.map((t) => `[${shapeOf(t).join(', ')}]`).join(', ');
    const wanted = this.shapes.map((s) => `[${s.join(', ')}]`).join(', ');
    if (shapes !== wanted)
      throw new RangeError(
        `${this.op}: ${name} must have the shape of x, ${wanted}, but has ${shapes}`,
      );
    return this.pack(list);
  }
  /** The arguments at x, as tensors of their own. */
  tensors(x: Vector, requiresGrad = false): Tensor[] {
    let at = 0;
    return this.shapes.map((shape, i) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const data = x.subarray(at, (at += size));
      const [dtype, device] = [this.dtypes[i]!, this.devices[i]!];
      return tensor(data, { shape, dtype, device, requiresGrad });
    });
  }
  /** As {@link tensors}, in the form in which the user gave x0. */
  unpack<P extends Point>(x: Vector): Like<P> {
    const list = this.tensors(x);
    return (Array.isArray(this.x0) ? list : list[0]) as Like<P>;
  }

  /** f(x), without recording. */
  value(x: Vector): number {
    return tidy(() => noGrad(() => callScalar(this.op, this.f, this.tensors(x), false).item()));
  }
  /** f(x) and ∇f(x). */
  slope(x: Vector): Slope {
    return tidy(() =>
      enableGrad(() => {
        const leaves = this.tensors(x, true);
        const y = callScalar(this.op, this.f, leaves, true);
        const value = y.item();
        return { value, gradient: this.pack(gradients(y, leaves)) };
      }),
    );
  }
  /** As {@link slope}, refusing what is not finite. */
  finiteSlope(x: Vector, when: string): Slope {
    const slope = this.slope(x);
    if (!Number.isFinite(slope.value) || !Number.isFinite(norm(slope.gradient)))
      throw new TapegradError(
        'TG_NOT_FINITE',
        `${this.op}: f is ${slope.value} with a gradient of norm ${norm(slope.gradient)} ${when}`,
      );
    return slope;
  }

  /** Gives `use` the gradient and a function that multiplies the Hessian at x with a vector. */
  withProducts<T>(x: Vector, use: (product: (v: Vector) => Vector, slope: Slope) => T): T {
    return tidy(() =>
      enableGrad(() => {
        const leaves = this.tensors(x, true);
        const y = callScalar(this.op, this.f, leaves, true);
        const first = gradients(y, leaves, { createGraph: true });
        const slope = { value: y.item(), gradient: this.pack(first) };
        const product = (v: Vector): Vector => {
          const sum = new Float64Array(v.length);
          tidy(() => {
            const directions = this.tensors(v);
            first.forEach((g, i) => {
              if (!g?.requiresGrad) return; // this argument enters linearly
              const part = this.pack(
                gradients(g, leaves, { gradient: directions[i]!, retainGraph: true }),
              );
              for (let j = 0; j < sum.length; ++j) sum[j]! += part[j]!;
            });
          });
          return sum;
        };
        return use(product, slope);
      }),
    );
  }

  /** f, ∇f and the whole Hessian, one product for each variable; made exactly symmetric. */
  curvature(x: Vector): Slope & { hessian: Symmetric } {
    const n = x.length;
    if (n > MAX_DENSE)
      throw new RangeError(
        `${this.op}: ${n} variables; at most ${MAX_DENSE} are possible where the whole Hessian is needed`,
      );
    return this.withProducts(x, (product, slope) => {
      const data = new Float64Array(n * n);
      for (let i = 0; i < n; ++i) {
        const unit = new Float64Array(n);
        unit[i] = 1;
        data.set(product(unit), i * n);
      }
      for (let i = 0; i < n; ++i)
        for (let j = 0; j < i; ++j)
          data[i * n + j] = data[j * n + i] = 0.5 * (data[i * n + j]! + data[j * n + i]!);
      return { ...slope, hessian: { n, data } };
    });
  }
}
