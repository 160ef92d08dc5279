// Early stopping: watches a number of the reports, remembers the best weights, says when to stop. Runs nothing.
import { TapegradError, checkKeys, checkNumber, wrongType } from '../errors.js';
import type { Module, StateDict } from '../nn/module.js';
import { copyFrom } from '../ops.js';
import { noGrad } from '../tape.js';
import { keep, type Tensor } from '../tensor.js';
import type { FitReport } from './options.js';

export interface EarlyStoppingOptions {
  /** Epochs without improvement after which training ends: 5 unless told. */
  patience?: number;
  /** By how much a value must be better than the best to count as an improvement: 0 unless told. */
  minDelta?: number;
  /**
   * Which number of a report: 'loss', 'validation.loss', 'validation.accuracy' or 'validation.' with the name of a
   * metric. The loss of validation unless told, or if there is none, of training.
   */
  monitor?: string;
  /** Whether it should fall or rise; 'max' for the accuracy, else 'min' unless told. */
  mode?: 'min' | 'max';
  /** Whether the model has the weights of its best epoch in the end, the optimizer's state being left; true unless told. */
  restoreBest?: boolean;
}

/** @internal JSON can hold it, but for an infinite best. */
export interface EarlyStoppingState {
  readonly best: number;
  readonly bestEpoch: number;
  readonly badEpochs: number;
}

/** @internal A number of a report. @throws TapegradError TG_STATE if there is no such number */
export function monitored(report: FitReport, monitor: string): number {
  let value: unknown = report;
  for (const name of monitor.split('.'))
    value =
      typeof value === 'object' && value !== null
        ? (value as Record<string, unknown>)[name]
        : undefined;
  if (typeof value === 'number') return value;
  const own = Object.keys(report.validation ?? {}).map((name) => `validation.${name}`);
  throw new TapegradError(
    'TG_STATE',
    `fit: there is no ${monitor} to monitor; there are ${['loss', ...own].join(', ')}`,
  );
}

/** @internal */
export class EarlyStopping {
  readonly monitor: string;
  readonly #patience: number;
  readonly #minDelta: number;
  readonly #sign: 1 | -1;
  readonly #restoreBest: boolean;
  #state: EarlyStoppingState;
  #weights: StateDict | null = null;

  /** @throws TypeError, RangeError */
  constructor(
    readonly model: Module,
    options: unknown,
    validated: boolean,
  ) {
    const given = checkKeys('fit', options, [
      'patience',
      'minDelta',
      'monitor',
      'mode',
      'restoreBest',
    ]) as Record<keyof EarlyStoppingOptions, unknown>;
    const { patience = 5, minDelta = 0, restoreBest = true } = given;
    const { monitor = defaultMonitor(validated) } = given;
    if (typeof monitor !== 'string')
      throw wrongType(
        'fit',
        'earlyStopping.monitor',
        "a string such as 'validation.loss'",
        monitor,
      );
    if (monitor !== 'loss' && !(validated && monitor.startsWith('validation.')))
      throw new RangeError(
        `fit: earlyStopping.monitor ${JSON.stringify(monitor)} names nothing in a report${validated ? ": 'loss' or 'validation.…'" : ' without validation'}`,
      );
    const { mode = monitor === 'validation.accuracy' ? 'max' : 'min' } = given;
    if (mode !== 'min' && mode !== 'max')
      throw wrongType('fit', 'earlyStopping.mode', "'min' or 'max'", mode);
    if (typeof restoreBest !== 'boolean')
      throw wrongType('fit', 'earlyStopping.restoreBest', 'a boolean', restoreBest);
    this.monitor = monitor;
    this.#patience = checkNumber('fit', 'earlyStopping.patience', patience, {
      min: 1,
      integer: true,
    });
    this.#minDelta = checkNumber('fit', 'earlyStopping.minDelta', minDelta, { min: 0 });
    this.#sign = mode === 'min' ? -1 : 1;
    this.#restoreBest = restoreBest;
    this.#state = { best: -this.#sign * Infinity, bestEpoch: 0, badEpochs: 0 };
  }

  get state(): EarlyStoppingState {
    return this.#state;
  }
  /** Whether patience is at its end. */
  get stopped(): boolean {
    return this.#state.badEpochs >= this.#patience;
  }
  /** The best weights so far, for a checkpoint. */
  get weights(): Readonly<Record<string, Tensor>> {
    return this.#weights ?? {};
  }

  /** Takes notice of an epoch. NaN is no improvement. */
  update(report: FitReport): void {
    const value = monitored(report, this.monitor);
    const { best, badEpochs } = this.#state;
    if (this.#sign * (value - best) > this.#minDelta) {
      this.#state = { best: value, bestEpoch: report.epoch, badEpochs: 0 };
      if (this.#restoreBest) this.#remember();
    } else {
      this.#state = { ...this.#state, badEpochs: badEpochs + 1 };
    }
  }

  #remember(): void {
    if (!this.#weights) {
      this.#weights = this.model.stateDict();
      for (const t of Object.values(this.#weights)) keep(t);
      return;
    }
    const own = [...this.model.namedParameters(), ...this.model.namedBuffers()];
    for (const [name, t] of own) copyFrom(this.#weights[name]!, t);
  }

  /** Goes on from a checkpoint; the weights are copied. */
  load(state: EarlyStoppingState, weights: Readonly<Record<string, Tensor>>): void {
    this.#state = state;
    if (!this.#restoreBest || Object.keys(weights).length === 0) return;
    this.#weights = Object.fromEntries(
      Object.entries(weights).map(([name, t]) => [name, keep(noGrad(() => t.clone()))]),
    );
  }

  /** Gives the model its best weights back. */
  restore(): void {
    if (this.#weights) this.model.loadStateDict(this.#weights);
  }
  dispose(): void {
    for (const t of Object.values(this.#weights ?? {})) t.dispose();
    this.#weights = null;
  }
}

/** @internal */
export const defaultMonitor = (validated: boolean): string =>
  validated ? 'validation.loss' : 'loss';
