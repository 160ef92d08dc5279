// A group of an optimizer's parameters with its options, and what is remembered of a parameter.
import type { Tensor } from '../tensor.js';
import { checkRate, type CommonOptions, type LearningRate } from './options.js';

/** Some of an optimizer's parameters, and their options. */
export interface ParameterGroup<O extends CommonOptions = CommonOptions> {
  readonly parameters: readonly Tensor[];
  /** What the group was told, with the optimizer's own options for the rest. */
  readonly options: Readonly<Required<O>>;
  /** The step size of the next step; settable. */
  learningRate: LearningRate;
}

/** @internal What an optimizer remembers of a parameter. */
export interface State {
  /** Steps in which it was updated. */
  t: number;
  readonly tensors: readonly Tensor[];
}

/** @internal */
export function makeGroup<O extends CommonOptions>(
  op: string,
  parameters: readonly Tensor[],
  options: Required<O>,
): ParameterGroup<O> {
  let current = (options as Required<CommonOptions>).learningRate;
  return {
    parameters,
    options,
    get learningRate() {
      return current;
    },
    set learningRate(rate: LearningRate) {
      current = checkRate(op, rate);
    },
  };
}
