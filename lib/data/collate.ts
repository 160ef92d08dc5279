// Examples become a batch: their parts are stacked along a new first axis. Reads no source.
import { tensorFor } from '../create.js';
import { wrongType } from '../errors.js';
import { stack } from '../ops.js';
import { noGrad } from '../tape.js';
import { checkTensor, isTensor, shapeOf, tidy, type Tensor } from '../tensor.js';
import { assemble, isShaped, nameOf, type Column, type Form } from './table.js';

/** A part of an example. In a tuple or a record nested arrays of numbers are parts, too. */
export type Part = number | boolean | Column;

/** The form of an example, from the first of a batch, and its parts. */
function partsOf(
  op: string,
  example: unknown,
  form: Form | null,
): { form: Form; parts: unknown[] } {
  const isOne =
    typeof example === 'number' ||
    typeof example === 'boolean' ||
    isTensor(example) ||
    ArrayBuffer.isView(example) ||
    isShaped(example);
  if (isOne) return { form: 'single', parts: [example] };
  if (Array.isArray(example)) return { form: 'tuple', parts: [...(example as unknown[])] };
  if (typeof example !== 'object' || example === null)
    throw wrongType(
      op,
      'an example',
      'a number, a typed array, a Tensor, { data, shape }, or a tuple or record of them',
      example,
    );
  const names = form === null || typeof form === 'string' ? Object.keys(example) : form;
  return { form: names, parts: names.map((name) => (example as Record<string, unknown>)[name]) };
}

const sameForm = (a: Form, b: Form): boolean =>
  typeof a === 'string' || typeof b === 'string' ? a === b : a.length === b.length;

function toTensor(op: string, name: string, part: unknown): Tensor {
  if (isTensor(part)) return checkTensor(op, name, part);
  if (isShaped(part)) return tensorFor(op, name, part.data, { shape: part.shape });
  if (part === undefined || typeof part === 'string')
    throw wrongType(op, name, 'a number, numbers, a typed array or a Tensor', part);
  return tensorFor(op, name, part);
}

function join(op: string, name: string, parts: readonly unknown[]): Tensor {
  // Labels and other scalars: no tensor for each.
  if (parts.every((p) => typeof p === 'number') || parts.every((p) => typeof p === 'boolean'))
    return tensorFor(op, name, parts);
  const tensors = parts.map((p) => toTensor(op, name, p));
  const first = shapeOf(tensors[0]!);
  for (const t of tensors) {
    const shape = shapeOf(t);
    if (shape.length !== first.length || shape.some((d, i) => d !== first[i]))
      throw new RangeError(
        `${op}: examples of one batch differ in shape: ${name} is [${first.join(', ')}] in one and [${shape.join(', ')}] in another; pad them, or pass your own collate`,
      );
  }
  return stack(tensors);
}

/**
 * @internal Stacks examples into a batch in their own form; outside the graph. Numbers become float32, booleans bool,
 * typed arrays and tensors keep their dtype.
 * @throws TypeError, RangeError if they differ in form or shape, or hold what is no number
 */
export function collate(op: string, examples: readonly unknown[]): unknown {
  const first = partsOf(op, examples[0], null);
  const { form } = first;
  const columns: unknown[][] = first.parts.map(() => []);
  for (const example of examples) {
    const { form: own, parts } = partsOf(op, example, form);
    if (!sameForm(own, form) || parts.length !== columns.length)
      throw new TypeError(`${op}: the examples of one batch differ in form`);
    parts.forEach((part, i) => columns[i]!.push(part));
  }
  return tidy(() =>
    noGrad(() =>
      assemble(
        form,
        columns.map((parts, i) => join(op, nameOf(form, i), parts)),
      ),
    ),
  );
}
