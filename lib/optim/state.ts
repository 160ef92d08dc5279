// The state of an optimizer as plain data: how it is written, and what is checked before it is believed.
import { TapegradError, checkKeys, checkNumber, wrongType } from '../errors.js';
import { clone } from '../ops.gen.js';
import { copyFrom } from '../ops.js';
import { noGrad } from '../tape.js';
import { isTensor, shapeOf, type Tensor } from '../tensor.js';
import type { ParameterGroup, State } from './group.js';
import type { CommonOptions } from './options.js';

/** The numbers of a state: survive JSON.stringify and JSON.parse to the last bit. */
export interface OptimizerNumbers {
  /** The name of the class. */
  optimizer: string;
  steps: number;
  /** For each parameter, the steps in which it was updated. */
  parameterSteps: number[];
  /** For each group, the number of its parameters, and its options. */
  groups: { parameters: number; options: Record<string, unknown> }[];
}

/** What {@link Optimizer.stateDict} returns: tensors for a safetensors file, numbers for its metadata. */
export interface OptimizerState {
  tensors: Record<string, Tensor>;
  numbers: OptimizerNumbers;
}

/** @internal A checked copy; `sizes` are those of the optimizer's groups. */
export function checkState(
  op: string,
  name: string,
  state: OptimizerState,
  sizes: readonly number[],
): { tensors: Record<string, unknown>; numbers: OptimizerNumbers } {
  const { tensors, numbers } = state as { tensors: unknown; numbers: unknown };
  if (typeof tensors !== 'object' || tensors === null)
    throw wrongType(op, 'state.tensors', 'an object of tensors', tensors);
  if (typeof numbers !== 'object' || numbers === null)
    throw wrongType(op, 'state.numbers', 'an object', numbers);
  const known = ['optimizer', 'steps', 'parameterSteps', 'groups'];
  const { optimizer, steps, parameterSteps, groups } = checkKeys(op, numbers, known);
  const fail = (message: string): never => {
    throw new TapegradError('TG_STATE', `${op}: ${message}`);
  };
  if (optimizer !== name) fail(`the state is that of another optimizer, not ${name}`);
  checkNumber(op, 'steps', steps, { min: 0, integer: true });
  if (!Array.isArray(parameterSteps) || !Array.isArray(groups))
    throw wrongType(op, 'parameterSteps and groups', 'arrays', numbers);
  const count = sizes.reduce((a, b) => a + b, 0);
  if (parameterSteps.length !== count)
    fail(`there are ${count} parameters, but the state is that of ${parameterSteps.length}`);
  parameterSteps.forEach((t, i) =>
    checkNumber(op, `parameterSteps[${i}]`, t, { min: 0, integer: true }),
  );
  if (groups.length !== sizes.length)
    fail(`there are ${sizes.length} groups, but the state has ${groups.length}`);
  const settled = groups.map((group: unknown, i) => {
    const { parameters, options } = checkKeys(op, group, ['parameters', 'options']);
    if (parameters !== sizes[i])
      fail(`group ${i} has ${sizes[i]} parameters, but another number in the state`);
    if (typeof options !== 'object' || options === null)
      throw wrongType(op, `groups[${i}].options`, 'an object', options);
    return { parameters: sizes[i]!, options: { ...options } };
  });
  return {
    tensors: { ...tensors },
    numbers: {
      optimizer: name,
      steps: steps as number,
      parameterSteps: (parameterSteps as number[]).slice(),
      groups: settled,
    },
  };
}

/** @internal What stateDict returns, of the optimizer of this name after so many steps. */
export function exportState<O extends CommonOptions>(
  name: string,
  steps: number,
  groups: readonly ParameterGroup<O>[],
  states: ReadonlyMap<Tensor, State>,
): OptimizerState {
  const all = groups.flatMap((g) => g.parameters);
  const tensors: Record<string, Tensor> = {};
  noGrad(() => {
    all.forEach((p, i) => {
      const state = states.get(p);
      if (!state || state.t === 0) return; // recorded, but no step was made: as good as new
      state.tensors.forEach((t, k) => {
        tensors[`${i}.${k}`] = clone(t);
      });
    });
  });
  return {
    tensors,
    numbers: {
      optimizer: name,
      steps,
      parameterSteps: all.map((p) => states.get(p)?.t ?? 0),
      groups: groups.map(({ parameters, options, learningRate }) => {
        const { learningRate: _, ...rest } = options as Required<CommonOptions>;
        const rate = typeof learningRate === 'number' ? { learningRate } : {};
        return { parameters: parameters.length, options: { ...rest, ...rate } };
      }),
    },
  };
}

/**
 * @internal Copies of a state's arrays for the parameters of `groups`; `fresh` makes a parameter's empty ones.
 * @throws TapegradError TG_STATE listing all that does not fit; nothing is left behind then
 */
export function importState<O extends CommonOptions>(
  op: string,
  groups: readonly ParameterGroup<O>[],
  tensors: Readonly<Record<string, unknown>>,
  steps: readonly number[],
  fresh: (p: Tensor, options: Required<O>) => readonly Tensor[],
): Map<Tensor, State> {
  const states = new Map<Tensor, State>();
  const problems: string[] = [];
  const known = new Set<string>();
  const load = (target: Tensor, name: string): void => {
    known.add(name);
    const source = tensors[name];
    const wanted = `${target.dtype} [${shapeOf(target).join(', ')}]`;
    if (!isTensor(source) || source.isDisposed) problems.push(`${name} must be a live Tensor`);
    else if (`${source.dtype} [${shapeOf(source).join(', ')}]` !== wanted)
      problems.push(`${name} must be ${wanted}`);
    else copyFrom(target, source);
  };
  try {
    let i = 0;
    for (const { parameters, options } of groups)
      for (const p of parameters) {
        const t = steps[i]!;
        if (t > 0) {
          const state = { t, tensors: fresh(p, options) };
          states.set(p, state);
          for (const [k, target] of state.tensors.entries()) load(target, `${i}.${k}`);
        }
        ++i;
      }
    for (const name of Object.keys(tensors))
      if (!known.has(name)) problems.push(`${name} is not part of the state`);
    if (problems.length > 0) throw new TapegradError('TG_STATE', `${op}: ${problems.join('; ')}`);
  } catch (error) {
    for (const { tensors: made } of states.values()) for (const t of made) t.dispose();
    throw error;
  }
  return states;
}
