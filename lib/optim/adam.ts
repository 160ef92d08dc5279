// Adam and its family.
import { OPTIMIZERS } from '../schema.gen.js';
import type { Tensor } from '../tensor.js';
import {
  Optimizer,
  betas,
  checkOptions,
  flag,
  nonNegative,
  type LearningRate,
} from './optimizer.js';
import type { Update } from './rule.js';

export interface AdamOptions {
  learningRate?: LearningRate;
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

type Checked = Required<AmsgradOptions & NadamOptions>;

abstract class AdamFamily extends Optimizer {
  protected readonly options: Checked;

  protected constructor(
    name: string,
    parameters: Iterable<Tensor>,
    options: AdamOptions | undefined,
    defaults: Partial<Checked>,
  ) {
    const checked = checkOptions(
      name,
      options,
      {
        learningRate: 1e-3,
        betas: [0.9, 0.999],
        eps: 1e-8,
        weightDecay: 0,
        ...defaults,
      } as Checked,
      {
        betas: betas(name),
        eps: nonNegative(name, 'eps'),
        weightDecay: nonNegative(name, 'weightDecay'),
        ...('amsgrad' in defaults && { amsgrad: flag(name, 'amsgrad') }),
        ...('momentumDecay' in defaults && { momentumDecay: nonNegative(name, 'momentumDecay') }),
      },
    );
    super(parameters, checked.learningRate);
    this.options = checked;
  }

  /** The averages' rates, by the names that the native rules use. */
  protected averages(): {
    keep1: number;
    keep2: number;
    take1: number;
    take2: number;
    eps: number;
  } {
    const {
      betas: [keep1, keep2],
      eps,
    } = this.options;
    return { keep1, keep2, take1: 1 - keep1, take2: 1 - keep2, eps };
  }

  protected adam(t: number, learningRate: number, decay: number, shrink: number): Update {
    const [beta1, beta2] = this.options.betas;
    return {
      spec: this.options.amsgrad ? OPTIMIZERS.amsgrad : OPTIMIZERS.adam,
      numbers: {
        ...this.averages(),
        rate: learningRate / (1 - beta1 ** t),
        decay,
        shrink,
        correction2: 1 / Math.sqrt(1 - beta2 ** t),
      },
    };
  }
}

/** Averages of g and g² with bias correction; weightDecay is L2. Kingma & Ba 2015. */
export class Adam extends AdamFamily {
  constructor(parameters: Iterable<Tensor>, options?: AmsgradOptions) {
    super('Adam', parameters, options, { amsgrad: false });
  }
  protected rule(t: number, learningRate: number): Update {
    return this.adam(t, learningRate, this.options.weightDecay, 1);
  }
}

/** Adam with weight decay decoupled from the gradient: w ← w - η · weightDecay · w. Loshchilov & Hutter 2019. */
export class AdamW extends AdamFamily {
  constructor(parameters: Iterable<Tensor>, options?: AmsgradOptions) {
    super('AdamW', parameters, options, { amsgrad: false, weightDecay: 1e-2 });
  }
  protected rule(t: number, learningRate: number): Update {
    return this.adam(t, learningRate, 0, 1 - learningRate * this.options.weightDecay);
  }
}

/** Adam with the largest |g|, decaying, in place of the root mean square. Kingma & Ba 2015, section 7. */
export class Adamax extends AdamFamily {
  constructor(parameters: Iterable<Tensor>, options?: AdamOptions) {
    super('Adamax', parameters, options, { learningRate: 2e-3 });
  }
  protected rule(t: number, learningRate: number): Update {
    const rate = learningRate / (1 - this.options.betas[0] ** t);
    return {
      spec: OPTIMIZERS.adamax,
      numbers: { ...this.averages(), rate, decay: this.options.weightDecay },
    };
  }
}

/** Adam with Nesterov's look-ahead. Dozat 2016. */
export class Nadam extends AdamFamily {
  /** Π μ up to a step; grows with the steps taken. */
  private product = { t: 0, value: 1 };

  constructor(parameters: Iterable<Tensor>, options?: NadamOptions) {
    super('Nadam', parameters, options, { learningRate: 2e-3, momentumDecay: 4e-3 });
  }
  private momentum(t: number): number {
    return this.options.betas[0] * (1 - 0.5 * 0.96 ** (t * this.options.momentumDecay));
  }
  protected rule(t: number, learningRate: number): Update {
    if (this.product.t > t) this.product = { t: 0, value: 1 };
    while (this.product.t < t)
      this.product = {
        t: this.product.t + 1,
        value: this.product.value * this.momentum(this.product.t + 1),
      };
    const product = this.product.value;
    const [mu, next] = [this.momentum(t), this.momentum(t + 1)];
    return {
      spec: OPTIMIZERS.nadam,
      numbers: {
        ...this.averages(),
        look: (learningRate * (1 - mu)) / (1 - product),
        // Dozat's form is 1 - Π μ up to t + 1; PyTorch's counts μₜ twice, and it is the reference here.
        rate: (learningRate * next) / (1 - product * mu * next),
        decay: this.options.weightDecay,
        correction2: 1 / Math.sqrt(1 - this.options.betas[1] ** t),
      },
    };
  }
}

/** Adam whose adaptive part waits until its variance can be estimated. Liu et al. 2020. */
export class RAdam extends AdamFamily {
  constructor(parameters: Iterable<Tensor>, options?: AdamOptions) {
    super('RAdam', parameters, options, {});
  }
  protected rule(t: number, learningRate: number): Update {
    const [beta1, beta2] = this.options.betas;
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
        ...this.averages(),
        rate:
          (learningRate / (1 - beta1 ** t)) *
          rectification *
          (rectified ? Math.sqrt(1 - beta2 ** t) : 1),
        decay: this.options.weightDecay,
        rectified: rectified ? 1 : 0,
      },
    };
  }
}
