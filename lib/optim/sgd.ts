// Stochastic gradient descent.
import { OPTIMIZERS } from '../schema.gen.js';
import type { Tensor } from '../tensor.js';
import { Optimizer, checkOptions, flag, nonNegative, type LearningRate } from './optimizer.js';
import type { Update } from './rule.js';

export interface SGDOptions {
  learningRate?: LearningRate;
  /** μ in v ← μv + (1 - dampening) g, w ← w - ηv. */
  momentum?: number;
  dampening?: number;
  /** L2: g ← g + weightDecay · w. */
  weightDecay?: number;
  /** Nesterov's look-ahead; needs momentum > 0 and dampening 0. */
  nesterov?: boolean;
}

/** Gradient descent with momentum, in PyTorch's form. Robbins & Monro 1951, Polyak 1964, Nesterov 1983. */
export class SGD extends Optimizer {
  private readonly options: Required<SGDOptions>;

  constructor(parameters: Iterable<Tensor>, options?: SGDOptions) {
    const checked = checkOptions<Required<SGDOptions>>(
      'SGD',
      options,
      { learningRate: 1e-2, momentum: 0, dampening: 0, weightDecay: 0, nesterov: false },
      {
        momentum: nonNegative('SGD', 'momentum'),
        dampening: nonNegative('SGD', 'dampening'),
        weightDecay: nonNegative('SGD', 'weightDecay'),
        nesterov: flag('SGD', 'nesterov'),
      },
    );
    if (checked.nesterov && (checked.momentum === 0 || checked.dampening !== 0))
      throw new RangeError('SGD: nesterov needs momentum > 0 and dampening 0');
    super(parameters, checked.learningRate);
    this.options = checked;
  }

  protected rule(t: number, rate: number): Update {
    const { momentum, dampening, weightDecay: decay, nesterov } = this.options;
    if (momentum === 0) return { spec: OPTIMIZERS.sgd, numbers: { rate, decay } };
    const damping = t === 1 ? 1 : 1 - dampening;
    return {
      spec: OPTIMIZERS.sgdMomentum,
      numbers: { rate, decay, momentum, damping, nesterov: nesterov ? 1 : 0 },
    };
  }
}
