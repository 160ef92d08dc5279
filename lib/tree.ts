// Tensors inside arrays and plain objects: what compiled functions take and return.
import { TapegradError } from './errors.js';
import { isTensor, type Tensor } from './tensor.js';

const MAX_DEPTH = 32;

function tooDeep(): TapegradError {
  return new TapegradError(
    'TG_TRACE',
    `compile: arguments and results may be nested ${MAX_DEPTH} deep (is there a cycle?)`,
  );
}

/** @internal The same structure with each tensor replaced; other values stay. */
export function mapTensors(value: unknown, fn: (t: Tensor) => unknown, depth = 0): unknown {
  if (isTensor(value)) return fn(value);
  if (depth > MAX_DEPTH) throw tooDeep();
  if (Array.isArray(value)) return value.map((v) => mapTensors(v, fn, depth + 1));
  if (!isPlain(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, v]) => [name, mapTensors(v, fn, depth + 1)]),
  );
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
