// Data in memory: one tensor, a tuple or a record of tensors whose first axes, the examples, are equal. No
// loader and no random numbers here.
import { tensor, tensorFor } from '../create.js';
import { wrongType } from '../errors.js';
import type { DataArray } from '../native.js';
import { indexSelect } from '../ops.gen.js';
import { noGrad } from '../tape.js';
import { checkTensor, isTensor, keep, shapeOf, type Tensor } from '../tensor.js';

/** A typed array; those of small integers become int32, as in {@link tensor}. */
export type Values = DataArray | Int8Array | Int16Array | Uint16Array | Uint8ClampedArray;
/** One column: its first axis runs over the examples. A typed array without a shape is 1-d. */
export type Column = Tensor | Values | { readonly data: Values; readonly shape: readonly number[] };
/** Columns of equal length: one alone, a tuple, or a record such as { x, y }. */
export type Table = Column | readonly Column[] | Readonly<Record<string, Column>>;

/** Tensors in the form of a table or an example. */
export type TensorsOf<T> = T extends Column | number | boolean
  ? Tensor
  : T extends readonly unknown[]
    ? { -readonly [K in keyof T]: Tensor }
    : { -readonly [K in keyof T]: Tensor };

/** How the tensors of a batch are handed out: one alone, as an array, or under their names. */
export type Form = 'single' | 'tuple' | readonly string[];

/** @internal Tensors in their form. */
export function assemble(form: Form, tensors: readonly Tensor[]): unknown {
  if (form === 'single') return tensors[0];
  if (form === 'tuple') return tensors;
  return Object.fromEntries(form.map((name, i) => [name, tensors[i]]));
}

/** @internal What a part is called in messages. */
export const nameOf = (form: Form, i: number): string =>
  form === 'single' ? 'the data' : form === 'tuple' ? `data[${i}]` : `data.${form[i]!}`;

/** @internal */
export interface TableTensors {
  readonly form: Form;
  readonly tensors: readonly Tensor[];
  /** Those that were made of typed arrays, for the reader to free. */
  readonly made: readonly Tensor[];
  /** Examples. */
  readonly length: number;
}

/** @internal */
export const isShaped = (value: unknown): value is { data: Values; shape: readonly number[] } =>
  typeof value === 'object' &&
  value !== null &&
  ArrayBuffer.isView((value as { data?: unknown }).data) &&
  Array.isArray((value as { shape?: unknown }).shape);

/** @internal */
export const isColumn = (value: unknown): value is Column =>
  isTensor(value) || ArrayBuffer.isView(value) || isShaped(value);

const EXPECTED = 'a Tensor, a typed array or { data: typed array, shape }';

function toTensor(op: string, name: string, value: unknown, made: Tensor[]): Tensor {
  if (isTensor(value)) return checkTensor(op, name, value);
  if (!isColumn(value)) throw wrongType(op, name, EXPECTED, value);
  const t = isShaped(value)
    ? tensorFor(op, name, value.data, { shape: value.shape })
    : tensorFor(op, name, value);
  made.push(keep(t)); // a surrounding tidy must not take it from the loader
  return t;
}

/** People pass arrays of examples, too; those are no table. */
const HINT = 'an array of examples goes in as { length, get: (i) => examples[i] }';
const MAX_COLUMNS = 256;

function formOf(op: string, value: Table): { form: Form; columns: readonly unknown[] } {
  if (isColumn(value)) return { form: 'single', columns: [value] };
  if (!Array.isArray(value)) {
    const entries = Object.entries(value);
    if (entries.length === 0) throw new TypeError(`${op}: data has no columns`);
    return { form: entries.map(([name]) => name), columns: entries.map(([, column]) => column) };
  }
  const list = value as readonly unknown[];
  const count = list.length;
  if (count === 0 || count > MAX_COLUMNS)
    throw new RangeError(
      `${op}: data must have 1 to ${MAX_COLUMNS} columns, got ${count}; ${HINT}`,
    );
  if (!isColumn(list[0])) throw wrongType(op, 'data[0]', `${EXPECTED} (${HINT})`, list[0]);
  return { form: 'tuple', columns: Array.from({ length: count }, (_, i) => list[i]) };
}

/**
 * @internal Reads a table.
 * @throws TypeError for what is no column; RangeError if the first axes differ or there are no examples
 */
export function readTable(op: string, value: unknown): TableTensors {
  if (typeof value !== 'object' || value === null)
    throw wrongType(op, 'data', `${EXPECTED}, or a tuple or record of them`, value);
  const { form, columns } = formOf(op, value as Table);
  const made: Tensor[] = [];
  try {
    const tensors = columns.map((c, i) => toTensor(op, nameOf(form, i), c, made));
    const lengths = tensors.map((t, i) => {
      if (shapeOf(t).length === 0)
        throw new RangeError(
          `${op}: ${nameOf(form, i)} is a scalar; its first axis must be examples`,
        );
      return shapeOf(t)[0]!;
    });
    const length = lengths[0]!;
    const other = lengths.findIndex((n) => n !== length);
    if (other > 0)
      throw new RangeError(
        `${op}: ${nameOf(form, 0)} has ${length} examples, but ${nameOf(form, other)} has ${lengths[other]!} ` +
          `(shapes ${tensors.map((t) => `[${t.shape.join(', ')}]`).join(', ')})`,
      );
    if (length === 0) throw new RangeError(`${op}: the data has no examples`);
    return { form, tensors, made, length };
  } catch (error) {
    for (const t of made) t.dispose();
    throw error;
  }
}

/** @internal The rows that an int32 index names, of each tensor; nothing is recorded. */
export function takeRows(tensors: readonly Tensor[], rows: Int32Array): Tensor[] {
  const index = tensor(rows, { device: tensors[0]!.device });
  try {
    return noGrad(() => tensors.map((t) => indexSelect(t, index)));
  } finally {
    index.dispose();
  }
}
