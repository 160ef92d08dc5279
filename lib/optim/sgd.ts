// Stochastic gradient descent.
import { OPTIMIZERS } from '../schema.gen.js';
import { Optimizer } from './optimizer.js';
import {
  flag,
  nonNegative,
  type CommonOptions,
  type Definition,
  type ParameterList,
} from './options.js';
import type { Update } from './rule.js';

export interface SGDOptions extends CommonOptions {
  /** μ in v ← μv + (1 - dampening) g, w ← w - ηv. */
  momentum?: number;
  dampening?: number;
  /** L2: g ← g + weightDecay · w. */
  weightDecay?: number;
  /** Nesterov's look-ahead; needs momentum > 0 and dampening 0. */
  nesterov?: boolean;
  /**
   * Let the velocity include the rate: v ← μv - η (1 - dampening) g, w ← w + v, as Polyak, Sutskever and most
   * lectures write it. The same as PyTorch's form as long as η is constant; when η shrinks, what the
   * velocity gathered before keeps its size.
   */
  rateInVelocity?: boolean;
}

const DEFINITION: Definition<SGDOptions> = {
  defaults: {
    learningRate: 1e-2,
    momentum: 0,
    dampening: 0,
    weightDecay: 0,
    nesterov: false,
    rateInVelocity: false,
  },
  check: {
    momentum: nonNegative('SGD', 'momentum'),
    dampening: nonNegative('SGD', 'dampening'),
    weightDecay: nonNegative('SGD', 'weightDecay'),
    nesterov: flag('SGD', 'nesterov'),
    rateInVelocity: flag('SGD', 'rateInVelocity'),
  },
  together({ nesterov, momentum, dampening }) {
    if (nesterov && (momentum === 0 || dampening !== 0))
      throw new RangeError('SGD: nesterov needs momentum > 0 and dampening 0');
  },
};

/** Gradient descent with momentum, in PyTorch's form. Robbins & Monro 1951, Polyak 1964, Nesterov 1983. */
export class SGD extends Optimizer<SGDOptions> {
  constructor(parameters: ParameterList<SGDOptions>, options?: SGDOptions) {
    super(parameters, options, DEFINITION);
  }

  protected rule(t: number, rate: number, options: Required<SGDOptions>): Update {
    const { momentum, dampening, weightDecay: decay, nesterov, rateInVelocity } = options;
    if (momentum === 0) return { spec: OPTIMIZERS.sgd, numbers: { rate, decay } };
    const damping = t === 1 ? 1 : 1 - dampening;
    return {
      spec: rateInVelocity ? OPTIMIZERS.sgdVelocity : OPTIMIZERS.sgdMomentum,
      numbers: { rate, decay, momentum, damping, nesterov: nesterov ? 1 : 0 },
    };
  }
}
