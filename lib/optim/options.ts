// The options of optimizers: their common part, and how they are checked. Knows no rule and writes no tensor.
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import type { Tensor } from '../tensor.js';
import { checkProjection, checkProximal, type Projection, type Proximal } from './projection.js';

/** A step size: a number, or a function of the number of steps taken so far (0 at the first). */
export type LearningRate = number | ((step: number) => number);

/** What every optimizer, and every group of parameters, can be told. */
export interface CommonOptions {
  learningRate?: LearningRate;
  /** Each parameter is projected onto this set after each step (projected gradient descent). */
  projection?: Projection | null;
  /** The proximal step of a penalty follows each step (proximal gradient descent), before the projection. */
  proximal?: Proximal | null;
}

/** Parameters with options of their own; what is not given is as for the whole optimizer. */
export type GroupOptions<O> = O & { parameters: Iterable<Tensor> };

/** `model.parameters()`, or a list of groups. */
export type ParameterList<O> = Iterable<Tensor> | Iterable<GroupOptions<O>>;

/** What a kind of optimizer says of its options; learningRate is among the defaults. */
export interface Definition<O extends CommonOptions> {
  readonly defaults: Omit<Required<O>, 'projection' | 'proximal'>;
  readonly check: { readonly [K in keyof O]?: (value: unknown) => void };
  /** Refuses options that do not go together. */
  readonly together?: (options: Required<O>) => void;
}

/** @internal A learning rate, checked; what a function returns is checked when it is called. */
export function checkRate(op: string, rate: unknown): LearningRate {
  if (typeof rate === 'function') return rate as LearningRate;
  return checkNumber(op, 'learningRate', rate, { min: 0 });
}

/** @internal Fills in defaults and refuses unknown names and values out of range. */
export function settle<O extends CommonOptions>(
  op: string,
  definition: Definition<O>,
  given: unknown,
  base?: Required<O>,
): Required<O> {
  const defaults = base ?? { ...definition.defaults, projection: null, proximal: null };
  const options = checkKeys(op, given, Object.keys(defaults));
  const result: Record<string, unknown> = {};
  for (const [name, usual] of Object.entries(defaults)) {
    const value = options[name];
    result[name] = value === undefined ? usual : value;
    definition.check[name as keyof O]?.(result[name]);
  }
  result['learningRate'] = checkRate(op, result['learningRate']);
  result['projection'] = checkProjection(op, result['projection']);
  result['proximal'] = checkProximal(op, result['proximal']);
  const settled = result as unknown as Required<O>;
  definition.together?.(settled);
  return Object.freeze(settled);
}

export const nonNegative =
  (op: string, name: string) =>
  (value: unknown): void => {
    checkNumber(op, name, value, { min: 0 });
  };
export const positive =
  (op: string, name: string) =>
  (value: unknown): void => {
    checkNumber(op, name, value, { above: 0 });
  };
export const fraction =
  (op: string, name: string) =>
  (value: unknown): void => {
    checkNumber(op, name, value, { min: 0, below: 1 });
  };
export const flag =
  (op: string, name: string) =>
  (value: unknown): void => {
    if (typeof value !== 'boolean') throw wrongType(op, name, 'a boolean', value);
  };
export const betas =
  (op: string) =>
  (value: unknown): void => {
    if (!Array.isArray(value) || value.length !== 2)
      throw wrongType(op, 'betas', 'a pair of numbers', value);
    value.forEach((b, i) => checkNumber(op, `betas[${i}]`, b, { min: 0, below: 1 }));
  };
