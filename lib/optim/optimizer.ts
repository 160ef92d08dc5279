// What all optimizers share: parameters, the step count, and one fused native call for each step.
import { backward } from '../backward.js';
import { stateLike } from '../create.js';
import { TapegradError, checkKeys, checkNumber, wrongType } from '../errors.js';
import { native } from '../native.js';
import { noGrad } from '../tape.js';
import { checkTensor, handleOf, isDoomed, keep, shapeOf, type Tensor } from '../tensor.js';
import type { Update } from './rule.js';

/** A step size: a number, or a function of the number of steps taken so far (0 at the first). */
export type LearningRate = number | ((step: number) => number);

export interface OptimizerOptions {
  learningRate?: LearningRate;
}

/** What an optimizer remembers of a parameter. */
interface State {
  /** Steps in which it was updated. */
  t: number;
  readonly tensors: readonly Tensor[];
}

/** Base class: subclasses name a rule of native/schema/optimizers.h and its numbers for a step. */
export abstract class Optimizer {
  private taken = 0;
  private readonly parameterList: readonly Tensor[];
  private readonly states = new Map<Tensor, State>();
  private rate: LearningRate;

  /**
   * @param parameters - leaves with requiresGrad, usually `model.parameters()`
   * @throws TypeError for anything else, RangeError for an empty list or a tensor given twice
   */
  constructor(parameters: Iterable<Tensor>, learningRate: LearningRate) {
    if (new.target === Optimizer)
      throw new TypeError('Optimizer: a base class; use SGD, Adam or AdamW');
    const op = new.target.name;
    if (typeof parameters !== 'object' || parameters === null || !(Symbol.iterator in parameters))
      throw wrongType(
        op,
        'parameters',
        'an iterable of Tensors, such as model.parameters()',
        parameters,
      );
    const list: Tensor[] = [];
    for (const p of parameters as Iterable<unknown>) {
      const i = list.length;
      const t = checkTensor(op, `parameter ${i}`, p);
      if (!t.requiresGrad)
        throw new TypeError(
          `${op}: parameter ${i} of shape [${shapeOf(t).join(', ')}] has no requiresGrad`,
        );
      if (t.node)
        throw new TypeError(
          `${op}: parameter ${i} is an intermediate result; only leaves can be optimized`,
        );
      list.push(t);
    }
    if (list.length === 0) throw new RangeError(`${op}: the list of parameters is empty`);
    if (new Set(list).size !== list.length)
      throw new RangeError(`${op}: a parameter is in the list twice`);
    this.parameterList = list;
    this.rate = checkRate(op, learningRate);
  }

  /** The parameters it updates. */
  get parameters(): readonly Tensor[] {
    return this.parameterList;
  }
  /** The step size of the next step. */
  get learningRate(): number {
    return typeof this.rate === 'number'
      ? this.rate
      : checkNumber(this.name, 'learningRate(step)', this.rate(this.taken), { min: 0 });
  }
  set learningRate(rate: LearningRate) {
    this.rate = checkRate(this.name, rate);
  }
  /** Steps taken so far. */
  get steps(): number {
    return this.taken;
  }
  protected get name(): string {
    return this.constructor.name;
  }

  /** The rule, and the numbers for step t = 1, 2, … in the order of the rule's names. */
  protected abstract rule(t: number, learningRate: number): Update;
  /** What a fresh state array holds; zeros unless told. */
  protected initialState(_index: number): number {
    return 0;
  }

  /**
   * Updates every parameter that has a gradient in one native call; nothing is written unless all fits.
   * (One call for each number of steps, should some parameters have missed steps for want of a gradient.)
   * @throws TapegradError if a parameter was disposed of, RangeError if a gradient does not fit its
   * parameter or the learning rate is no finite number ≥ 0
   */
  step(): void {
    const rate = this.learningRate;
    const due = new Map<number, Tensor[]>();
    for (const p of this.parameterList) {
      if (!p.grad) continue;
      this.checkGradient(p, p.grad);
      const t = (this.states.get(p)?.t ?? 0) + 1;
      const same = due.get(t);
      if (same) same.push(p);
      else due.set(t, [p]);
    }
    for (const [t, parameters] of due) this.update(t, rate, parameters);
    ++this.taken;
  }

  private update(t: number, rate: number, parameters: readonly Tensor[]): void {
    const { spec, numbers } = this.rule(t, rate);
    const handles: number[] = [];
    for (const p of parameters) {
      handles.push(handleOf(p), handleOf(p.grad!));
      for (const s of this.stateOf(p, spec.states).tensors) handles.push(handleOf(s));
    }
    // Filled in loops: Float64Array.from is several times slower, and this is each step of each model.
    const list = new Float64Array(handles.length);
    for (let i = 0; i < handles.length; ++i) list[i] = handles[i]!;
    const given = new Float64Array(spec.numbers.length);
    for (let i = 0; i < given.length; ++i) given[i] = numbers[spec.numbers[i]!]!;
    native.optimize(spec.code, list, given, parameters);
    for (const p of parameters) {
      this.states.get(p)!.t = t;
      ++(p.base ?? p).version;
    }
  }

  private checkGradient(p: Tensor, grad: Tensor): void {
    const shape = shapeOf(p);
    if (isDoomed(p))
      throw new TapegradError(
        'TG_DISPOSED',
        `${this.name}: a parameter of shape [${shape.join(', ')}] was disposed of`,
      );
    const given = shapeOf(checkTensor(this.name, 'grad', grad));
    if (
      grad.dtype !== p.dtype ||
      given.length !== shape.length ||
      given.some((d, i) => d !== shape[i])
    )
      throw new RangeError(
        `${this.name}: the gradient ${grad.dtype} [${given.join(', ')}] does not fit the parameter ${p.dtype} [${shape.join(', ')}]`,
      );
  }

  /** Forgets the gradients and frees their memory. */
  zeroGrad(): void {
    for (const p of this.parameterList) {
      p.grad?.dispose();
      p.grad = null;
    }
  }

  /** zeroGrad, backward and step in one. */
  minimize(loss: Tensor): void {
    this.zeroGrad();
    backward(loss);
    this.step();
  }

  /** Frees the state arrays. */
  dispose(): void {
    for (const { tensors } of this.states.values()) for (const t of tensors) t.dispose();
    this.states.clear();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  private stateOf(p: Tensor, count: number): State {
    let state = this.states.get(p);
    if (!state) {
      const tensors = Array.from({ length: count }, (_, i) => {
        const t = keep(stateLike(p));
        const value = this.initialState(i);
        if (value !== 0) {
          const start = noGrad(() => t.add(value));
          t.copyFrom(start);
          start.dispose();
        }
        return t;
      });
      state = { t: 0, tensors };
      this.states.set(p, state);
    }
    return state;
  }
}

function checkRate(op: string, rate: unknown): LearningRate {
  if (typeof rate === 'function') return rate as LearningRate;
  return checkNumber(op, 'learningRate', rate, { min: 0 });
}

/** @internal Fills in defaults and refuses unknown names and numbers out of range. */
export function checkOptions<T extends object>(
  op: string,
  options: unknown,
  defaults: T,
  check: { [K in keyof T]?: (value: unknown) => void },
): T {
  const given = checkKeys(op, options, Object.keys(defaults));
  const result = { ...defaults };
  for (const name of Object.keys(defaults) as (keyof T)[]) {
    const value = (given as Partial<T>)[name];
    if (value !== undefined) result[name] = value;
    check[name]?.(result[name]);
  }
  return result;
}
export const nonNegative =
  (op: string, name: string) =>
  (value: unknown): void => {
    checkNumber(op, name, value, { min: 0 });
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
