// Shifting and scaling features: fitted on the training set, applied to all sets. Outside the graph.
import { onesLike } from '../create.js';
import { checkKeys, wrongType } from '../errors.js';
import {
  abs,
  add,
  clone,
  div,
  greater,
  mean,
  mul,
  sqrt,
  sub,
  variance,
  where,
} from '../ops.gen.js';
import { to } from '../ops.js';
import { noGrad } from '../tape.js';
import { checkTensor, isTensor, keep, shapeOf, tidy, type Tensor } from '../tensor.js';

/** @internal A float tensor [n, ...] with an example at least. */
export function checkExamples(op: string, value: unknown): Tensor {
  const x = checkTensor(op, 'x', value);
  const shape = shapeOf(x);
  if (x.dtype !== 'float32' && x.dtype !== 'float64')
    throw new TypeError(
      `${op}: x must be float32 or float64, got ${x.dtype}; x.to('float32') converts it`,
    );
  if (shape.length === 0 || x.size === 0)
    throw new RangeError(
      `${op}: x must hold examples along its first axis, got shape [${shape.join(', ')}]`,
    );
  return x;
}

/** @internal What `fit` found, or an error that says to call it. */
export function fitted<T>(op: string, value: T | null): T {
  if (value === null)
    throw new TypeError(`${op}: nothing was fitted yet; call fit(x) with the training set first`);
  return value;
}

/** @internal Runs fn outside the graph and frees all it makes but the result, which is kept. */
export function keeping<T extends Record<string, Tensor>>(fn: () => T): T {
  const result = tidy(() => noGrad(fn));
  Object.values(result).forEach(keep);
  return result;
}

export interface StandardizerOptions {
  /** The axes over which statistics are taken: 0, so that each feature has its own, unless told; null for all. */
  axis?: number | readonly number[] | null;
  /** false leaves the mean as it is. */
  center?: boolean;
  /** false leaves the deviation as it is. */
  scale?: boolean;
}

/**
 * Zero mean and unit standard deviation, (x - μ) / σ, with μ and σ (over n, not n - 1) of the set it was fitted on. A
 * feature that is constant there is only shifted. As scikit-learn's StandardScaler.
 */
export class Standardizer {
  readonly #axis: number | number[] | null;
  readonly #center: boolean;
  readonly #scale: boolean;
  #found: { mean: Tensor; deviation: Tensor } | null = null;

  /** @throws TypeError for a bad option */
  constructor(options?: StandardizerOptions) {
    const given = checkKeys('Standardizer', options, ['axis', 'center', 'scale']);
    const { axis = 0, center = true, scale = true } = given;
    if (typeof center !== 'boolean') throw wrongType('Standardizer', 'center', 'a boolean', center);
    if (typeof scale !== 'boolean') throw wrongType('Standardizer', 'scale', 'a boolean', scale);
    this.#axis = axis as number | number[] | null; // checked by mean()
    this.#center = center;
    this.#scale = scale;
  }
  /** μ with sizes 1 along the axes; null before `fit`. */
  get mean(): Tensor | null {
    return this.#found?.mean ?? null;
  }
  /** σ likewise; 1 for constant features. */
  get deviation(): Tensor | null {
    return this.#found?.deviation ?? null;
  }

  /**
   * Measures a training set.
   * @param x - float [n, ...]
   * @throws TypeError, RangeError for another dtype or no examples
   */
  fit(x: Tensor): this {
    const t = checkExamples('Standardizer.fit', x);
    const over = { axis: this.#axis, keepDims: true };
    const found = keeping(() => {
      const exact = to(t, 'float64'); // sums of many float32 would lose digits
      const middle = mean(exact, over);
      if (!middle.dataSync().every(Number.isFinite))
        throw new RangeError('Standardizer.fit: x holds NaN or infinite numbers');
      const deviation = sqrt(variance(exact, { ...over, correction: 0 }));
      // A constant's mean is rounded, which gives it a small deviation; that bound is scikit-learn's.
      const rounding = mul(abs(middle), (t.size / middle.size) * Number.EPSILON);
      const spread = where(greater(deviation, rounding), deviation, onesLike(deviation));
      return { mean: clone(to(middle, t.dtype)), deviation: clone(to(spread, t.dtype)) };
    });
    this.dispose();
    this.#found = found;
    return this;
  }
  /** (x - μ) / σ. @throws TypeError before `fit`; RangeError if the shapes do not broadcast */
  transform(x: Tensor): Tensor {
    const op = 'Standardizer.transform';
    const t = checkExamples(op, x);
    const { mean: middle, deviation } = fitted(op, this.#found);
    return tidy(() =>
      noGrad(() => {
        const shifted = this.#center ? sub(t, middle) : t;
        return this.#scale ? div(shifted, deviation) : shifted === t ? clone(t) : shifted;
      }),
    );
  }
  /** x σ + μ: takes {@link transform} back. */
  inverse(x: Tensor): Tensor {
    const op = 'Standardizer.inverse';
    const t = checkExamples(op, x);
    const { mean: middle, deviation } = fitted(op, this.#found);
    return tidy(() =>
      noGrad(() => {
        const scaled = this.#scale ? mul(t, deviation) : t;
        return this.#center ? add(scaled, middle) : scaled === t ? clone(t) : scaled;
      }),
    );
  }
  /** What was fitted, to be saved with the weights. The tensors are the standardizer's own. */
  stateDict(): { mean: Tensor; deviation: Tensor } {
    return { ...fitted('Standardizer.stateDict', this.#found) };
  }
  /** Takes what {@link stateDict} gave; copies. @throws TypeError */
  loadStateDict(state: { readonly mean: Tensor; readonly deviation: Tensor }): void {
    const op = 'Standardizer.loadStateDict';
    const given = state as Partial<typeof state> | null | undefined;
    if (!isTensor(given?.mean) || !isTensor(given.deviation))
      throw wrongType(op, 'state', 'an object { mean, deviation } of Tensors', state);
    const { mean: middle, deviation } = given;
    checkTensor(op, 'mean', middle);
    checkTensor(op, 'deviation', deviation);
    const found = keeping(() => ({ mean: clone(middle), deviation: clone(deviation) }));
    this.dispose();
    this.#found = found;
  }
  /** Frees what was fitted. */
  dispose(): void {
    this.#found?.mean.dispose();
    this.#found?.deviation.dispose();
    this.#found = null;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
