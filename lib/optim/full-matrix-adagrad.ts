// Adagrad with the whole matrix of gradient products, for small problems.
import type * as MLMatrix from 'ml-matrix';
import { createRequire } from 'node:module';
import { fromData, zeros } from '../create.js';
import { copyFrom } from '../ops.js';
import { keep, shapeOf, type Tensor } from '../tensor.js';
import { Optimizer } from './optimizer.js';
import { nonNegative, type CommonOptions, type Definition, type ParameterList } from './options.js';
import type { Update } from './rule.js';

export interface FullMatrixAdagradOptions extends CommonOptions {
  /** δ: the step is along (δI + G^½)⁻¹ g. */
  eps?: number;
}

/** Loaded when it is needed: few programs do. */
let library: typeof MLMatrix | undefined;
const linearAlgebra = (): typeof MLMatrix =>
  (library ??= createRequire(import.meta.url)('ml-matrix') as typeof MLMatrix);

/** An eigen-decomposition takes O(n³) at every step: a quarter of a second at this size. */
const MAX_SIZE = 512;

const DEFINITION: Definition<FullMatrixAdagradOptions> = {
  defaults: { learningRate: 1e-2, eps: 1e-10 },
  check: { eps: nonNegative('FullMatrixAdagrad', 'eps') },
};

/**
 * G ← G + g gᵀ, w ← w - η (δI + G^½)⁻¹ g, for each parameter as one vector. Duchi, Hazan & Singer 2011, figure 1,
 * full matrices. Directions in which no gradient ever pointed (eigenvalues of 0, up to rounding) are left alone.
 * Takes n² numbers for a parameter of n elements; projections measure as Euclid does.
 * @throws RangeError for a parameter of more than 512 elements
 */
export class FullMatrixAdagrad extends Optimizer<FullMatrixAdagradOptions> {
  constructor(
    parameters: ParameterList<FullMatrixAdagradOptions>,
    options?: FullMatrixAdagradOptions,
  ) {
    super(parameters, options, DEFINITION);
  }

  protected override acceptParameter(p: Tensor): void {
    if (p.size > MAX_SIZE)
      throw new RangeError(
        `FullMatrixAdagrad: a parameter may have at most ${MAX_SIZE} elements, and this one has ${p.size}; use Adagrad`,
      );
  }
  /** G. */
  protected override makeState(p: Tensor): Tensor {
    return keep(zeros([p.size, p.size], { dtype: 'float64', device: p.device }));
  }
  protected override stateCount(): number {
    return 1;
  }

  protected rule(): Update {
    throw new TypeError('FullMatrixAdagrad: has no fused rule');
  }

  protected override update(
    _t: number,
    rate: number,
    parameters: readonly Tensor[],
    options: Required<FullMatrixAdagradOptions>,
  ): void {
    for (const p of parameters) {
      const [state] = this.stateOf(p, options);
      const w = p.dataSync();
      const { G, step } = advance(state!.dataSync(), p.grad!.dataSync(), options.eps);
      const moved = w.map((v, i) => v - rate * step[i]!);
      for (const [target, data] of [
        [state!, G],
        [p, moved],
      ] as const) {
        const source = fromData(data, shapeOf(target), target.dtype, target.device);
        copyFrom(target, source);
        source.dispose();
      }
    }
  }
}

/** The new G and (δI + G^½)⁻¹ g. */
function advance(
  before: ArrayLike<number>,
  g: ArrayLike<number>,
  delta: number,
): { G: Float64Array; step: Float64Array } {
  const n = g.length;
  const G = Float64Array.from(before);
  for (let i = 0; i < n; ++i) for (let j = 0; j < n; ++j) G[i * n + j]! += g[i]! * g[j]!;
  const step = new Float64Array(n);
  if (n === 0) return { G, step };
  if (!G.every(Number.isFinite)) return { G, step: step.fill(NaN) };
  const { EigenvalueDecomposition, Matrix } = linearAlgebra();
  const eigen = new EigenvalueDecomposition(Matrix.from1DArray(n, n, G), { assumeSymmetric: true });
  const values = eigen.realEigenvalues;
  const vectors = eigen.eigenvectorMatrix;
  const noise = n * Number.EPSILON * Math.max(...values, 0);
  for (let k = 0; k < n; ++k) {
    if (!(values[k]! > noise)) continue;
    let along = 0;
    for (let i = 0; i < n; ++i) along += vectors.get(i, k) * g[i]!;
    along /= delta + Math.sqrt(values[k]!);
    for (let i = 0; i < n; ++i) step[i]! += along * vectors.get(i, k);
  }
  return { G, step };
}
