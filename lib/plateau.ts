// Plateau reduction: the step size that watches a metric instead of the step. The others are in schedules.ts.
import { checkNumbers, wrongType } from './errors.js';

const COUNT = { min: 0, integer: true };

export interface PlateauOptions {
  /** The rate to start with. */
  base: number;
  /** Whether the metric should fall ('min', default) or rise. */
  mode?: 'min' | 'max';
  /** What the rate is multiplied by, in (0, 1): 0.1. */
  factor?: number;
  /** Reports without improvement that are endured: 10. */
  patience?: number;
  /** How much better counts as an improvement: 1e-4. */
  threshold?: number;
  /** Better by a share of the best value ('relative', default) or by an amount. */
  thresholdMode?: 'relative' | 'absolute';
  /** Reports after a cut during which no bad one is counted: 0. */
  cooldown?: number;
  /** The rate never falls below it: 0. */
  minimum?: number;
  /** A cut smaller than this is not made: 1e-8. */
  eps?: number;
}

/** What a {@link ReduceOnPlateau} remembers; plain JSON but for best = ±Infinity before the first report. */
export interface PlateauState {
  readonly learningRate: number;
  readonly best: number;
  readonly badReports: number;
  readonly cooldownLeft: number;
}

const oneOf = <T extends string>(name: string, value: unknown, known: readonly [T, T]): T => {
  if (value === undefined) return known[0];
  if (!known.includes(value as T))
    throw wrongType('ReduceOnPlateau', name, known.map((k) => `'${k}'`).join(' or '), value);
  return value as T;
};

/**
 * Cuts the learning rate when a metric, such as the validation loss, no longer improves. PyTorch's
 * ReduceLROnPlateau. Not a function of the step: give its `schedule` to the optimizer and report the metric.
 *
 * ```ts
 * const plateau = new schedules.ReduceOnPlateau({ base: 0.1, patience: 5 });
 * const optimizer = new optim.SGD(parameters, { learningRate: plateau.schedule });
 * plateau.report(validationLoss); // after each epoch
 * ```
 */
export class ReduceOnPlateau {
  private readonly options: Record<
    'factor' | 'patience' | 'threshold' | 'cooldown' | 'minimum' | 'eps',
    number
  >;
  private readonly mode: 'min' | 'max';
  private readonly relative: boolean;
  private state: PlateauState;

  /** @throws TypeError, RangeError for options out of range */
  constructor(options: PlateauOptions) {
    const { base, ...rest } = checkNumbers(
      'ReduceOnPlateau',
      options,
      {
        base: { min: 0 },
        factor: { above: 0, below: 1, fallback: 0.1 },
        patience: { min: 0, integer: true, fallback: 10 },
        threshold: { min: 0, fallback: 1e-4 },
        cooldown: { min: 0, integer: true, fallback: 0 },
        minimum: { min: 0, fallback: 0 },
        eps: { min: 0, fallback: 1e-8 },
      },
      ['mode', 'thresholdMode'],
    );
    this.options = rest;
    this.mode = oneOf('mode', options.mode, ['min', 'max']);
    this.relative =
      oneOf('thresholdMode', options.thresholdMode, ['relative', 'absolute']) === 'relative';
    const best = this.mode === 'min' ? Infinity : -Infinity;
    this.state = { learningRate: base, best, badReports: 0, cooldownLeft: 0 };
  }

  /** The rate now. */
  get learningRate(): number {
    return this.state.learningRate;
  }

  /** For an optimizer's `learningRate`: the rate now, whatever the step. */
  readonly schedule: () => number = () => this.learningRate;

  /**
   * Takes notice of the metric, and cuts the rate after more than `patience` reports without improvement.
   * @param metric - NaN is no improvement
   * @returns the rate from now on
   * @throws TypeError if the metric is no number
   */
  report(metric: number): number {
    if (typeof metric !== 'number')
      throw wrongType('ReduceOnPlateau.report', 'metric', 'a number', metric);
    let { learningRate, best, badReports, cooldownLeft } = this.state;
    if (this.improves(metric, best)) {
      best = metric;
      badReports = 0;
    } else {
      ++badReports;
    }
    if (cooldownLeft > 0) {
      --cooldownLeft;
      badReports = 0;
    }
    const { factor, patience, cooldown, minimum, eps } = this.options;
    if (badReports > patience) {
      const reduced = Math.max(learningRate * factor, minimum);
      if (learningRate - reduced > eps) learningRate = reduced;
      cooldownLeft = cooldown;
      badReports = 0;
    }
    this.state = { learningRate, best, badReports, cooldownLeft };
    return learningRate;
  }

  private improves(metric: number, best: number): boolean {
    const { threshold } = this.options;
    const sign = this.mode === 'min' ? -1 : 1;
    const bound = this.relative ? best * (1 + sign * threshold) : best + sign * threshold;
    return sign * metric > sign * bound;
  }

  /** What it remembers, for a checkpoint. */
  stateDict(): PlateauState {
    return { ...this.state };
  }

  /** @throws TypeError, RangeError unless it is a stateDict; nothing is changed then */
  loadStateDict(state: PlateauState): void {
    const op = 'ReduceOnPlateau.loadStateDict';
    const { learningRate, badReports, cooldownLeft } = checkNumbers(
      op,
      state,
      { learningRate: { min: 0 }, badReports: COUNT, cooldownLeft: COUNT },
      ['best'],
    );
    const best: unknown = state.best;
    if (typeof best !== 'number' || Number.isNaN(best))
      throw wrongType(op, 'best', 'a number', best);
    this.state = { learningRate, best, badReports, cooldownLeft };
  }
}

/** The same as `new ReduceOnPlateau(options)`. */
export const reduceOnPlateau = (options: PlateauOptions): ReduceOnPlateau =>
  new ReduceOnPlateau(options);
