// Tensors inside arrays and plain objects: what compiled functions take and return.
import { TapegradError } from './errors.js';
import { isTensor, shapeOf, type Tensor } from './tensor.js';

const MAX_DEPTH = 32;
/** Arrays that hold each other many times over would take for ever. */
const MAX_ENTRIES = 100_000;

function tooDeep(): TapegradError {
  return new TapegradError(
    'TG_TRACE',
    `compile: arguments and results may be nested ${MAX_DEPTH} deep and have ${MAX_ENTRIES} entries (is there a cycle?)`,
  );
}

/** The entries of an array, whose length is looked at once: it may be hostile. */
function entriesOf(list: readonly unknown[]): unknown[] {
  const { length } = list;
  if (length > MAX_ENTRIES) throw tooDeep();
  return Array.from({ length }, (_, i) => list[i]);
}

/** @internal The same structure with each tensor replaced; other values stay, unless `other` replaces them. */
export function mapTensors(
  value: unknown,
  fn: (t: Tensor) => unknown,
  other: (value: unknown) => unknown = (v) => v,
  depth = 0,
  seen = { entries: 0 },
): unknown {
  if (++seen.entries > MAX_ENTRIES || depth > MAX_DEPTH) throw tooDeep();
  if (isTensor(value)) return fn(value);
  if (Array.isArray(value))
    return entriesOf(value).map((v) => mapTensors(v, fn, other, depth + 1, seen));
  if (!isPlain(value)) return other(value);
  return Object.fromEntries(
    Object.entries(value).map(([name, v]) => [name, mapTensors(v, fn, other, depth + 1, seen)]),
  );
}

const identities = new WeakMap<object, number>();
let objects = 0;

/** @internal Text that is the same for structures that differ in their tensors' elements only. */
export function outline(value: unknown): string {
  if (isTensor(value))
    return `${value.dtype}[${shapeOf(value).join()}]${value.requiresGrad ? 'g' : ''}`;
  if (Array.isArray(value)) return `[${entriesOf(value).map(outline).join()}]`;
  if (isPlain(value))
    return `{${Object.entries(value)
      .map(([name, v]) => `${JSON.stringify(name)}:${outline(v)}`)
      .join()}}`;
  if (typeof value === 'string') return JSON.stringify(value);
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null)
    return String(value);
  let identity = identities.get(value);
  if (identity === undefined) identities.set(value, (identity = ++objects));
  return `#${identity}`;
}

/** @internal The tensors of a structure, in order. */
export function tensorsIn(value: unknown): Tensor[] {
  const found: Tensor[] = [];
  mapTensors(value, (t) => {
    found.push(t);
    return t;
  });
  return found;
}

/** @internal Whether it is an object of the literal kind. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
