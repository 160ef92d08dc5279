// Step sizes that adapt to the history of each parameter's gradient: Adagrad, RMSprop, Adadelta.
import { add, sqrt } from '../ops.gen.js';
import { OPTIMIZERS } from '../schema.gen.js';
import type { Tensor } from '../tensor.js';
import { Optimizer } from './optimizer.js';
import {
  flag,
  fraction,
  nonNegative,
  type CommonOptions,
  type Definition,
  type ParameterList,
} from './options.js';
import type { Update } from './rule.js';

export interface AdagradOptions extends CommonOptions {
  /** η at step t is learningRate / (1 + (t - 1) learningRateDecay). */
  learningRateDecay?: number;
  weightDecay?: number;
  /** What the sums of squares start at. */
  initialAccumulator?: number;
  eps?: number;
}

const ADAGRAD: Definition<AdagradOptions> = {
  defaults: {
    learningRate: 1e-2,
    learningRateDecay: 0,
    weightDecay: 0,
    initialAccumulator: 0,
    eps: 1e-10,
  },
  check: {
    learningRateDecay: nonNegative('Adagrad', 'learningRateDecay'),
    weightDecay: nonNegative('Adagrad', 'weightDecay'),
    initialAccumulator: nonNegative('Adagrad', 'initialAccumulator'),
    eps: nonNegative('Adagrad', 'eps'),
  },
};

/**
 * r ← r + g², w ← w - ηg / (√r + ε). Duchi, Hazan & Singer 2011. Projections and proximal steps measure in its
 * own metric √r + ε (their section 1.1).
 */
export class Adagrad extends Optimizer<AdagradOptions> {
  constructor(parameters: ParameterList<AdagradOptions>, options?: AdagradOptions) {
    super(parameters, options, ADAGRAD);
  }

  protected rule(t: number, learningRate: number, options: Required<AdagradOptions>): Update {
    const { weightDecay: decay, eps } = options;
    const rate = this.proximalRate(t, learningRate, options);
    return { spec: OPTIMIZERS.adagrad, numbers: { rate, decay, eps } };
  }

  protected override initialState(_index: number, options: Required<AdagradOptions>): number {
    return options.initialAccumulator;
  }
  protected override metric(
    [sums]: readonly Tensor[],
    { eps }: Required<AdagradOptions>,
  ): Tensor | null {
    return add(sqrt(sums!), eps);
  }
  protected override proximalRate(
    t: number,
    rate: number,
    { learningRateDecay }: Required<AdagradOptions>,
  ): number {
    return rate / (1 + (t - 1) * learningRateDecay);
  }
}

export interface RMSpropOptions extends CommonOptions {
  /** ρ, the decay rate of the average of g². */
  decay?: number;
  eps?: number;
  /** Add ε inside the root, as in Goodfellow et al. 2016, instead of outside. */
  epsInside?: boolean;
  weightDecay?: number;
  /** Divide by an estimate of the deviation instead of the root mean square. Graves 2013. */
  centered?: boolean;
  /** μ in v ← μv + g / (√r + ε), w ← w - ηv. */
  momentum?: number;
}

const RMSPROP: Definition<RMSpropOptions> = {
  defaults: {
    learningRate: 1e-2,
    decay: 0.99,
    eps: 1e-8,
    epsInside: false,
    weightDecay: 0,
    centered: false,
    momentum: 0,
  },
  check: {
    decay: fraction('RMSprop', 'decay'),
    eps: nonNegative('RMSprop', 'eps'),
    epsInside: flag('RMSprop', 'epsInside'),
    weightDecay: nonNegative('RMSprop', 'weightDecay'),
    centered: flag('RMSprop', 'centered'),
    momentum: nonNegative('RMSprop', 'momentum'),
  },
};

/** r ← ρr + (1 - ρ)g², w ← w - ηg / (√r + ε). Tieleman & Hinton 2012. */
export class RMSprop extends Optimizer<RMSpropOptions> {
  constructor(parameters: ParameterList<RMSpropOptions>, options?: RMSpropOptions) {
    super(parameters, options, RMSPROP);
  }

  protected rule(_t: number, rate: number, options: Required<RMSpropOptions>): Update {
    const { decay: keep, eps, epsInside, weightDecay: decay, centered, momentum } = options;
    const numbers = {
      rate,
      decay,
      keep,
      take: 1 - keep,
      inside: epsInside ? eps : 0,
      eps: epsInside ? 0 : eps,
    };
    if (momentum === 0)
      return { spec: centered ? OPTIMIZERS.rmspropCentered : OPTIMIZERS.rmsprop, numbers };
    return {
      spec: centered ? OPTIMIZERS.rmspropCenteredMomentum : OPTIMIZERS.rmspropMomentum,
      numbers: { momentum, ...numbers },
    };
  }
}

export interface AdadeltaOptions extends CommonOptions {
  /** ρ, the decay rate of both averages. */
  rho?: number;
  eps?: number;
  weightDecay?: number;
}

const ADADELTA: Definition<AdadeltaOptions> = {
  defaults: { learningRate: 1, rho: 0.9, eps: 1e-6, weightDecay: 0 },
  check: {
    rho: fraction('Adadelta', 'rho'),
    eps: nonNegative('Adadelta', 'eps'),
    weightDecay: nonNegative('Adadelta', 'weightDecay'),
  },
};

/** Steps in the unit of the parameter: the ratio of two running root mean squares. Zeiler 2012. */
export class Adadelta extends Optimizer<AdadeltaOptions> {
  constructor(parameters: ParameterList<AdadeltaOptions>, options?: AdadeltaOptions) {
    super(parameters, options, ADADELTA);
  }

  protected rule(_t: number, rate: number, options: Required<AdadeltaOptions>): Update {
    const { rho: keep, eps, weightDecay: decay } = options;
    return { spec: OPTIMIZERS.adadelta, numbers: { rate, decay, keep, take: 1 - keep, eps } };
  }
}
