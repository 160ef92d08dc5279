// Lists of numbers that users pass beside the data: labels, weights, scores.
import { tensorFor } from '../create.js';
import { checkNumber, wrongType, type NumberRange } from '../errors.js';
import { checkTensor, isTensor, shapeOf, type Tensor } from '../tensor.js';
import type { Values } from './table.js';

/** Numbers, one per example. */
export type Numbers = Tensor | Values | readonly number[] | readonly boolean[];

/**
 * @internal Reads a 1-d list of numbers and checks each.
 * @param length - how many there must be, if that is known
 */
export function readNumbers(
  op: string,
  name: string,
  value: unknown,
  range: NumberRange,
  length?: number,
): Float64Array {
  if (!isTensor(value) && !Array.isArray(value) && !ArrayBuffer.isView(value))
    throw wrongType(op, name, 'a Tensor, a typed array or an array of numbers', value);
  const own = isTensor(value);
  const t = own
    ? checkTensor(op, name, value)
    : tensorFor(op, name, value, {
        device: 'cpu',
        ...(!ArrayBuffer.isView(value) && { dtype: 'float64' }),
      });
  const shape = shapeOf(t);
  const numbers = Float64Array.from(t.dataSync());
  if (!own) t.dispose();
  if (shape.length !== 1)
    throw new RangeError(`${op}: ${name} must be 1-d, got shape [${shape.join(', ')}]`);
  if (length !== undefined && numbers.length !== length)
    throw new RangeError(
      `${op}: ${name} must have one entry per example, ${length}, got ${numbers.length}`,
    );
  for (let i = 0; i < numbers.length; ++i) checkNumber(op, `${name}[${i}]`, numbers[i], range);
  return numbers;
}

/** @internal The examples of each class, in the order of the classes. */
export function classesOf(labels: Float64Array): { values: number[]; members: Int32Array[] } {
  const lists = new Map<number, number[]>();
  labels.forEach((label, i) => {
    const list = lists.get(label);
    if (list) list.push(i);
    else lists.set(label, [i]);
  });
  const values = [...lists.keys()].sort((a, b) => a - b);
  return { values, members: values.map((v) => Int32Array.from(lists.get(v)!)) };
}
