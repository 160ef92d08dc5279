// Applies ops for derivative rules: as apply, but an op on numbers alone is computed at once.
import { apply } from './apply.js';
import type { OpSpec } from './schema.gen.js';
import { isTensor, type Operand } from './tensor.js';

const ON_NUMBERS: Readonly<Record<string, (...n: number[]) => number>> = {
  neg: (x) => -x,
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y) => x / y,
  equal: (x, y) => Number(x === y),
  notEqual: (x, y) => Number(x !== y),
  less: (x, y) => Number(x < y),
  lessEqual: (x, y) => Number(x <= y),
  greater: (x, y) => Number(x > y),
  greaterEqual: (x, y) => Number(x >= y),
  log: (x) => Math.log(x),
  sign: (x) => Math.sign(x),
};

/** @internal */
export function compose(op: OpSpec, operands: readonly Operand[]): Operand {
  if (op.name === 'where' && typeof operands[0] === 'number') return operands[operands[0] ? 1 : 2]!;
  if (operands.some(isTensor))
    return apply(op, operands, op.attrs.length ? op.attrs.map((a) => Number(a.default)) : null);
  const onNumbers = ON_NUMBERS[op.name];
  if (!onNumbers) throw new Error(`compose: ${op.name} on numbers alone`);
  return onNumbers(...(operands as number[]));
}
