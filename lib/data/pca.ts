// Principal components: decorrelation and whitening. Eigenvectors are ml-matrix's.
import type * as MLMatrix from 'ml-matrix';
import { createRequire } from 'node:module';
import { tensor } from '../create.js';
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { add, clone, div, matmul, mean, mul, sqrt, sub } from '../ops.gen.js';
import { to, transpose } from '../ops.js';
import { noGrad } from '../tape.js';
import { shapeOf, tidy, type Tensor } from '../tensor.js';
import { checkExamples, fitted, keeping } from './scaling.js';

/** Loaded when it is needed: few programs do. */
let library: typeof MLMatrix | undefined;
const linearAlgebra = (): typeof MLMatrix =>
  (library ??= createRequire(import.meta.url)('ml-matrix') as typeof MLMatrix);

/** The eigenvectors take O(features³): some ten seconds at this size. */
const MAX_FEATURES = 1024;

export interface PcaOptions {
  /** Directions kept, those of the largest variance: min(n - 1, features) unless told. */
  components?: number;
  /** Divides each component by its standard deviation. true unless told; false only decorrelates. */
  whiten?: boolean;
  /** Added to the variances under the root: tames directions of little variance. 0 unless told. */
  epsilon?: number;
}

interface Found {
  [name: string]: Tensor;
  mean: Tensor;
  components: Tensor;
  variances: Tensor;
}

/** Eigenvectors of a covariance as rows, the largest eigenvalue first; the largest entry of each is positive. */
function directions(covariance: Tensor, count: number): { rows: number[][]; variances: number[] } {
  const { EigenvalueDecomposition, Matrix } = linearAlgebra();
  const matrix = new Matrix(covariance.toArray() as number[][]);
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(matrix, {
    assumeSymmetric: true,
  });
  const order = realEigenvalues.map((_, i) => i);
  order.sort((a, b) => realEigenvalues[b]! - realEigenvalues[a]!);
  const kept = order.slice(0, count);
  const rows = kept.map((at) => {
    const v = eigenvectorMatrix.getColumn(at);
    const largest = v.reduce((best, e) => (Math.abs(e) > Math.abs(best) ? e : best), 0);
    return largest < 0 ? v.map((e) => -e) : v;
  });
  return { rows, variances: kept.map((at) => Math.max(0, realEigenvalues[at]!)) };
}

/**
 * PCA whitening, ((x - μ) Vᵀ) / √(λ + ε): the top-k directions of the set it was fitted on, decorrelated and with equal
 * variances. V are the eigenvectors of the covariance (over n - 1), λ its eigenvalues. As scikit-learn's PCA with
 * `whiten`; LeCun et al. 1998, Efficient BackProp, 4.3.
 */
export class Pca {
  readonly #count: number | null;
  readonly #whiten: boolean;
  readonly #epsilon: number;
  #found: Found | null = null;

  /** @throws TypeError, RangeError for a bad option */
  constructor(options?: PcaOptions) {
    const given = checkKeys('Pca', options, ['components', 'whiten', 'epsilon']);
    const { components, whiten = true, epsilon = 0 } = given;
    if (typeof whiten !== 'boolean') throw wrongType('Pca', 'whiten', 'a boolean', whiten);
    this.#count =
      components === undefined
        ? null
        : checkNumber('Pca', 'components', components, { min: 1, integer: true });
    this.#whiten = whiten;
    this.#epsilon = checkNumber('Pca', 'epsilon', epsilon, { min: 0 });
  }
  /** [features]; null before `fit`. */
  get mean(): Tensor | null {
    return this.#found?.mean ?? null;
  }
  /** The directions as rows, [k, features], orthonormal, the one of the largest variance first. */
  get components(): Tensor | null {
    return this.#found?.components ?? null;
  }
  /** The variances along them, [k], over n - 1. */
  get variances(): Tensor | null {
    return this.#found?.variances ?? null;
  }

  /**
   * Finds the directions of a training set.
   * @param x - float [n, features], n ≥ 2, of finite numbers
   * @throws TypeError, RangeError, also if there are fewer directions than asked for, or one to divide by has no variance
   */
  fit(x: Tensor): this {
    const op = 'Pca.fit';
    const t = checkExamples(op, x);
    const shape = shapeOf(t);
    const [n, features] = shape as [number, number];
    if (shape.length !== 2 || n < 2 || features > MAX_FEATURES)
      throw new RangeError(
        `${op}: x must be [n, features] with n ≥ 2 and at most ${MAX_FEATURES} features, got [${shape.join(', ')}]`,
      );
    const most = Math.min(n - 1, features);
    const count = this.#count ?? most;
    if (count > most)
      throw new RangeError(
        `${op}: ${count} components were asked for, ${n} examples of ${features} features have ${most}`,
      );
    const found = keeping(() => this.#fit(op, t, count));
    this.dispose();
    this.#found = found;
    return this;
  }
  #fit(op: string, t: Tensor, count: number): Found {
    const n = shapeOf(t)[0]!;
    const exact = to(t, 'float64');
    const middle = mean(exact, { axis: 0 });
    const centered = sub(exact, middle);
    const covariance = div(matmul(transpose(centered), centered), n - 1);
    if (!covariance.dataSync().every(Number.isFinite))
      throw new RangeError(`${op}: x holds NaN or infinite numbers, or its variance overflows`);
    const { rows, variances } = directions(covariance, count);
    const least = variances[count - 1]!;
    if (this.#whiten && this.#epsilon === 0 && !(least > 1e-14 * variances[0]!))
      throw new RangeError(
        `${op}: direction ${count} of ${count} has no variance to divide by; ask for fewer components, or give an epsilon`,
      );
    const own = (v: Tensor): Tensor => clone(to(v, t.dtype));
    return {
      mean: own(middle),
      components: own(tensor(rows, { dtype: 'float64', device: t.device })),
      variances: own(tensor(variances, { dtype: 'float64', device: t.device })),
    };
  }

  /** [n, features] → [n, k]. @throws TypeError before `fit`; RangeError for other features */
  transform(x: Tensor): Tensor {
    const op = 'Pca.transform';
    const t = checkExamples(op, x);
    const { mean: middle, components } = fitted(op, this.#found);
    return tidy(() =>
      noGrad(() => {
        const turned = matmul(sub(t, middle), transpose(components));
        return this.#whiten ? div(turned, this.#deviations()) : turned;
      }),
    );
  }
  /** [n, k] → [n, features]: the closest that k components can say of what was transformed. */
  inverse(z: Tensor): Tensor {
    const op = 'Pca.inverse';
    const t = checkExamples(op, z);
    const { mean: middle, components } = fitted(op, this.#found);
    return tidy(() =>
      noGrad(() => add(matmul(this.#whiten ? mul(t, this.#deviations()) : t, components), middle)),
    );
  }
  #deviations(): Tensor {
    return sqrt(add(this.#found!.variances, this.#epsilon));
  }
  /** Frees what was fitted. */
  dispose(): void {
    if (this.#found) Object.values(this.#found).forEach((t) => t.dispose());
    this.#found = null;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
