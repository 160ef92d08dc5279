// Making tensors from data and from rules.
import { execute, dtypeCode, generate, toDevice } from './apply.js';
import { checkDevice, deviceCode, type Device } from './device.js';
import { checkNumber, describe, wrongType } from './errors.js';
import { MAILBOX, native, type DataArray, type StoredArray } from './native.js';
import { OPS, type DType } from './schema.gen.js';
import { adopt, blank, checkTensor, handleOf, shapeOf, type Tensor } from './tensor.js';

export interface TensorOptions {
  /** float32 unless told, or the data's own type. */
  dtype?: DType;
  /** The default device unless told: see setDefaultDevice. */
  device?: Device;
  /** Whether backward passes compute a gradient for it. */
  requiresGrad?: boolean;
}

export type NestedNumbers = number | boolean | readonly NestedNumbers[];
export type TensorData =
  NestedNumbers | DataArray | Int8Array | Int16Array | Uint16Array | Uint8ClampedArray;

/** Options that were checked: the device is known. */
export type CheckedOptions = TensorOptions & { device: Device };

const KNOWN = new Set(['dtype', 'device', 'requiresGrad']);

/** @internal Checks creation options; `more` names those that one function adds. */
export function checkOptions(
  op: string,
  options: unknown,
  more: readonly string[] = [],
): CheckedOptions {
  if (options === undefined) return { device: checkDevice(op, undefined) };
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw wrongType(op, 'options', 'an object', options);
  for (const name of Object.keys(options))
    if (!KNOWN.has(name) && !more.includes(name))
      throw new TypeError(
        `${op}: unknown option ${JSON.stringify(name)}; known: ${[...KNOWN, ...more].join(', ')}`,
      );
  // A copy: getters run once, and before anything is made.
  const given: Record<string, unknown> = {};
  for (const name of [...KNOWN, ...more]) given[name] = (options as Record<string, unknown>)[name];
  if (given['requiresGrad'] !== undefined && typeof given['requiresGrad'] !== 'boolean')
    throw wrongType(op, 'requiresGrad', 'a boolean', given['requiresGrad']);
  return Object.assign(given, { device: checkDevice(op, given['device']) });
}

/** @internal Applies requiresGrad to a fresh tensor. */
export function finish(t: Tensor, options: TensorOptions): Tensor {
  if (options.requiresGrad !== undefined) t.requiresGrad = options.requiresGrad;
  return t;
}

const MAX_ELEMENTS = 2 ** 48; // native code's limit

/** @internal Checks a shape given by a user and returns it as numbers that native code takes. */
export function checkShape(op: string, shape: unknown): number[] {
  if (!Array.isArray(shape)) throw wrongType(op, 'shape', 'an array of sizes', shape);
  const ndim = shape.length;
  if (!(ndim <= 8))
    throw new RangeError(`${op}: shape has ${ndim} dimensions, at most 8 are possible`);
  const sizes: number[] = [];
  for (let i = 0; i < ndim; ++i)
    sizes.push(checkNumber(op, `shape[${i}]`, shape[i], { min: 0, integer: true }));
  if (sizes.reduce((n, d) => n * (d || 1), 1) > MAX_ELEMENTS)
    throw new RangeError(`${op}: shape [${sizes.join(', ')}] has too many elements`);
  return sizes;
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  bool: Uint8Array,
  bfloat16: Float64Array, // what it is rounded from
} as const;

function dtypeOfArray(data: ArrayBufferView): DType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Float64Array) return 'float64';
  if (
    data instanceof Int32Array ||
    data instanceof Uint8Array ||
    data instanceof Int8Array ||
    data instanceof Int16Array ||
    data instanceof Uint16Array ||
    data instanceof Uint8ClampedArray
  )
    return 'int32';
  throw new TypeError(
    `tensor: ${Object.prototype.toString.call(data).slice(8, -1)} data cannot be stored exactly; convert it first`,
  );
}

/** Memory that may shrink, vanish or change under our hands is refused rather than half-read. */
function checkBuffer(data: ArrayBufferView): void {
  const buffer = data.buffer as ArrayBuffer & { resizable?: boolean; detached?: boolean };
  if (typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer)
    throw new TypeError(
      'tensor: the data is in a SharedArrayBuffer, which others may change meanwhile; pass a copy (data.slice())',
    );
  if (buffer.resizable)
    throw new TypeError(
      'tensor: the data is in a resizable ArrayBuffer; pass a copy (data.slice())',
    );
  // Without `detached` (before Node 21) a detached buffer shows as an empty one.
  if (buffer.detached ?? (buffer.byteLength === 0 && isDetached(buffer)))
    throw new TypeError('tensor: the data is in a detached ArrayBuffer (it was transferred away)');
}
function isDetached(buffer: ArrayBuffer): boolean {
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

function nestedShape(data: unknown): number[] {
  const shape: number[] = [];
  for (let at = data; Array.isArray(at); at = at[0] as unknown) {
    shape.push(at.length);
    if (shape.length > 8) throw new RangeError('tensor: the data is nested more than 8 deep');
    if (at.length === 0) break;
  }
  return shape;
}

function flatten(
  data: unknown,
  shape: readonly number[],
  depth: number,
  to: number[],
  kinds: { boolean: boolean; number: boolean },
): void {
  if (depth < shape.length) {
    if (!Array.isArray(data) || data.length !== shape[depth])
      throw new RangeError(
        `tensor: the data is ragged: at depth ${depth}, ${Array.isArray(data) ? `${data.length} entries` : describe(data)} where ${shape[depth]} were expected`,
      );
    for (let i = 0; i < data.length; ++i) flatten(data[i], shape, depth + 1, to, kinds);
  } else if (typeof data === 'number') {
    kinds.number = true;
    to.push(data);
  } else if (typeof data === 'boolean') {
    kinds.boolean = true;
    to.push(data ? 1 : 0);
  } else if (Array.isArray(data)) {
    throw new RangeError(
      `tensor: the data is ragged: an array at depth ${depth} where a number was expected`,
    );
  } else {
    throw wrongType(
      'tensor',
      'data',
      'numbers, booleans, nested arrays of them, or a typed array',
      data,
    );
  }
}

/**
 * A tensor of the given data, which is copied.
 * @param data - a number, nested arrays of numbers or booleans (all rows of one length), or a typed array
 * @param options - `shape` (for flat data; product = number of elements), `dtype`, `requiresGrad`
 * @returns dtype: as told, else float32 for numbers, bool for booleans, a typed array's own (small integers: int32).
 * bfloat16 is rounded to, ties to even
 * @throws TypeError for other data, or memory that is shared, resizable or detached; RangeError for ragged
 * data or a shape that does not fit
 */
export function tensor(
  data: TensorData,
  options?: TensorOptions & { shape?: readonly number[] },
): Tensor {
  const given = checkOptions('tensor', options, ['shape']) as CheckedOptions & {
    shape?: readonly number[];
  };
  let values: DataArray;
  let shape: number[];
  let dtype = given.dtype;
  if (dtype !== undefined) dtypeCode('tensor', dtype);
  if (ArrayBuffer.isView(data)) {
    checkBuffer(data);
    dtype ??= dtypeOfArray(data);
    dtypeOfArray(data);
    const Target = ARRAYS[dtype];
    // A copy: what native code reads cannot change between check and use.
    values =
      dtype === 'bool'
        ? Uint8Array.from(data as Uint8Array, (v) => (v ? 1 : 0))
        : new Target(data as Float32Array);
    shape = [values.length];
  } else {
    shape = nestedShape(data);
    const flat: number[] = [];
    const kinds = { boolean: false, number: false };
    flatten(data, shape, 0, flat, kinds);
    dtype ??= kinds.boolean && !kinds.number ? 'bool' : 'float32';
    values = dtype === 'bool' ? Uint8Array.from(flat, (v) => (v ? 1 : 0)) : new ARRAYS[dtype](flat);
  }
  if (given.shape !== undefined) shape = checkShape('tensor', given.shape);
  if (dtype === 'bfloat16') {
    // Rounded where all devices round alike.
    const wide = fromData(values, shape, 'float64', 'cpu');
    const rounded = execute(OPS.cast.code, [wide], [dtypeCode('tensor', dtype)]);
    wide.dispose();
    if (given.device === 'cpu') return finish(rounded, given);
    const there = toDevice(rounded, given.device);
    rounded.dispose();
    return finish(there, given);
  }
  return finish(fromData(values, shape, dtype, given.device), given);
}

/** @internal As {@link tensor}, for another function's argument: its errors name that. */
export function tensorFor(
  op: string,
  argument: string,
  data: unknown,
  options?: TensorOptions & { shape?: readonly number[] },
): Tensor {
  try {
    return tensor(data as TensorData, options);
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    const Kind = error instanceof TypeError ? TypeError : RangeError;
    throw new Kind(error.message.replace(/^tensor: /, `${op}: ${argument}: `), { cause: error });
  }
}

/**
 * @internal A tensor of an array of its dtype (bfloat16: a Uint16Array of bits) that nobody else has seen, so
 * that no copy is needed first.
 */
export function fromData(
  values: StoredArray,
  shape: readonly number[],
  dtype: DType,
  device: Device,
): Tensor {
  const box = native.mailbox;
  box[MAILBOX.attrs] = shape.length;
  shape.forEach((d, i) => (box[MAILBOX.attrs + 1 + i] = d));
  const t = blank();
  return adopt(t, native.fromData(t, dtypeCode('tensor', dtype), values, deviceCode(device)));
}

function filled(op: string, shape: unknown, value: number, options: unknown): Tensor {
  const given = checkOptions(op, options);
  const sizes = checkShape(op, shape);
  const numbers = [sizes.length, ...sizes, dtypeCode(op, given.dtype ?? 'float32'), value];
  return finish(generate(OPS.full, numbers, given.device), given);
}

/** A tensor of zeros. @throws TypeError, RangeError for a bad shape or option */
export const zeros = (shape: readonly number[], options?: TensorOptions): Tensor =>
  filled('zeros', shape, 0, options);
/** A tensor of ones. @throws TypeError, RangeError for a bad shape or option */
export const ones = (shape: readonly number[], options?: TensorOptions): Tensor =>
  filled('ones', shape, 1, options);
/** A tensor of one value. @throws TypeError, RangeError for a bad shape, value or option */
export function full(shape: readonly number[], value: number, options?: TensorOptions): Tensor {
  if (typeof value !== 'number') throw wrongType('full', 'value', 'a number', value);
  return filled('full', shape, value, options);
}
const like = (op: string, x: Tensor, value: number, options: TensorOptions | undefined): Tensor =>
  filled(op, shapeOf(checkTensor(op, 'x', x)), value, {
    dtype: x.dtype,
    device: x.device,
    ...options,
  });
/** Zeros with the shape, dtype and device of another tensor. */
export const zerosLike = (x: Tensor, options?: TensorOptions): Tensor =>
  like('zerosLike', x, 0, options);
/** Ones with the shape, dtype and device of another tensor. */
export const onesLike = (x: Tensor, options?: TensorOptions): Tensor =>
  like('onesLike', x, 1, options);
/** One value, with the shape, dtype and device of another tensor. */
export function fullLike(x: Tensor, value: number, options?: TensorOptions): Tensor {
  if (typeof value !== 'number') throw wrongType('fullLike', 'value', 'a number', value);
  return like('fullLike', x, value, options);
}
/** @internal Zeros that lie in memory as x does: an optimizer's state. */
export function stateLike(x: Tensor): Tensor {
  const t = blank();
  return adopt(t, native.zerosLike(t, x, handleOf(x)));
}

/**
 * start, start + step, … up to but without end; `arange(end)` starts at 0. int32 if all are integers, else float32.
 * @throws RangeError if step is 0 or leads away from end
 */
export function arange(start: number, end?: number, step = 1, options?: TensorOptions): Tensor {
  const given = checkOptions('arange', options);
  const from = end === undefined ? 0 : checkNumber('arange', 'start', start);
  const to =
    end === undefined ? checkNumber('arange', 'end', start) : checkNumber('arange', 'end', end);
  checkNumber('arange', 'step', step);
  if (step === 0 || (to - from) / step < 0)
    throw new RangeError(`arange: a step of ${step} never leads from ${from} to ${to}`);
  const whole = [from, to, step].every(Number.isInteger);
  const dtype = given.dtype ?? (whole ? 'int32' : 'float32');
  return finish(
    generate(
      OPS.arange,
      [Math.ceil((to - from) / step), dtypeCode('arange', dtype), from, step],
      given.device,
    ),
    given,
  );
}

/** `count` numbers from start to end, both included. @throws RangeError unless count is an integer ≥ 0 */
export function linspace(
  start: number,
  end: number,
  count: number,
  options?: TensorOptions,
): Tensor {
  const given = checkOptions('linspace', options);
  checkNumber('linspace', 'start', start);
  checkNumber('linspace', 'end', end);
  checkNumber('linspace', 'count', count, { min: 0, max: 2 ** 48, integer: true });
  const step = count > 1 ? (end - start) / (count - 1) : 0;
  return finish(
    generate(
      OPS.arange,
      [count, dtypeCode('linspace', given.dtype ?? 'float32'), start, step],
      given.device,
    ),
    given,
  );
}

/** The identity matrix, or ones on the diagonal of a rows × columns one. */
export function eye(rows: number, columns = rows, options?: TensorOptions): Tensor {
  const given = checkOptions('eye', options);
  checkNumber('eye', 'rows', rows, { min: 0, integer: true });
  checkNumber('eye', 'columns', columns, { min: 0, integer: true });
  return finish(
    generate(OPS.eye, [rows, columns, dtypeCode('eye', given.dtype ?? 'float32')], given.device),
    given,
  );
}
