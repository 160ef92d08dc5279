// What all optimizers share: groups of parameters, step counts, one fused native call for each group's
// step. Which rule is run is said by subclasses; state.ts knows the state as plain data.
import { backward, clearGradient } from '../backward.js';
import { stateLike } from '../create.js';
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { native } from '../native.js';
import { copyFrom } from '../ops.js';
import { outside, recording, stepNumber } from '../recording.js';
import { enableGrad, noGrad } from '../tape.js';
import { checkTensor, handleOf, isTensor, keep, tidy, type Tensor } from '../tensor.js';
import { checkGradient, checkIterable, checkParameter } from './checks.js';
import { makeGroup, type ParameterGroup } from './group.js';
import {
  checkRate,
  settle,
  type CommonOptions,
  type Definition,
  type GroupOptions,
  type LearningRate,
  type ParameterList,
} from './options.js';
import { project, shrink } from './projection.js';
import { RecordedCounts, type Counts } from './recorded.js';
import type { Update } from './rule.js';
import { checkState, exportState, importState, type OptimizerState } from './state.js';

/** Parameters of a group that are at the same step t. */
interface Batch<O extends CommonOptions> {
  readonly group: ParameterGroup<O>;
  readonly t: number;
  readonly rate: number;
  readonly parameters: Tensor[];
}

/** Base class: subclasses name a rule of native/schema/optimizers.h and its numbers for a step. */
export abstract class Optimizer<O extends CommonOptions = CommonOptions> {
  private readonly counts: Counts = { taken: 0, states: new Map() };
  private readonly groupList: ParameterGroup<O>[] = [];
  private readonly definition: Definition<O>;
  private readonly defaults: Required<O>;
  /** While a step is being recorded: the counts before, and what a run will add to them. */
  private recorded: RecordedCounts | null = null;
  /** Whether each parameter is updated in a call of its own, for the rule's numbers depend on it. */
  protected readonly separate: boolean = false;

  /**
   * @param parameters - leaves with requiresGrad, usually `model.parameters()`, or groups: a list of
   * `{ parameters, learningRate, weightDecay, … }`, each with the options in which it differs
   * @throws TypeError for anything else, RangeError for an empty list or a tensor given twice
   */
  constructor(parameters: ParameterList<O>, options: O | undefined, definition: Definition<O>) {
    if (new.target === Optimizer)
      throw new TypeError('Optimizer: a base class; use SGD, Adam or AdamW');
    const op = new.target.name;
    const items = checkIterable(op, parameters);
    this.definition = definition;
    this.defaults = settle(op, definition, options);
    const list = new Set<Tensor>();
    let grouped: boolean | undefined;
    for (const item of items) {
      grouped ??= !isTensor(item) && typeof item === 'object' && item !== null;
      if (grouped) this.addParameterGroup(item as GroupOptions<O>);
      else this.collect(list, item);
    }
    if (!grouped) this.addGroup(list, this.defaults);
  }

  /**
   * Another group of parameters, with the options in which it differs from the optimizer's.
   * @throws as the constructor; nothing is added then
   */
  addParameterGroup(group: GroupOptions<O>): void {
    const op = this.name;
    if (typeof group !== 'object' || group === null || !('parameters' in group))
      throw wrongType(op, 'a group', 'an object { parameters, … }', group);
    const { parameters, ...own } = group;
    const options = settle(op, this.definition, own, this.defaults);
    const list = new Set<Tensor>();
    for (const p of checkIterable(op, parameters)) this.collect(list, p);
    this.addGroup(list, options);
  }

  private addGroup(list: ReadonlySet<Tensor>, options: Required<O>): void {
    if (list.size === 0) throw new RangeError(`${this.name}: the list of parameters is empty`);
    this.groupList.push(makeGroup(this.name, [...list], options));
  }

  /** Checks one by one, for a list may go on for ever. */
  private collect(list: Set<Tensor>, value: unknown): void {
    const t = checkParameter(this.name, list.size, value);
    this.acceptParameter(t);
    if (list.has(t) || this.groupList.some((g) => g.parameters.includes(t)))
      throw new RangeError(`${this.name}: a parameter is in the list twice`);
    list.add(t);
  }

  /** The parameters it updates, group after group. */
  get parameters(): readonly Tensor[] {
    return this.groupList.length === 1
      ? this.groupList[0]!.parameters
      : this.groupList.flatMap((g) => g.parameters);
  }
  /** The groups of parameters; one, if none were named. */
  get groups(): readonly ParameterGroup<O>[] {
    return this.groupList.slice();
  }
  /** The step size of the next step: that of the first group. Setting it sets that of every group. */
  get learningRate(): number {
    return this.rateOf(this.groupList[0]!);
  }
  set learningRate(rate: LearningRate) {
    const checked = checkRate(this.name, rate);
    for (const group of this.groupList) group.learningRate = checked;
  }
  /** Steps taken so far. */
  get steps(): number {
    return this.counts.taken;
  }
  protected get name(): string {
    return this.constructor.name;
  }

  private rateOf(group: ParameterGroup<O>, step = this.counts.taken): number {
    const rate = group.learningRate;
    return typeof rate === 'number'
      ? rate
      : checkNumber(this.name, 'learningRate(step)', rate(step), { min: 0 });
  }

  /** The rule, and its numbers for step t = 1, 2, …; `p` is the parameter of a `separate` update. */
  protected abstract rule(t: number, rate: number, options: Required<O>, p: Tensor): Update;
  /** What a fresh state array holds; zeros unless told. */
  protected initialState(_index: number, _options: Required<O>): number {
    return 0;
  }
  /** A fresh state array. */
  protected makeState(p: Tensor, index: number, options: Required<O>): Tensor {
    const t = keep(stateLike(p));
    const value = this.initialState(index, options);
    if (value !== 0) {
      const start = noGrad(() => t.add(value));
      t.copyFrom(start);
      start.dispose();
    }
    return t;
  }
  protected stateCount(p: Tensor, options: Required<O>): number {
    return this.rule(1, 0, options, p).spec.states;
  }
  /** The diagonal metric in which projections and proximal steps measure; null: Euclid's. */
  protected metric(_states: readonly Tensor[], _options: Required<O>): Tensor | null {
    return null;
  }
  /** η of the proximal step at step t. */
  protected proximalRate(_t: number, rate: number, _options: Required<O>): number {
    return rate;
  }
  /** Refuses parameters that a subclass cannot handle. */
  protected acceptParameter(_p: Tensor): void {}

  /**
   * Updates every parameter that has a gradient, in one native call for each group; nothing is written unless
   * all fits. (One call for each number of steps, should some parameters have missed steps for want of a gradient.)
   * @throws TapegradError if a parameter was disposed of, RangeError if a gradient does not fit its
   * parameter or the learning rate is no finite number ≥ 0
   */
  step(): void {
    recording()?.join(this, () => {
      this.recorded = new RecordedCounts(this.counts);
      return this.recorded.counter(
        () => this.learningRate,
        () => (this.recorded = null),
      );
    });
    // The program writes to these state arrays; loadStateDict makes others, dispose frees them.
    const { states } = this.counts;
    recording()?.watch(this, () => this.counts.states === states && states.size > 0);
    const batches: Batch<O>[] = [];
    for (const group of this.groupList) {
      const rate = this.rateOf(group);
      const due = new Map<number, Batch<O>>();
      for (const p of group.parameters) {
        recording()?.usesGradient(p);
        if (!p.grad) continue;
        checkGradient(this.name, p, p.grad);
        const t = (this.counts.states.get(p)?.t ?? 0) + 1;
        const same = this.separate ? undefined : due.get(t);
        if (same) {
          same.parameters.push(p);
        } else {
          const batch = { group, t, rate, parameters: [p] };
          due.set(t, batch);
          batches.push(batch);
        }
      }
    }
    for (const { group, parameters } of batches)
      for (const p of parameters) this.stateOf(p, group.options);
    for (const batch of batches) {
      this.recordNumbers(batch);
      this.update(batch.t, batch.rate, batch.parameters, batch.group.options);
      const { projection, proximal } = batch.group.options;
      for (const p of batch.parameters) {
        this.counts.states.get(p)!.t = batch.t;
        ++(p.base ?? p).version;
        recording()?.written.add(p.base ?? p);
        if (projection || proximal) this.constrain(p, batch);
      }
    }
    ++this.counts.taken;
  }

  /** Tells a recording how the numbers of an update follow from the counts of later steps. */
  private recordNumbers(batch: Batch<O>): void {
    const to = recording();
    if (!to || !this.recorded) return;
    const { group, parameters } = batch;
    const [first] = parameters as [Tensor];
    const later = this.later(batch);
    const arrays = parameters.map((p) => this.counts.states.get(p)?.tensors);
    to.guards.push(() =>
      parameters.every(
        (p, i) =>
          this.stepsOf(p) === this.stepsOf(first) &&
          this.counts.states.get(p)?.tensors === arrays[i],
      ),
    );
    to.numbers.push((ahead) => {
      const { t, rate } = later(ahead);
      const { spec, numbers } = this.rule(t, rate, group.options, first);
      return spec.numbers.map((name) => numbers[name]!);
    });
  }

  /** How the count and the step size of an update follow from the counts of later steps. */
  private later({
    group,
    t,
    parameters,
  }: Batch<O>): (ahead: number) => { t: number; rate: number } {
    const later = this.recorded!.later(t, parameters[0]!);
    return (ahead) => {
      const next = later(ahead);
      return { t: next.t, rate: this.rateOf(group, next.step) };
    };
  }

  /** Writes the parameters and their states. */
  protected update(
    t: number,
    rate: number,
    parameters: readonly Tensor[],
    options: Required<O>,
  ): void {
    const { spec, numbers } = this.rule(t, rate, options, parameters[0]!);
    const handles: number[] = [];
    for (const p of parameters) {
      handles.push(handleOf(p), handleOf(p.grad!));
      for (const s of this.stateOf(p, options)) handles.push(handleOf(s));
    }
    // Filled in loops: Float64Array.from is several times slower, and this is each step of each model.
    const list = new Float64Array(handles.length);
    for (let i = 0; i < handles.length; ++i) list[i] = handles[i]!;
    const given = new Float64Array(spec.numbers.length);
    for (let i = 0; i < given.length; ++i) given[i] = numbers[spec.numbers[i]!]!;
    native.optimize(spec.code, list, given, parameters);
  }

  private constrain(p: Tensor, batch: Batch<O>): void {
    const { group, t, rate } = batch;
    const { projection, proximal } = group.options as Required<CommonOptions>;
    noGrad(() =>
      tidy(() => {
        const h = this.metric(this.counts.states.get(p)!.tensors, group.options);
        if (proximal) {
          const thresholdAt = (step: number, size: number): number =>
            this.proximalRate(step, size, group.options) * proximal.l1;
          const later = this.recorded && this.later(batch);
          const threshold = stepNumber(
            p.dtype as 'float32' | 'float64',
            thresholdAt(t, rate),
            (k) => {
              const next = later!(k);
              return thresholdAt(next.t, next.rate);
            },
          );
          copyFrom(p, shrink(p, threshold, h));
        }
        if (projection) copyFrom(p, project(p, projection, h));
      }),
    );
  }

  /** Forgets the gradients and frees their memory. */
  zeroGrad(): void {
    for (const p of this.parameters) clearGradient(p);
  }

  /** zeroGrad, backward and step in one. A function that computes the loss is called for it. */
  minimize(loss: Tensor | (() => Tensor)): void {
    this.zeroGrad();
    if (typeof loss === 'function') this.evaluate(loss);
    else backward(loss);
    this.step();
  }

  /** Adds the gradients of a loss, and frees what computing it made. */
  protected evaluate(loss: () => Tensor): void {
    tidy(() => {
      backward(checkTensor(this.name, 'the loss', enableGrad(loss)));
    });
  }

  /**
   * Everything that the next steps depend on, besides the parameters: copies of the state arrays by name
   * ("3.0": the first array of parameter 3), and numbers that survive JSON. Learning rates that are functions
   * and anything that was never set stay out.
   * @example
   * const { tensors, numbers } = optimizer.stateDict();
   * io.saveSafetensors('adam.safetensors', tensors, { metadata: { adam: JSON.stringify(numbers) } });
   */
  stateDict(): OptimizerState {
    return exportState(this.name, this.counts.taken, this.groupList, this.counts.states);
  }

  /**
   * Continues where another optimizer of this kind, over as many parameters of the same shapes in the same
   * groups, was when its stateDict was taken: the steps that follow have the same bits. Options are loaded too.
   * All is checked, and memory is taken, before anything is changed.
   * @throws TapegradError TG_STATE listing all that does not fit
   */
  loadStateDict(state: OptimizerState): this {
    const op = `${this.name}.loadStateDict`;
    if (typeof state !== 'object' || state === null)
      throw wrongType(op, 'state', 'what stateDict() returned', state);
    checkKeys(op, state, ['tensors', 'numbers']);
    const sizes = this.groupList.map((g) => g.parameters.length);
    const { tensors, numbers } = checkState(op, this.name, state, sizes);
    const groups = this.groupList.map(({ parameters, learningRate }, i) =>
      makeGroup(
        op,
        parameters,
        settle(op, this.definition, { learningRate, ...numbers.groups[i]!.options }),
      ),
    );
    const fresh = importState(op, groups, tensors, numbers.parameterSteps, (p, options) =>
      this.freshState(p, options),
    );
    this.dispose();
    this.counts.states = fresh;
    this.counts.taken = numbers.steps;
    this.groupList.splice(0, this.groupList.length, ...groups);
    return this;
  }

  /** Frees the state arrays. */
  dispose(): void {
    for (const { tensors } of this.counts.states.values()) for (const t of tensors) t.dispose();
    this.counts.states.clear();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal The state arrays of a parameter, made at its first step. */
  protected stateOf(p: Tensor, options: Required<O>): readonly Tensor[] {
    let state = this.counts.states.get(p);
    if (!state) {
      state = { t: 0, tensors: outside(() => this.freshState(p, options)) };
      this.counts.states.set(p, state);
    }
    return state.tensors;
  }
  /** All state arrays of a parameter, or none if memory runs short. */
  private freshState(p: Tensor, options: Required<O>): Tensor[] {
    const tensors: Tensor[] = [];
    try {
      const count = this.stateCount(p, options);
      for (let k = 0; k < count; ++k) tensors.push(this.makeState(p, k, options));
    } catch (error) {
      for (const t of tensors) t.dispose();
      throw error;
    }
    return tensors;
  }
  /** Steps in which a parameter was updated. */
  protected stepsOf(p: Tensor): number {
    return this.counts.states.get(p)?.t ?? 0;
  }
}
