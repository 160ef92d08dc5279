// AdaSecant: step sizes from the secant of noisy gradients.
import { native } from '../native.js';
import { OPTIMIZERS } from '../schema.gen.js';
import { handleOf, type Tensor } from '../tensor.js';
import { Optimizer } from './optimizer.js';
import {
  fraction,
  nonNegative,
  positive,
  type CommonOptions,
  type Definition,
  type ParameterList,
} from './options.js';
import type { Update } from './rule.js';

export interface AdaSecantOptions extends CommonOptions {
  /** ρ, the decay rate of the averages of g and g². */
  decay?: number;
  /** The largest γ, the weight of the average gradient in the corrected one. */
  gammaLimit?: number;
  eps?: number;
}

const DEFINITION: Definition<AdaSecantOptions> = {
  defaults: { learningRate: 1, decay: 0.95, gammaLimit: 1.8, eps: 1e-7 },
  check: {
    decay: fraction('AdaSecant', 'decay'),
    gammaLimit: nonNegative('AdaSecant', 'gammaLimit'),
    eps: positive('AdaSecant', 'eps'),
  },
};

/**
 * Gulcehre, Moczulski & Bengio 2014, "ADASECANT: Robust Adaptive Secant Method for Stochastic Gradient"
 * (arXiv:1412.7419), algorithm 1. For every element, with a the change of the gradient since the step before,
 * d the step, and averages E over an adaptive memory τ:
 *
 * - g is divided by the norm of its parameter's gradient (block-wise normalisation);
 * - g̃ = (g + γ E[g]) / (1 + γ) lowers the variance, γ from the gradients of two steps;
 * - d = -(√E[d²] / √E[a²] - E[a d] / E[a²]) g̃, w ← w + η d;
 * - τ ← (1 - E[d]² / E[d²]) τ + 1, but 2.2 after an outlier (two deviations off in g or a).
 *
 * The paper leaves open, and was chosen as in its authors' published program: τ starts at 2.2 and stays ≥ 1.5,
 * ρ = 0.95, γ ≤ 1.8 from roots of averages of squares, E[d²] is g² at the first step, E[a d] takes the step that is
 * being made. The averages start at ε. η (learningRate) is ours: 1 is the paper.
 */
export class AdaSecant extends Optimizer<AdaSecantOptions> {
  protected override readonly separate = true;

  constructor(parameters: ParameterList<AdaSecantOptions>, options?: AdaSecantOptions) {
    super(parameters, options, DEFINITION);
  }

  protected override initialState(index: number, { eps }: Required<AdaSecantOptions>): number {
    if (index === 2 || index === 3) return 0;
    return index === 9 ? 2.2 : eps;
  }

  protected rule(t: number, rate: number, options: Required<AdaSecantOptions>, p: Tensor): Update {
    const { decay: keep, gammaLimit: limit, eps } = options;
    const norm = p.grad ? native.gradientNorm(Float64Array.of(handleOf(p.grad)), p.grad) : 0;
    return {
      spec: OPTIMIZERS.adasecant,
      numbers: {
        rate,
        scale: 1 / (norm + eps),
        keep,
        take: 1 - keep,
        limit,
        first: t === 1 ? 1 : 0,
        eps,
      },
    };
  }
}
