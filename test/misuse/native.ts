// Child process: calls the addon itself with hostile arguments and a mailbox full of garbage, `calls` times,
// and prints one line of JSON. Whatever JavaScript does to these functions, the process must live, and no
// call may reach memory that is not its own: the sanitizers watch. Arguments: addon, calls, seed.
import { createRequire } from 'node:module';
import { MAILBOX, type Native } from '#lib/native.js';

const native = createRequire(import.meta.url)(process.argv[2]!) as Native;
const calls = Number(process.argv[3]);
let state = Number(process.argv[4]);
function below(n: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % n;
}
const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;

type Call = (...args: unknown[]) => unknown;
const functions = Object.entries(native as unknown as Record<string, unknown>).filter(
  (e): e is [string, Call] => typeof e[1] === 'function',
);
interface Schema {
  ops: { name: string; code: number }[];
}
const { ops } = JSON.parse(native.schema()) as Schema;
const code = (name: string): number => ops.find((op) => op.name === name)!.code;

const box = native.mailbox;
const owners: object[] = [];
const live: number[] = [];
/** Room for a few tensors, so that the limit is met now and then. */
const LIMIT = 16 << 20;

function make(): void {
  const dtype = below(5);
  const sizes = pick([[], [4], [2, 3], [0, 5], [1, 1, 1, 1, 1, 1, 1, 2], [64, 33]]);
  const n = sizes.reduce((a, b) => a * b, 1);
  const data = [Float32Array, Float64Array, Int32Array, Uint8Array, Uint16Array].map(
    (Kind) => new Kind(n),
  )[dtype]!;
  box[MAILBOX.attrs] = sizes.length;
  sizes.forEach((d, i) => (box[MAILBOX.attrs + 1 + i] = d));
  const owner = {};
  live.push(native.fromData(owner, dtype, data, 0));
  owners.push(owner);
}

const NUMBERS = [0, -0, -1, 1, 2, 3, 0.5, 7, 8, 9, 120, 121, 255, 256, NaN, Infinity, -Infinity];
const HUGE = [
  2 ** 24,
  2 ** 31,
  2 ** 32,
  2 ** 40,
  2 ** 48,
  2 ** 53,
  2 ** 60,
  -(2 ** 31),
  -(2 ** 60),
  1e300,
  5e-324,
];
const anyNumber = (): number => (below(3) ? pick(NUMBERS) : pick(HUGE));
/** A handle: live, beside a live one, or no handle at all. */
function anyHandle(): number {
  const h = pick(live);
  switch (below(10)) {
    case 0:
      return anyNumber();
    case 1:
      return h + pick([-1, 1, 0.5, 2 ** 24, -(2 ** 24), 2 ** 52]);
    default:
      return h;
  }
}
const handles = (): Float64Array =>
  Float64Array.from({ length: pick([0, 1, 2, 3, 4, 6, 9, 40]) }, anyHandle);
const TYPED = [
  Float32Array,
  Float64Array,
  Int32Array,
  Uint8Array,
  Int8Array,
  Uint16Array,
  Uint8ClampedArray,
] as const;
function anyArray(): unknown {
  switch (below(8)) {
    case 0:
      return new BigInt64Array(below(9));
    case 1: {
      const a = new Float64Array(8);
      structuredClone(a.buffer, { transfer: [a.buffer] });
      return a;
    }
    case 2:
      return new Float64Array(new SharedArrayBuffer(64)).fill(pick(live));
    case 3:
      return new DataView(new ArrayBuffer(64));
    case 4:
      return new Float64Array(new ArrayBuffer(256), 8 * below(4), below(9)).fill(anyHandle());
    default:
      return new (pick(TYPED))(pick([0, 1, 4, 6, 10, 2112]));
  }
}
const NOTHINGS = [
  undefined,
  null,
  true,
  '',
  'x',
  Symbol('s'),
  Symbol.for('s'),
  2n ** 70n,
  () => 1,
  [],
  new Proxy({}, {}),
];
function anything(): unknown {
  switch (below(7)) {
    case 0:
      return pick(NOTHINGS);
    case 1:
      return anyNumber();
    case 2:
      return anyArray();
    case 3:
      return handles();
    case 4:
      return {};
    default:
      return anyHandle();
  }
}

/** Attributes: sometimes what an op would take, more often not. */
function fillMailbox(): void {
  box[MAILBOX.attrCount] = below(4) ? pick([0, 1, 2, 3, 4, 5, 6, 10, 18, 120]) : anyNumber();
  const garbage = below(3) === 0;
  for (let i = 0; i < MAILBOX.maxAttrs; ++i)
    box[MAILBOX.attrs + i] = garbage ? anyNumber() : pick([0, 1, 2, 3, 4, 1, 1]);
  if (below(4) === 0) box[MAILBOX.scalars] = anyNumber();
}

const programs: number[] = [];
/** Programs with tensors that they take. */
const fitting: { id: number; inputs: number[] }[] = [];
const anyProgram = (): number => (programs.length > 0 && below(5) ? pick(programs) : anyNumber());

/** Numbers per step are 0 for most programs; steps reach beyond every limit. */
function programArguments(): unknown[] {
  const steps = pick([0, 1, 1, 2, 3, 40, 2 ** 20, 2 ** 21, 2 ** 40, -1]);
  const gather = below(4) === 0;
  const one = fitting.length > 0 && below(3) ? pick(fitting) : null;
  return [
    one ? one.id : anyProgram(),
    (gather ? 16 : 0) | pick([0, 1, 2, 4, 8, 15]),
    gather ? steps % 50 : pick([0, 1, 2, 2, steps]),
    new Float64Array(pick([0, 0, 0, 1, 7])),
    one ? Float64Array.from(one.inputs) : handles(),
    gather ? Int32Array.from({ length: below(200) }, () => below(5) - (below(9) ? 0 : 1)) : null,
    below(9),
    below(9),
    null,
  ];
}

/** A program on one to three inputs, recorded as it should be, for later calls to run. */
function record(): void {
  try {
    native.traceEnd();
  } catch {
    // Nothing was being recorded.
  }
  native.traceBegin(1, 0, 0);
  const shape = pick([[2, 3], [4], []]);
  const inputs = Array.from({ length: 1 + below(3) }, () => {
    [shape.length, ...shape, 0].forEach((v, i) => (box[MAILBOX.attrs + i] = v));
    const owner = {};
    owners.push(owner);
    return native.traceInput(owner);
  });
  let value = inputs[0]!;
  for (let k = below(4); k > 0; --k) {
    const owner = {};
    owners.push(owner);
    box[MAILBOX.attrCount] = 0;
    box[MAILBOX.scalars] = 0;
    value = native.run(code(pick(['add', 'mul', 'sub'])), owner, null, value, pick(inputs));
  }
  const id = native.traceEnd(Float64Array.of(value, ...inputs));
  programs.push(id);
  const given = inputs.map(() => {
    [shape.length, ...shape].forEach((v, i) => (box[MAILBOX.attrs + i] = v));
    const owner = {};
    owners.push(owner);
    return native.fromData(owner, 0, new Float32Array(shape.reduce((a, b) => a * b, 1)), 0);
  });
  fitting.push({ id, inputs: given });
  if (fitting.length > 9) for (const h of fitting.shift()!.inputs) native.dispose(h);
  if (programs.length > 20) native.programDispose(programs.shift()!);
}

/** Arguments that would do for most functions, for hostile ones to take the place of. */
function template(name: string): unknown[] {
  switch (name) {
    case 'run':
      return [pick(ops).code, {}, null, ...Array.from({ length: below(5) }, anyHandle)];
    case 'runList':
      return [below(2) ? code('concat') : pick(ops).code, {}, null, handles()];
    case 'optimize':
      return [below(8), handles(), new Float64Array(below(12)).fill(0.5)];
    case 'scale':
    case 'clip':
      return [handles(), 0.5];
    case 'gradientNorm':
      return [handles()];
    case 'assign':
    case 'accumulate':
      return [anyHandle(), anyHandle()];
    case 'fromData':
      return [{}, below(5), anyArray(), below(2)];
    case 'zerosLike':
      return [{}, null, anyHandle()];
    case 'generate':
      return [pick(ops).code, {}, below(2)];
    case 'toDevice':
      return [{}, null, anyHandle(), below(2)];
    case 'moveTo':
      return [anyHandle(), below(2)];
    case 'readLater':
      return [anyHandle(), below(5)];
    case 'readTake':
      return [below(3), anyArray()];
    case 'openDevice':
    case 'synchronize':
    case 'memory':
    case 'trace':
    case 'resetPeak':
      return [below(2)];
    case 'read':
      return [anyHandle(), anyArray()];
    case 'readsListen':
    case 'programsListen':
      return [() => undefined];
    case 'traceBegin':
      return [below(9), below(9), below(3)];
    case 'traceInput':
      return [{}];
    case 'traceNumber':
      return [{}, below(2)];
    case 'tracePause':
      return [below(2)];
    case 'traceEnd':
      return below(4) ? [handles()] : [];
    case 'programRun':
      return programArguments();
    case 'programCollect':
      return [anyProgram(), new Float64Array(below(5))];
    case 'programOutput':
      return [anyProgram(), below(3), {}];
    case 'programDescribe':
      return [anyProgram(), below(2)];
    case 'programFacts':
    case 'programAbort':
    case 'programDispose':
      return [anyProgram()];
    case 'setThreads':
      return [1 + below(3)];
    case 'setMemoryLimit':
      return [LIMIT, below(2)];
    default:
      return [anyHandle()];
  }
}

/**
 * An op on tensors whose objects JavaScript has dropped, in memory so short that they would be freed to make
 * room for its result: it must be refused, for its kernel would read what was freed.
 */
function sparesOperands(): boolean {
  native.setMemoryLimit(2 ** 40, 0);
  const [n, m] = [1024, 1024];
  const [a, b] = [1, 2].map((v) => {
    box[MAILBOX.attrs] = 2;
    box[MAILBOX.attrs + 1] = n;
    box[MAILBOX.attrs + 2] = m;
    return native.fromData({}, 0, new Float32Array(n * m).fill(v), 0);
  }) as [number, number];
  native.setMemoryLimit(native.memory(0).bytes + 2 ** 20, 0);
  try {
    native.run(code('add'), {}, null, a, b);
    return false;
  } catch (error) {
    return (
      (error as { code?: string }).code === 'TG_OUT_OF_MEMORY' && native.alive(a) && native.alive(b)
    );
  }
}
const spares = sparesOperands();

let worked = 0;
let refused = 0;
const wrong: string[] = [];
for (let n = 0; n < calls; ++n) {
  native.setMemoryLimit(LIMIT, 0);
  native.setThreads(2);
  while (live.length < 12) make();
  if (below(50) === 0) record();
  const [name, fn] = below(3) ? functions.find(([f]) => f === 'run')! : pick(functions);
  let args = template(name);
  if (below(2)) args[below(args.length + 1)] = anything();
  if (below(8) === 0) args = args.slice(0, below(args.length + 1));
  if (below(16) === 0) args = Array.from({ length: below(12) }, anything);
  // More threads than this are a wish that the addon may grant; not a thousand times.
  if (name === 'setThreads' && Number(typeof args[0] === 'number' && args[0] > 4)) continue;
  fillMailbox();
  try {
    const result = below(8) ? fn(...args) : Reflect.apply(fn, pick(NOTHINGS), args);
    ++worked;
    if (name === 'traceEnd' && typeof result === 'number' && result >= 0) programs.push(result);
    else if (typeof result === 'number' && native.alive(result) && !live.includes(result)) {
      live.push(result);
      owners.push(args[1] as object);
    }
  } catch (error) {
    ++refused;
    const failure = error as Error & { code?: string };
    const known =
      failure instanceof TypeError ||
      failure instanceof RangeError ||
      failure.code?.startsWith('TG_');
    if (!known || !failure.message) wrong.push(`${name}: ${String(error)}`);
  }
  // Stale handles stay among the live ones for a while.
  if (live.length > 40)
    for (let i = 0; i < 30; ++i) native.dispose(live.splice(below(live.length), 1)[0]!);
  if (owners.length > 200) owners.splice(0, 100);
}
for (const id of programs) native.programDispose(id);
native.setMemoryLimit(2 ** 40, 0);
for (const h of live) native.dispose(h);
fillMailbox();
box.fill(0);
console.log(
  JSON.stringify({
    calls,
    functions: functions.length,
    worked,
    refused,
    spares,
    wrong: wrong.slice(0, 20),
  }),
);
