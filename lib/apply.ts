// The one door to native ops: checks operands, brings them to one dtype, runs the kernel, records it.
import { DEVICES, deviceCode, type Device } from './device.js';
import { checkNumber, describe, wrongType, wrongValue } from './errors.js';
import { MAILBOX, native } from './native.js';
import { DTYPES, OPS, type AttrSpec, type DType, type OpSpec } from './schema.gen.js';
import { isMixed, precisionOf } from './precision.js';
import { Node, edgeOf, isGradEnabled } from './tape.js';
import {
  adopt,
  blank,
  checkTensors,
  disposed,
  handleOf,
  isDoomed,
  isFloat,
  isTensor,
  setRequiresGrad,
  shapeOf,
  type Operand,
  type Tensor,
} from './tensor.js';

const NONE: readonly number[] = Object.freeze([]);
let replaying = 0;

/** @internal While the tape is walked, what it kept may be used even if the user disposed of it. */
export function replay<T>(fn: () => T): T {
  ++replaying;
  try {
    return fn();
  } finally {
    --replaying;
  }
}

function writeNumbers(numbers: readonly number[]): void {
  const box = native.mailbox;
  if (numbers.length > MAILBOX.maxAttrs)
    throw new RangeError(
      `tapegrad: an op got ${numbers.length} numbers in its options, at most ${MAILBOX.maxAttrs} are possible`,
    );
  box[MAILBOX.attrCount] = numbers.length;
  for (let i = 0; i < numbers.length; ++i) box[MAILBOX.attrs + i] = numbers[i]!;
}

/** @internal Runs a kernel by its code; nothing is checked here or recorded. */
export function execute(code: number, x: readonly Operand[], numbers: readonly number[]): Tensor {
  if (numbers.length > 0) writeNumbers(numbers);
  const out = blank();
  let scalars = 0;
  const a = x[0];
  const b = x[1];
  let handle: number;
  if (x.length === 1) {
    handle = native.run(code, out, x, handleOf(a as Tensor));
  } else if (x.length === 2) {
    const ha = typeof a === 'number' ? ((scalars |= 1), a) : handleOf(a!);
    const hb = typeof b === 'number' ? ((scalars |= 2), b) : handleOf(b!);
    if (scalars) native.mailbox[MAILBOX.scalars] = scalars;
    handle = native.run(code, out, x, ha, hb);
  } else {
    const h = x.map((v, i) => (typeof v === 'number' ? ((scalars |= 1 << i), v) : handleOf(v)));
    if (scalars) native.mailbox[MAILBOX.scalars] = scalars;
    // Spread keeps the number of arguments: native code counts inputs by it.
    handle = (native.run as (...args: unknown[]) => number)(code, out, x, ...h);
  }
  adopt(out, handle);
  if (native.mailbox[MAILBOX.isView] && isTensor(a)) out.base = a.base ?? a;
  return out;
}

/** @internal As {@link execute}, for an op without inputs: on a device, or on that of a tensor. */
export function generate(op: OpSpec, numbers: readonly number[], where: Device | Tensor): Tensor {
  writeNumbers(numbers);
  const out = blank();
  const place = typeof where === 'string' ? deviceCode(where) : handleOf(where);
  return adopt(out, native.generate(op.code, out, place, where));
}

const cast = (x: Tensor, dtype: DType): Tensor => apply(OPS.cast, [x], [DTYPES.indexOf(dtype)]);

/** The dtype in which operands meet: the widest tensor's; a number is as weak as PyTorch's. */
function commonDType(x: readonly Operand[], from: number): number {
  let dtype = -1;
  let fraction = false;
  for (let i = from; i < x.length; ++i) {
    const v = x[i]!;
    if (typeof v === 'number') fraction ||= !Number.isInteger(v) || Math.abs(v) > 2147483647;
    else dtype = Math.max(dtype, RANK[v.dtype]);
  }
  return fraction && dtype < RANK.bfloat16 ? RANK.float32 : dtype;
}
const RANK = { bool: 0, int32: 1, bfloat16: 2, float32: 3, float64: 4 } as const;
const BY_RANK = ['bool', 'int32', 'bfloat16', 'float32', 'float64'] as const;

/** Casts tensors of an elementwise op or a structured one to the dtype it can work in. */
function promote(op: OpSpec, x: readonly Operand[]): readonly Operand[] {
  const from = op.name === 'where' ? 1 : 0;
  let rank = commonDType(x, from);
  if (op.types === 'float' && rank < RANK.bfloat16) rank = RANK.float32;
  else if (rank === RANK.bool && (op.types === 'number' || op.kind === 'compare' || from === 1))
    rank = RANK.int32;
  const dtype = BY_RANK[rank];
  return x.map((v, i) => {
    const wanted = i < from ? 'bool' : dtype;
    return typeof v === 'number' || !wanted || v.dtype === wanted ? v : cast(v, wanted);
  });
}

/** Ops whose inputs must share one dtype: the elementwise ones and these. */
const PROMOTED = new Set<string>([
  'where',
  'matmul',
  'linear',
  'concat',
  'conv2d',
  'convolve2d',
  'layerNorm',
  'channelNorm',
]);

function checkOperands(op: OpSpec, x: readonly unknown[]): readonly Operand[] {
  let tensors = 0;
  let mixed = false;
  let dtype: DType | null = null;
  for (let i = 0; i < x.length; ++i) {
    const v = x[i];
    if (isTensor(v)) {
      if (replaying === 0 && isDoomed(v)) throw disposed(op.name, op.inputs[i] ?? 'an operand');
      ++tensors;
      if (dtype === null) dtype = v.dtype;
      else if (dtype !== v.dtype) mixed = true;
    } else if (typeof v === 'number' && NUMBERS_TOO.has(op.kind)) {
      if (dtype === null || !isFloat(dtype)) mixed = true;
    } else if (typeof v === 'number' && op.name === 'where' && i > 0) {
      mixed = true;
    } else {
      const expected = NUMBERS_TOO.has(op.kind) ? 'a Tensor or a number' : 'a Tensor';
      const look =
        typeof v === 'object' && v !== null
          ? ' (no real Tensor: a look-alike, a Proxy or an array; see tg.tensor)'
          : '';
      throw new TypeError(
        `${op.name}: ${op.inputs[i] ?? `operand ${i}`} must be ${expected}, got ${describe(v)}${look}`,
      );
    }
  }
  if (tensors === 0 && x.length > 0)
    throw new TypeError(`${op.name}: at least one of ${op.inputs.join(', ')} must be a Tensor`);
  if (
    mixed ||
    (op.types !== undefined && (dtype === null || !isFloat(dtype))) ||
    (dtype === 'bool' && op.kind === 'compare')
  )
    if (op.types !== undefined || op.kind === 'compare' || PROMOTED.has(op.name))
      return promote(op, x as readonly Operand[]);
  if (op.name === 'where' && (x[0] as Tensor).dtype !== 'bool')
    return promote(op, x as readonly Operand[]);
  return x as readonly Operand[];
}
const NUMBERS_TOO = new Set<string>(['binary', 'compare', 'loss']);

function wantsGrad(x: readonly Operand[]): boolean {
  for (let i = 0; i < x.length; ++i) {
    const v = x[i]!;
    if (typeof v !== 'number' && v.requiresGrad) return true;
  }
  return false;
}

/** What an op's derivative reads; elementwise ops say it in the schema, the others here. */
function keptBy(op: OpSpec, x: readonly Operand[], out: Tensor): readonly Operand[] {
  if (op.keeps !== undefined) {
    const unary = op.kind === 'unary';
    const kept: Operand[] = [];
    for (const name of op.keeps)
      kept.push(name === 'x' ? x[0]! : name === 'y' ? (unary ? out : x[1]!) : out);
    return kept;
  }
  switch (op.name) {
    case 'matmul':
    case 'linear':
      return [x[0]!, x[1]!];
    case 'where':
      return [x[0]!];
    case 'indexSelect':
    case 'indexAdd':
      return [x[1]!];
    case 'crossEntropy':
      return [x[0]!, x[1]!];
    case 'softmax':
    case 'logSoftmax':
      return [out];
    case 'max':
    case 'min':
    case 'logSumExp':
      return [x[0]!, out];
    case 'variance':
    case 'maxPool2d':
      return [x[0]!];
    case 'conv2d':
    case 'convolve2d':
    case 'conv2dInput':
    case 'conv2dWeight':
    case 'layerNorm':
      return [x[0]!, x[1]!];
    case 'maxPool2dBackward':
    case 'maxPool2dSelect':
      return [x[1]!];
    case 'channelNorm':
      return [x[0]!, x[1]!, x[3]!];
    default:
      return [];
  }
}

function record(op: OpSpec, x: readonly Operand[], out: Tensor, numbers: readonly number[]): void {
  setRequiresGrad(out);
  out.node = new Node(
    op,
    x.map(edgeOf),
    x.map((v) => (typeof v === 'number' ? NONE : shapeOf(v))),
    keptBy(op, x, out),
    // A cast's gradient goes back to the dtype that it came from.
    op.name === 'cast' ? [...numbers, DTYPES.indexOf((x[0] as Tensor).dtype)] : numbers,
    handleOf(out),
  );
}

/** Operands in the precision in which autocast wants the op. What the tape replays is computed as it was. */
function inPrecision(op: OpSpec, x: readonly Operand[]): readonly Operand[] {
  const wanted = replaying === 0 ? precisionOf(op) : null;
  if (wanted === null) return x;
  const other = wanted === 'float32' ? 'bfloat16' : 'float32';
  return x.map((v) => (isTensor(v) && v.dtype === other && !isDoomed(v) ? cast(v, wanted) : v));
}

/** @internal Runs an op on checked operands and records it if a gradient is wanted. */
export function apply(
  op: OpSpec,
  operands: readonly Operand[],
  numbers: readonly number[] | null,
): Tensor {
  const x = checkOperands(op, isMixed() ? inPrecision(op, operands) : operands);
  const attrs = numbers ?? NONE;
  const out = execute(op.code, x, attrs);
  if (isGradEnabled() && wantsGrad(x) && isFloat(out.dtype)) record(op, x, out, attrs);
  return out;
}

/** @internal As {@link apply}, for an op on a list of tensors. */
export function applyList(
  op: OpSpec,
  list: readonly Tensor[],
  numbers: readonly number[] | null,
): Tensor {
  const tensors = checkTensors(op.name, op.inputs[0]!.slice(0, -1), 'tensor', list);
  const x = checkOperands(op, tensors) as readonly Tensor[];
  const attrs = numbers ?? NONE;
  writeNumbers(attrs);
  const out = blank();
  adopt(out, native.runList(op.code, out, x, Float64Array.from(x, handleOf)));
  if (isGradEnabled() && wantsGrad(x) && isFloat(out.dtype)) record(op, x, out, attrs);
  return out;
}

/** Not in the schema: no kernel runs. */
const TO: OpSpec = { kind: 'internal', name: 'to', code: -1, inputs: ['x'], attrs: [] };

/** @internal A copy on a device; its gradient comes back to the device of x. */
export function toDevice(x: Tensor, device: Device): Tensor {
  if (replaying === 0 && isDoomed(x)) throw disposed('to', 'x');
  const out = blank();
  adopt(out, native.toDevice(out, x, handleOf(x), deviceCode(device)));
  if (isGradEnabled() && x.requiresGrad) record(TO, [x], out, [DEVICES.indexOf(x.device)]);
  return out;
}

function encodeOne(op: string, spec: AttrSpec, value: unknown, to: number[]): void {
  switch (spec.kind) {
    case 'number':
    case 'axis':
      if (typeof value !== 'number') throw wrongType(op, spec.name, 'a number', value);
      if (Number.isNaN(value)) throw wrongValue(op, spec.name, 'a number', value);
      to.push(value);
      return;
    case 'positive':
      to.push(checkNumber(op, spec.name, value, { above: 0 }));
      return;
    case 'flag':
      if (typeof value !== 'boolean') throw wrongType(op, spec.name, 'a boolean', value);
      to.push(value ? 1 : 0);
      return;
    case 'dtype':
      to.push(dtypeCode(op, value));
      return;
    case 'axes':
      if (value === null) {
        to.push(-1);
        return;
      }
      if (typeof value === 'number') {
        to.push(1, value);
        return;
      }
      encodeList(op, spec.name, 'an integer, an array of integers or null', value, to);
      return;
    case 'shape':
      encodeList(op, spec.name, 'an array of integers', value, to);
      return;
    case 'pair':
      // Native code reads -1 as the op's own default.
      to.push(
        ...(value === null && spec.default === 'null' ? [-1, -1] : checkPair(op, spec.name, value)),
      );
      return;
    case 'pairs': {
      if (!Array.isArray(value))
        throw wrongType(op, spec.name, 'an array of [before, after] pairs', value);
      const count = checkLength(op, spec.name, value);
      to.push(2 * count);
      for (let i = 0; i < count; ++i) {
        const pair: unknown = value[i];
        if (!Array.isArray(pair) || pair.length !== 2)
          throw wrongType(op, `${spec.name}[${i}]`, 'a pair [before, after]', pair);
        for (let j = 0; j < 2; ++j) {
          const n: unknown = pair[j];
          if (typeof n !== 'number')
            throw wrongType(op, `${spec.name}[${i}][${j}]`, 'an integer', n);
          to.push(n);
        }
      }
    }
  }
}

/** @internal One integer ≥ 0 for rows and columns, or two. */
export function checkPair(op: string, name: string, value: unknown, min = 0): [number, number] {
  const range = { min, integer: true };
  if (!Array.isArray(value)) {
    if (typeof value !== 'number')
      throw wrongType(op, name, 'an integer or a pair [rows, columns]', value);
    const both = checkNumber(op, name, value, range);
    return [both, both];
  }
  if (value.length !== 2) throw wrongType(op, name, 'an integer or a pair [rows, columns]', value);
  return [
    checkNumber(op, `${name}[0]`, value[0], range),
    checkNumber(op, `${name}[1]`, value[1], range),
  ];
}

/** The length, read once: an array's may be anybody's code. */
function checkLength(op: string, name: string, value: readonly unknown[]): number {
  const count = value.length;
  if (!(count <= 8))
    throw new RangeError(`${op}: ${name} has ${count} entries; a tensor has at most 8 dimensions`);
  return count;
}

function encodeList(
  op: string,
  name: string,
  expected: string,
  value: unknown,
  to: number[],
): void {
  if (!Array.isArray(value)) throw wrongType(op, name, expected, value);
  const count = checkLength(op, name, value);
  to.push(count);
  for (let i = 0; i < count; ++i) {
    const n: unknown = value[i];
    if (typeof n !== 'number') throw wrongType(op, `${name}[${i}]`, 'an integer', n);
    to.push(n);
  }
}

/** @internal The native code of a dtype. */
export function dtypeCode(op: string, value: unknown): number {
  const code = DTYPES.indexOf(value as DType);
  if (code < 0) throw wrongType(op, 'dtype', `one of ${DTYPES.join(', ')}`, value);
  return code;
}

/**
 * @internal Turns options into the numbers that native code reads, in the schema's order. The first
 * attribute may be given alone: sum(x, 1) is sum(x, { axis: 1 }).
 */
export function encode(op: OpSpec, options: unknown): readonly number[] {
  const short =
    options !== undefined &&
    (typeof options !== 'object' || options === null || Array.isArray(options));
  const given = (short ? { [op.attrs[0]!.name]: options } : (options ?? {})) as Record<
    string,
    unknown
  >;
  for (const name of Object.keys(given))
    if (!op.attrs.some((a) => a.name === name))
      throw new TypeError(
        `${op.name}: unknown option ${JSON.stringify(name)}; known: ${op.attrs.map((a) => a.name).join(', ')}`,
      );
  const numbers: number[] = [];
  for (const spec of op.attrs) {
    let value = given[spec.name];
    if (value === undefined) {
      if (spec.default === undefined)
        throw new TypeError(`${op.name}: the option ${spec.name} is missing`);
      value = DEFAULTS[spec.default] ?? (spec.default === 'null' ? null : Number(spec.default));
      if (spec.kind === 'flag') value = spec.default === 'true';
    }
    encodeOne(op.name, spec, value, numbers);
  }
  return numbers;
}
const DEFAULTS: Readonly<Record<string, number>> = { Infinity: Infinity, '-Infinity': -Infinity };
