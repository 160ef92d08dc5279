// The state of an optimizer as plain data, and what is checked before it is believed. Writes nothing.
import { TapegradError, checkKeys, checkNumber, wrongType } from '../errors.js';
import type { Tensor } from '../tensor.js';

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
