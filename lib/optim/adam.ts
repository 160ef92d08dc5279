// Adam and its family.
import { OPTIMIZERS } from '../schema.gen.js';
import { Optimizer } from './optimizer.js';
import {
  betas,
  flag,
  nonNegative,
  type CommonOptions,
  type Definition,
  type ParameterList,
} from './options.js';
import type { Update } from './rule.js';

export interface AdamOptions extends CommonOptions {
  /** Decay rates of the averages of g and g². */
  betas?: readonly [number, number];
  /** Added to the root of the average of g². */
  eps?: number;
  weightDecay?: number;
}
export interface AmsgradOptions extends AdamOptions {
  /** Divide by the largest average of g² so far. Reddi et al. 2018. */
  amsgrad?: boolean;
}
export interface NadamOptions extends AdamOptions {
  /** ψ in μₜ = β₁ (1 - ½ · 0.96^(tψ)). */
  momentumDecay?: number;
}

/** What the members of the family share; each adds options of its own. */
function definition<O extends AdamOptions>(
  name: string,
  own: Omit<Required<O>, keyof AdamOptions>,
  check: Definition<O>['check'],
  usual: Partial<AdamOptions> = {},
): Definition<O> {
  return {
    defaults: {
      learningRate: 1e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      ...usual,
      ...own,
    } as unknown as Definition<O>['defaults'],
    check: {
      betas: betas(name),
      eps: nonNegative(name, 'eps'),
      weightDecay: nonNegative(name, 'weightDecay'),
      ...check,
    },
  };
}

abstract class AdamFamily<O extends AdamOptions> extends Optimizer<O> {
  /**
   * The averages' rates, by the names that the native rules use. To be spread last: V8 takes microseconds for properties
   * that follow a spread.
   */
  protected averages(options: Required<AdamOptions>): {
    keep1: number;
    keep2: number;
    take1: number;
    take2: number;
    eps: number;
  } {
    const {
      betas: [keep1, keep2],
      eps,
    } = options;
    return { keep1, keep2, take1: 1 - keep1, take2: 1 - keep2, eps };
  }

  protected adam(
    t: number,
    learningRate: number,
    options: Required<AmsgradOptions>,
    decay: number,
    shrink: number,
  ): Update {
    const [beta1, beta2] = options.betas;
    return {
      spec: options.amsgrad ? OPTIMIZERS.amsgrad : OPTIMIZERS.adam,
      numbers: {
        rate: learningRate / (1 - beta1 ** t),
        decay,
        shrink,
        correction2: 1 / Math.sqrt(1 - beta2 ** t),
        ...this.averages(options),
      },
    };
  }
}

const AMSGRAD = { amsgrad: false };
const ADAM = definition<AmsgradOptions>('Adam', AMSGRAD, { amsgrad: flag('Adam', 'amsgrad') });
const ADAMW = definition<AmsgradOptions>(
  'AdamW',
  AMSGRAD,
  { amsgrad: flag('AdamW', 'amsgrad') },
  { weightDecay: 1e-2 },
);
const ADAMAX = definition<AdamOptions>('Adamax', {}, {}, { learningRate: 2e-3 });
const NADAM = definition<NadamOptions>(
  'Nadam',
  { momentumDecay: 4e-3 },
  { momentumDecay: nonNegative('Nadam', 'momentumDecay') },
  { learningRate: 2e-3 },
);
const RADAM = definition<AdamOptions>('RAdam', {}, {});

/** Averages of g and g² with bias correction; weightDecay is L2. Kingma & Ba 2015. */
export class Adam extends AdamFamily<AmsgradOptions> {
  constructor(parameters: ParameterList<AmsgradOptions>, options?: AmsgradOptions) {
    super(parameters, options, ADAM);
  }
  protected rule(t: number, learningRate: number, options: Required<AmsgradOptions>): Update {
    return this.adam(t, learningRate, options, options.weightDecay, 1);
  }
}

/** Adam with weight decay decoupled from the gradient: w ← w - η · weightDecay · w. Loshchilov & Hutter 2019. */
export class AdamW extends AdamFamily<AmsgradOptions> {
  constructor(parameters: ParameterList<AmsgradOptions>, options?: AmsgradOptions) {
    super(parameters, options, ADAMW);
  }
  protected rule(t: number, learningRate: number, options: Required<AmsgradOptions>): Update {
    return this.adam(t, learningRate, options, 0, 1 - learningRate * options.weightDecay);
  }
}

/** Adam with the largest |g|, decaying, in place of the root mean square. Kingma & Ba 2015, section 7. */
export class Adamax extends AdamFamily<AdamOptions> {
  constructor(parameters: ParameterList<AdamOptions>, options?: AdamOptions) {
    super(parameters, options, ADAMAX);
  }
  protected rule(t: number, learningRate: number, options: Required<AdamOptions>): Update {
    const rate = learningRate / (1 - options.betas[0] ** t);
    return {
      spec: OPTIMIZERS.adamax,
      numbers: { rate, decay: options.weightDecay, ...this.averages(options) },
    };
  }
}

/** Adam with Nesterov's look-ahead. Dozat 2016. */
export class Nadam extends AdamFamily<NadamOptions> {
  /** Π μ up to a step, for the options of each group; grows with the steps taken. */
  private readonly products = new WeakMap<object, { t: number; value: number }>();

  constructor(parameters: ParameterList<NadamOptions>, options?: NadamOptions) {
    super(parameters, options, NADAM);
  }
  private momentum(t: number, { betas: [beta1], momentumDecay }: Required<NadamOptions>): number {
    return beta1 * (1 - 0.5 * 0.96 ** (t * momentumDecay));
  }
  protected rule(t: number, learningRate: number, options: Required<NadamOptions>): Update {
    let known = this.products.get(options);
    if (!known || known.t > t) known = { t: 0, value: 1 };
    for (; known.t < t; ++known.t) known.value *= this.momentum(known.t + 1, options);
    this.products.set(options, known);
    const product = known.value;
    const [mu, next] = [this.momentum(t, options), this.momentum(t + 1, options)];
    return {
      spec: OPTIMIZERS.nadam,
      numbers: {
        look: (learningRate * (1 - mu)) / (1 - product),
        // Dozat's form is 1 - Π μ up to t + 1; PyTorch's counts μₜ twice, and it is the reference here.
        rate: (learningRate * next) / (1 - product * mu * next),
        decay: options.weightDecay,
        correction2: 1 / Math.sqrt(1 - options.betas[1] ** t),
        ...this.averages(options),
      },
    };
  }
}

/** Adam whose adaptive part waits until its variance can be estimated. Liu et al. 2020. */
export class RAdam extends AdamFamily<AdamOptions> {
  constructor(parameters: ParameterList<AdamOptions>, options?: AdamOptions) {
    super(parameters, options, RADAM);
  }
  protected rule(t: number, learningRate: number, options: Required<AdamOptions>): Update {
    const [beta1, beta2] = options.betas;
    const longest = 2 / (1 - beta2) - 1;
    const length = longest - (2 * t * beta2 ** t) / (1 - beta2 ** t);
    const rectified = length > 5;
    const rectification = rectified
      ? Math.sqrt(
          ((length - 4) * (length - 2) * longest) / ((longest - 4) * (longest - 2) * length),
        )
      : 1;
    return {
      spec: OPTIMIZERS.radam,
      numbers: {
        rate:
          (learningRate / (1 - beta1 ** t)) *
          rectification *
          (rectified ? Math.sqrt(1 - beta2 ** t) : 1),
        decay: options.weightDecay,
        rectified: rectified ? 1 : 0,
        ...this.averages(options),
      },
    };
  }
}
