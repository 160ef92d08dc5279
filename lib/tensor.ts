// The tensor: a native handle with a shape and a dtype, and the rules of its lifetime. No ops here.
import { deviceOf, type Device } from './device.js';
import { TapegradError, describe, wrongType } from './errors.js';
import { MAILBOX, native, type DataArray, type Handle, type StoredArray } from './native.js';
import { DTYPES, type DType } from './schema.gen.js';
import type { Node } from './tape.js';

/** What internal code passes to ops: a tensor, or a number that takes the dtype of the other operand. */
export type Operand = Tensor | number;

const SECRET = Symbol('tapegrad');
const EMPTY: readonly number[] = Object.freeze([]);

/** Tensors made since a tidy began; null outside. */
let scope: Tensor[] | null = null;

/**
 * An n-dimensional array in native memory. Make one with {@link tensor}, {@link zeros}, … and free it with
 * {@link dispose}, `using` or `tidy`; what is forgotten is freed after garbage collection.
 */
export class Tensor {
  #handle: Handle = 0;
  #shape: readonly number[] = EMPTY;
  #dtype: DType = 'float32';
  #requiresGrad = false;
  #doomed = false;
  #holds = 0;
  #kept = false;

  /** The gradient that `backward()` accumulated; null before. Same shape and dtype. */
  grad: Tensor | null = null;
  /** @internal How it was computed; null for leaves. */
  node: Node | null = null;
  /** @internal The tensor whose memory this is a view of. */
  base: Tensor | null = null;
  /** @internal Counts in-place changes of the memory; views look at their base's. */
  version = 0;

  /** @internal */
  constructor(secret: typeof SECRET) {
    if (secret !== SECRET)
      throw new TypeError('Tensor: use tg.tensor(…), tg.zeros(…) and their kin to make a tensor');
    scope?.push(this);
  }

  /** The sizes of the axes; `[]` for a scalar. A copy: changing it changes nothing. */
  get shape(): number[] {
    if (!access.is(this)) throw foreign('shape', this);
    return this.#shape.slice();
  }
  /** Element type. */
  get dtype(): DType {
    if (!access.is(this)) throw foreign('dtype', this);
    return this.#dtype;
  }
  /** Where the memory is; 'cpu' if it is gone. */
  get device(): Device {
    if (!access.is(this)) throw foreign('device', this);
    return deviceOf(this.#handle);
  }
  /** Number of axes. */
  get ndim(): number {
    if (!access.is(this)) throw foreign('ndim', this);
    return this.#shape.length;
  }
  /** Number of elements. */
  get size(): number {
    if (!access.is(this)) throw foreign('size', this);
    let n = 1;
    for (const d of this.#shape) n *= d;
    return n;
  }
  /** Whether a backward pass computes a gradient for this tensor. */
  get requiresGrad(): boolean {
    if (!access.is(this)) throw foreign('requiresGrad', this);
    return this.#requiresGrad;
  }
  set requiresGrad(value: boolean) {
    if (!access.is(this)) throw foreign('requiresGrad', this);
    if (typeof value !== 'boolean')
      throw wrongType('requiresGrad', 'the value', 'a boolean', value);
    if (value && !isFloat(this.#dtype))
      throw new TypeError(
        `requiresGrad: only float tensors (bfloat16, float32, float64) have gradients, got ${this.#dtype}`,
      );
    if (!value && this.node)
      throw new TapegradError(
        'TG_GRAPH',
        'requiresGrad: an intermediate result cannot be switched off; use detach()',
      );
    this.#requiresGrad = value;
  }
  /** Whether it was made by the user, not computed by a recorded op. */
  get isLeaf(): boolean {
    if (!access.is(this)) throw foreign('isLeaf', this);
    return this.node === null;
  }
  /** Whether the memory is gone. */
  get isDisposed(): boolean {
    if (!access.is(this)) throw foreign('isDisposed', this);
    return this.#doomed || !native.alive(this.#handle);
  }

  /** Frees the memory now. What the tape still needs for a backward pass lives on until that pass. */
  dispose(): void {
    if (!access.is(this)) throw foreign('dispose', this);
    if (this.#doomed) return;
    this.#doomed = true;
    if (this.#holds === 0) native.dispose(this.#handle);
    this.node?.drop();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * A row-major copy of the elements.
   * @returns Float32Array (of bfloat16, too: the exact values), Float64Array, Int32Array or, for bool,
   * Uint8Array of 0 and 1.
   */
  dataSync(): DataArray {
    if (!access.is(this)) throw foreign('dataSync', this);
    if (this.isDisposed) throw disposed('dataSync', 'this tensor');
    const data = arrayFor(this.#dtype, this.size);
    native.read(this.#handle, data);
    return data;
  }
  /**
   * As {@link dataSync}, behind a promise: what is on a device is copied while JavaScript goes on. The values are
   * those of now, whatever becomes of the tensor meanwhile.
   */
  data(): Promise<DataArray> {
    return new Promise((resolve, reject) => {
      if (!access.is(this)) throw foreign('data', this);
      if (this.isDisposed) throw disposed('data', 'this tensor');
      if (deviceOf(this.#handle) === 'cpu') {
        resolve(this.dataSync());
        return;
      }
      const data = arrayFor(this.#dtype, this.size);
      if (reads.size === 0) listen();
      const stored = this.#dtype === 'bfloat16' ? 'float32' : this.#dtype;
      const id = native.readLater(this.#handle, DTYPES.indexOf(stored));
      reads.set(id, { data, resolve, reject });
    });
  }
  /** The value of a tensor with one element. */
  item(): number {
    if (!access.is(this)) throw foreign('item', this);
    if (this.size !== 1)
      throw new RangeError(
        `item: the tensor must have one element, but its shape is [${this.#shape.join(', ')}]; use dataSync() or toArray()`,
      );
    return this.dataSync()[0]!;
  }

  static {
    access = {
      is: (value): value is Tensor =>
        typeof value === 'object' && value !== null && #handle in value,
      handle: (t) => t.#handle,
      shape: (t) => t.#shape,
      doomed: (t) => t.#doomed,
      adopt(t, handle) {
        t.#handle = handle;
        const box = native.mailbox;
        t.#dtype = DTYPES[box[MAILBOX.dtype]!]!;
        const n = box[MAILBOX.dims]!;
        if (n === 0) {
          t.#shape = EMPTY;
        } else {
          const shape = new Array<number>(n);
          for (let i = 0; i < n; ++i) shape[i] = box[MAILBOX.shape + i]!;
          t.#shape = shape;
        }
      },
      setRequiresGrad(t) {
        t.#requiresGrad = true;
      },
      hold(t) {
        ++t.#holds;
      },
      unhold(t) {
        if (--t.#holds === 0 && t.#doomed) native.dispose(t.#handle);
      },
      keep(t) {
        t.#kept = true;
      },
      kept: (t) => t.#kept,
    };
  }
}

/** What waits for a device, by the numbers that native code gave the copies. */
const reads = new Map<
  number,
  { data: DataArray; resolve: (data: DataArray) => void; reject: (error: unknown) => void }
>();

function listen(): void {
  native.readsListen((id) => {
    const { data, resolve, reject } = reads.get(id)!;
    reads.delete(id);
    try {
      native.readTake(id, data);
    } catch (error) {
      reject(error);
      return;
    }
    resolve(data);
  });
}

interface Access {
  is(value: unknown): value is Tensor;
  handle(t: Tensor): Handle;
  shape(t: Tensor): readonly number[];
  doomed(t: Tensor): boolean;
  adopt(t: Tensor, handle: Handle): void;
  setRequiresGrad(t: Tensor): void;
  hold(t: Tensor): void;
  unhold(t: Tensor): void;
  keep(t: Tensor): void;
  kept(t: Tensor): boolean;
}
// eslint-disable-next-line no-var -- assigned by the class's static block, which runs before a `let` here would exist
var access: Access;

/** @internal The dtypes that {@link isFloat} accepts, for messages. */
export const FLOATS = 'bfloat16, float32 or float64';
/** @internal Whether tensors of this dtype have gradients. */
export const isFloat = (dtype: DType): boolean =>
  dtype === 'float32' || dtype === 'float64' || dtype === 'bfloat16';
/** Whether a value is a tensor: true for the real thing only, not for a Proxy or a look-alike. */
export const isTensor = (value: unknown): value is Tensor => access.is(value);
/** @internal The native handle; stale if the tensor is gone, and refused there. */
export const handleOf = (t: Tensor): Handle => access.handle(t);
/** @internal The shape itself, not to be changed. */
export const shapeOf = (t: Tensor): readonly number[] => access.shape(t);
/** @internal Marks as recorded: a gradient flows to it. */
export const setRequiresGrad = (t: Tensor): void => {
  access.setRequiresGrad(t);
};
/** @internal The tape needs the memory until {@link unhold}, whoever disposes meanwhile. */
export const hold = (t: Tensor): void => {
  access.hold(t);
};
/** @internal */
export const unhold = (t: Tensor): void => {
  access.unhold(t);
};

/** @internal The elements as they are stored: those of bfloat16 as bits. A row-major copy. */
export function storedData(t: Tensor): StoredArray {
  if (t.dtype !== 'bfloat16') return t.dataSync();
  const bits = new Uint16Array(t.size);
  native.read(handleOf(t), bits);
  return bits;
}

/** @internal An empty tensor object, to be handed to native code as the owner and then to {@link adopt}. */
export const blank = (): Tensor => new Tensor(SECRET);
/** @internal Binds a blank tensor to its handle; dtype and shape are in the mailbox. */
export function adopt(t: Tensor, handle: Handle): Tensor {
  access.adopt(t, handle);
  return t;
}

/** Room for what dataSync returns; a broadcast view may have more elements than memory. */
function arrayFor(dtype: DType, n: number): DataArray {
  try {
    switch (dtype) {
      case 'float32':
      case 'bfloat16':
        return new Float32Array(n);
      case 'float64':
        return new Float64Array(n);
      case 'int32':
        return new Int32Array(n);
      case 'bool':
        return new Uint8Array(n);
    }
  } catch (cause) {
    throw new TapegradError(
      'TG_OUT_OF_MEMORY',
      `dataSync: there is no memory for an array of ${n} elements`,
      { cause },
    );
  }
}

const foreign = (member: string, value: unknown): TypeError =>
  wrongType(`Tensor.${member}`, 'this', 'a Tensor', value);

export function disposed(op: string, argument: string): TapegradError {
  return new TapegradError(
    'TG_DISPOSED',
    `${op}: ${argument} was used after it was disposed of (by dispose, using or tidy, or as an intermediate result freed by backward: see retainGraph)`,
  );
}

function looksLikeTensor(value: unknown): boolean {
  try {
    return value instanceof Tensor;
  } catch {
    return false; // a Proxy that was revoked, or whose trap throws
  }
}

/** @internal A live tensor, or a TypeError. */
export function checkTensor(op: string, argument: string, value: unknown): Tensor {
  if (!access.is(value)) {
    throw new TypeError(
      `${op}: ${argument} must be a Tensor, got ${describe(value)}${looksLikeTensor(value) ? ' that is not a real Tensor (a Proxy or a copy?)' : ''}`,
    );
  }
  if (access.doomed(value)) throw disposed(op, argument);
  return value;
}

/**
 * @internal Copies of several tensors, outside the graph. Those that a running program writes are all of the same
 * step.
 */
export function cloneAll(tensors: readonly Tensor[]): Tensor[] {
  const handles = Float64Array.from(tensors, handleOf);
  const copies = tensors.map(blank);
  native.cloneAll(copies, handles, handles, tensors);
  copies.forEach((t, i) => {
    native.describe(handles[i]!);
    adopt(t, handles[i]!);
  });
  return copies;
}

/** @internal Whether no tidy frees it. */
export const isKept = (t: Tensor): boolean => access.kept(t);

/**
 * @internal A copy of a list of live tensors. Stops at the first that is none: a hole in an array of four
 * billion entries is not searched for by its end.
 */
export function checkTensors(op: string, argument: string, item: string, value: unknown): Tensor[] {
  if (!Array.isArray(value)) throw wrongType(op, argument, 'an array of Tensors', value);
  const list: Tensor[] = [];
  const count = value.length;
  for (let i = 0; i < count; ++i) list.push(checkTensor(op, `${item} ${i}`, value[i]));
  return list;
}

/** @internal Whether the user disposed of it. */
export const isDoomed = (t: Tensor): boolean => access.doomed(t);

/** Takes a tensor out of every surrounding `tidy`: it stays until it is disposed of. Returns it. */
export function keep<T extends Tensor>(t: T): T {
  access.keep(checkTensor('keep', 'the tensor', t));
  return t;
}

/** Collects the tensors in a value; looks at each object once, and not at the elements of typed arrays. */
function survivors(result: unknown, found: Set<Tensor>): void {
  const seen = new Set<unknown>();
  const open = [result];
  while (open.length > 0) {
    const value = open.pop();
    if (access.is(value)) {
      found.add(value);
    } else if (
      typeof value === 'object' &&
      value !== null &&
      !seen.has(value) &&
      !ArrayBuffer.isView(value)
    ) {
      seen.add(value);
      for (const inner of value instanceof Map || value instanceof Set
        ? value.values()
        : Object.values(value))
        if (typeof inner === 'object') open.push(inner);
    }
  }
}

/**
 * Runs a function and frees every tensor it made, except those it returns (also inside arrays, objects and
 * maps), gradients and state of parameters, and what was given to {@link keep}. The function must not be async.
 * @throws TypeError if the function returns a promise.
 */
export function tidy<T>(fn: () => T): T {
  if (typeof fn !== 'function') throw wrongType('tidy', 'fn', 'a function', fn);
  const outer = scope;
  const made: Tensor[] = [];
  const alive = new Set<Tensor>();
  scope = made;
  try {
    const result = fn();
    scope = outer;
    if (result instanceof Promise) {
      // It will probably fail, now that its tensors go: this error says why, so that one may be silent.
      result.catch(() => undefined);
      throw new TypeError(
        'tidy: the function must not be async: what it makes after an await would escape',
      );
    }
    survivors(result, alive); // may run the caller's getters
    return result;
  } catch (error) {
    alive.clear();
    throw error;
  } finally {
    scope = outer;
    for (const t of made) {
      if (alive.has(t)) outer?.push(t);
      else if (!access.kept(t)) t.dispose();
    }
  }
}

/** @internal Runs fn and puts what it made into `made`, for the caller to free. Takes no part in tidy. */
export function collecting<T>(made: Tensor[], fn: () => T): T {
  const outer = scope;
  scope = made;
  try {
    return fn();
  } finally {
    scope = outer;
  }
}
/** @internal Puts a tensor into the surrounding tidy, if there is one. */
export const enlist = (t: Tensor): void => {
  scope?.push(t);
};
