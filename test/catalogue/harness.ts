// What all catalogue tests share: arrays, calling an op by its schema line, comparing, watching which
// kernels run. No references and no test cases here.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';
import { apply, applyList, encode } from '#lib/apply.js';
import { native, MAILBOX, type NativeTrace } from '#lib/native.js';
import { OPS, type DType, type OpSpec } from '#lib/schema.gen.js';

export type Real = 'float32' | 'float64';
export const REALS: readonly Real[] = ['float32', 'float64'];
export const SPECS: readonly OpSpec[] = Object.values(OPS);
export const ELEMENTWISE = new Set(['unary', 'binary', 'loss', 'compare']);

/** An n-dimensional array of the references, row-major. */
export interface NDArray {
  readonly shape: readonly number[];
  readonly data: readonly number[];
  /** Float of the test's width unless told. */
  readonly dtype?: DType;
}
export type Options = Readonly<Record<string, unknown>>;

export const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Random numbers in [0, 1), the same on every run (mulberry32). */
export function generator(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** n numbers in [low, high), exact in the dtype. */
export function sample(
  seed: number,
  n: number,
  [low, high]: readonly [number, number],
  dtype: DType,
): number[] {
  const next = generator(seed);
  return Array.from({ length: n }, () => {
    const v = low + (high - low) * next();
    return dtype === 'float32' ? Math.fround(v) : dtype === 'int32' ? Math.round(v) : v;
  });
}

export const make = (
  data: readonly number[],
  shape: readonly number[],
  dtype: DType,
  requiresGrad = false,
): Tensor =>
  tg.tensor(dtype === 'int32' ? Int32Array.from(data) : Float64Array.from(data), {
    shape,
    dtype,
    requiresGrad,
  });

export const toTensor = (a: NDArray, dtype: Real, requiresGrad = false): Tensor => {
  const own = a.dtype ?? dtype;
  return make(a.data, a.shape, own, requiresGrad && (own === 'float32' || own === 'float64'));
};

/** The tensor's elements in its own dtype, as a view on bytes decides equality of bits. */
export const bits = (t: Tensor): Buffer => {
  const d = t.dataSync();
  return Buffer.from(d.buffer, d.byteOffset, d.byteLength);
};

/** As {@link bits}, every NaN alike: IEEE 754 leaves its sign and payload to the hardware and the compiler. */
export function valueBits(t: Tensor): Buffer {
  const d = t.dataSync();
  d.forEach((v, i) => {
    if (Number.isNaN(v)) d[i] = NaN;
  });
  return Buffer.from(d.buffer, d.byteOffset, d.byteLength);
}

const functions = { ...tg.losses, ...tg } as unknown as Record<
  string,
  ((...args: unknown[]) => Tensor) | undefined
>;

/** Ops whose public function refuses values that the kernel takes, such as negative probabilities. */
const CHECKED = new Set(['binaryCrossEntropy', 'klDivergence']);

/** Whether users can call it: else it serves the tape and is called through `apply`. */
export const isPublic = (op: OpSpec): boolean =>
  typeof functions[op.name] === 'function' &&
  op.name !== 'full' &&
  op.name !== 'arange' &&
  op.name !== 'eye' &&
  op.name !== 'randint' &&
  !CHECKED.has(op.name);

/** Calls an op as its users do: losses unreduced, lists as arrays, internal ops through the one door. */
export function call(op: OpSpec, inputs: readonly (Tensor | number)[], options?: Options): Tensor {
  const isList = op.inputs[0]?.endsWith('…') ?? false;
  if (!isPublic(op)) return apply(op, inputs, encode(op, options));
  const fn = functions[op.name]!;
  const args: unknown[] = isList ? [inputs] : [...inputs];
  if (op.kind === 'loss' || op.name in tg.losses) args.push({ reduction: 'none', ...options });
  else if (options !== undefined) args.push(options);
  return fn(...args);
}
export { applyList };

/** The kernels that ran inside fn, in order; what only made a view shows as the kernel 'view'. */
export function traced<T>(fn: () => T): { result: T; kernels: NativeTrace[] } {
  const kernels: NativeTrace[] = [];
  const door = native as {
    run: (...args: unknown[]) => number;
    runList: (...args: unknown[]) => number;
  };
  const before = { run: door.run, runList: door.runList };
  const watched =
    (original: (...args: unknown[]) => number) =>
    (...args: unknown[]): number => {
      const handle = original(...args);
      kernels.push(
        native.mailbox[MAILBOX.isView]
          ? { isa: '', kernel: 'view', dtype: '', variant: '' }
          : native.trace(0),
      );
      return handle;
    };
  door.run = watched(before.run);
  door.runList = watched(before.runList);
  try {
    return { result: fn(), kernels };
  } finally {
    Object.assign(door, before);
  }
}

/** The nearest number of 8 bits of precision, ties to even, by exact arithmetic on float64. */
export function toBfloat16(v: number): number {
  if (v === 0 || !Number.isFinite(v)) return v;
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(v))));
  const unit = 2 ** (exponent - 7);
  const steps = Math.abs(v) / unit;
  const low = Math.floor(steps);
  const up = steps - low > 0.5 || (steps - low === 0.5 && low % 2 === 1);
  const result = Math.sign(v) * (low + Number(up)) * unit;
  return Math.abs(result) >= 2 ** 128 ? Math.sign(v) * Infinity : result;
}

export const EPS = { float64: 2 ** -52, float32: 2 ** -23 } as const;
const SMALLEST_NORMAL = { float64: 2 ** -1022, float32: 2 ** -126 } as const;
/** The number as kernels read it: denormals are zeros of their sign. */
export const flushed = (v: number, dtype: DType): number =>
  (dtype === 'float32' || dtype === 'float64') && Math.abs(v) < SMALLEST_NORMAL[dtype] ? v * 0 : v;
export const rounded = (v: number, dtype: DType): number =>
  dtype === 'float32' ? Math.fround(v) : v;

/**
 * Why got is no rounding of wanted, or null. Zeros must agree in sign, NaN with NaN, infinities exactly. A
 * denormal on the way counts as zero: the smallest normal number is the least error.
 */
export function mismatch(
  got: number,
  wanted: number,
  dtype: Real,
  ulps: number,
  scale = Math.abs(wanted),
): string | null {
  const r = rounded(wanted, dtype);
  if (Object.is(got, r)) return null;
  if (
    Number.isNaN(r) ||
    Number.isNaN(got) ||
    r === Infinity ||
    r === -Infinity ||
    (got === 0 && r === 0)
  )
    return `got ${Object.is(got, -0) ? '-0' : got}, expected ${Object.is(r, -0) ? '-0' : r}`;
  const tolerance = ulps * EPS[dtype] * scale + SMALLEST_NORMAL[dtype];
  return Math.abs(got - wanted) <= tolerance
    ? null
    : `got ${got}, expected ${wanted} (off by ${Math.abs(got - wanted) / (EPS[dtype] * Math.abs(wanted))} eps)`;
}

/** Compares a tensor with an array: shape, dtype, elements within rtol·|wanted| + atol; NaN equals NaN. */
export function expectClose(
  got: Tensor,
  wanted: NDArray,
  rtol: number,
  atol: number,
  what = 'result',
): void {
  expect(got.shape, `${what}: shape`).to.deep.equal([...wanted.shape]);
  if (wanted.dtype) expect(got.dtype, `${what}: dtype`).to.equal(wanted.dtype);
  const d = got.dataSync();
  wanted.data.forEach((v, i) => {
    const g = d[i]!;
    if (!(Object.is(g, v) || g === v || Math.abs(g - v) <= atol + rtol * Math.abs(v)))
      expect.fail(`${what}[${i}] is ${g}, expected ${v} (difference ${Math.abs(g - v)})`);
  });
}

/** For each element of the broadcast shape, the index of its element in an array of the given shape. */
export function broadcastIndex(shape: readonly number[], out: readonly number[]): number[] {
  const lead = out.length - shape.length;
  return Array.from({ length: count(out) }, (_, flat) => {
    let index = 0;
    let stride = 1;
    let rest = flat;
    for (let i = out.length - 1; i >= 0; --i) {
      const at = rest % out[i]!;
      rest = Math.floor(rest / out[i]!);
      if (i < lead) continue;
      if (shape[i - lead] !== 1) index += at * stride;
      stride *= shape[i - lead]!;
    }
    return index;
  });
}

/** The shape that shapes broadcast to. */
export function broadcastShape(...shapes: readonly (readonly number[])[]): number[] {
  const n = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: n }, (_, i) => {
    const sizes = shapes.map((s) => s[i - n + s.length] ?? 1);
    return sizes.find((d) => d !== 1) ?? 1;
  });
}

/** The same elements in memory that is not in order: 0 transposed, 1 every second element, 2 offset rows. */
export function scattered(x: Tensor, way: number): Tensor {
  const n = x.ndim;
  if (n === 0)
    return tg.reshape(
      tg.slice(tg.concat([x.reshape([1]), x.reshape([1])]), { axis: 0, start: 1 }),
      [],
    );
  if (way === 0 && n > 1) {
    const reversed = Array.from({ length: n }, (_, i) => n - 1 - i);
    return tg.permute(tg.clone(tg.permute(x, reversed)), reversed);
  }
  const last = n - 1;
  if (way === 1) {
    const pairs = tg.stack([x, x], n).reshape([...x.shape.slice(0, -1), 2 * x.shape[last]!]);
    return tg.slice(pairs, { axis: last, start: 0, step: 2 });
  }
  const padding = x.shape.map((_, i): [number, number] => (i === last ? [1, 2] : [0, 0]));
  const wide =
    x.dtype === 'bool' ? tg.pad(x.to('int32'), { padding }).to('bool') : tg.pad(x, { padding });
  return tg.slice(wide, { axis: last, start: 1, end: 1 + x.shape[last]! });
}
