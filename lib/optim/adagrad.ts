// Step sizes that adapt to the history of each parameter's gradient: Adagrad, RMSprop, Adadelta.
import { OPTIMIZERS } from '../schema.gen.js';
import type { Tensor } from '../tensor.js';
import {
  Optimizer,
  checkOptions,
  flag,
  fraction,
  nonNegative,
  type LearningRate,
} from './optimizer.js';
import type { Update } from './rule.js';

export interface AdagradOptions {
  learningRate?: LearningRate;
  /** η at step t is learningRate / (1 + (t - 1) learningRateDecay). */
  learningRateDecay?: number;
  weightDecay?: number;
  /** What the sums of squares start at. */
  initialAccumulator?: number;
  eps?: number;
}

/** r ← r + g², w ← w - ηg / (√r + ε). Duchi et al. 2011. */
export class Adagrad extends Optimizer {
  private readonly options: Required<AdagradOptions>;

  constructor(parameters: Iterable<Tensor>, options?: AdagradOptions) {
    const checked = checkOptions<Required<AdagradOptions>>(
      'Adagrad',
      options,
      {
        learningRate: 1e-2,
        learningRateDecay: 0,
        weightDecay: 0,
        initialAccumulator: 0,
        eps: 1e-10,
      },
      {
        learningRateDecay: nonNegative('Adagrad', 'learningRateDecay'),
        weightDecay: nonNegative('Adagrad', 'weightDecay'),
        initialAccumulator: nonNegative('Adagrad', 'initialAccumulator'),
        eps: nonNegative('Adagrad', 'eps'),
      },
    );
    super(parameters, checked.learningRate);
    this.options = checked;
  }

  protected rule(t: number, learningRate: number): Update {
    const { learningRateDecay, weightDecay: decay, eps } = this.options;
    return {
      spec: OPTIMIZERS.adagrad,
      numbers: { rate: learningRate / (1 + (t - 1) * learningRateDecay), decay, eps },
    };
  }

  protected override initialState(): number {
    return this.options.initialAccumulator;
  }
}

export interface RMSpropOptions {
  learningRate?: LearningRate;
  /** ρ, the decay rate of the average of g². */
  decay?: number;
  eps?: number;
  /** Add ε inside the root, as in Goodfellow et al. 2016, instead of outside. */
  epsInside?: boolean;
  weightDecay?: number;
  /** Divide by an estimate of the deviation instead of the root mean square. Graves 2013. */
  centered?: boolean;
}

/** r ← ρr + (1 - ρ)g², w ← w - ηg / (√r + ε). Tieleman & Hinton 2012. */
export class RMSprop extends Optimizer {
  private readonly options: Required<RMSpropOptions>;

  constructor(parameters: Iterable<Tensor>, options?: RMSpropOptions) {
    const checked = checkOptions<Required<RMSpropOptions>>(
      'RMSprop',
      options,
      {
        learningRate: 1e-2,
        decay: 0.99,
        eps: 1e-8,
        epsInside: false,
        weightDecay: 0,
        centered: false,
      },
      {
        decay: fraction('RMSprop', 'decay'),
        eps: nonNegative('RMSprop', 'eps'),
        epsInside: flag('RMSprop', 'epsInside'),
        weightDecay: nonNegative('RMSprop', 'weightDecay'),
        centered: flag('RMSprop', 'centered'),
      },
    );
    super(parameters, checked.learningRate);
    this.options = checked;
  }

  protected rule(_t: number, rate: number): Update {
    const { decay: keep, eps, epsInside, weightDecay: decay, centered } = this.options;
    return {
      spec: centered ? OPTIMIZERS.rmspropCentered : OPTIMIZERS.rmsprop,
      numbers: {
        rate,
        decay,
        keep,
        take: 1 - keep,
        inside: epsInside ? eps : 0,
        eps: epsInside ? 0 : eps,
      },
    };
  }
}

export interface AdadeltaOptions {
  learningRate?: LearningRate;
  /** ρ, the decay rate of both averages. */
  rho?: number;
  eps?: number;
  weightDecay?: number;
}

/** Steps in the unit of the parameter: the ratio of two running root mean squares. Zeiler 2012. */
export class Adadelta extends Optimizer {
  private readonly options: Required<AdadeltaOptions>;

  constructor(parameters: Iterable<Tensor>, options?: AdadeltaOptions) {
    const checked = checkOptions<Required<AdadeltaOptions>>(
      'Adadelta',
      options,
      { learningRate: 1, rho: 0.9, eps: 1e-6, weightDecay: 0 },
      {
        rho: fraction('Adadelta', 'rho'),
        eps: nonNegative('Adadelta', 'eps'),
        weightDecay: nonNegative('Adadelta', 'weightDecay'),
      },
    );
    super(parameters, checked.learningRate);
    this.options = checked;
  }

  protected rule(_t: number, rate: number): Update {
    const { rho: keep, eps, weightDecay: decay } = this.options;
    return { spec: OPTIMIZERS.adadelta, numbers: { rate, decay, keep, take: 1 - keep, eps } };
  }
}
