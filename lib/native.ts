// The native addon, typed. The only file that loads it.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** A tensor behind the border: a number that native code checks on every use. */
export type Handle = number;

export interface NativeMemory {
  tensors: number;
  bytes: number;
  peakBytes: number;
  limit: number;
  cachedBytes: number;
  systemAllocations: number;
}

/** Counts since the start. */
export interface NativeCounters {
  /** Calls of a backend's functions that compute. */
  kernels: number;
  /** Tensors made, views too. */
  tensors: number;
  /** Scratch that kernels asked for, most of it to pack operands into. */
  scratchBytes: number;
}

/** What `diagnose` finds; native/core/device_library.h says more. */
export interface NativeDiagnosis {
  /** Why CUDA cannot be used; empty if it can. */
  reason: string;
  paths: { path: string; reason: string }[];
  devices: {
    name: string;
    capability: number;
    memory: number;
    multiprocessors: number;
    driver: number;
    runtime: number;
  }[];
}

export interface NativeTrace {
  isa: string;
  kernel: string;
  dtype: string;
  variant: string;
}

/** What became of a run of a program; `code` is that of its error, or empty. */
export interface NativeOutcome {
  done: number;
  skipped: number;
  norm: number;
  code: string;
  message: string;
}

export interface NativeProgramFacts {
  /** Numbers that optimizers need for a step. */
  row: number;
  /** Random streams that a step draws. */
  streams: number;
  arenaBytes: number;
  sumBytes: number;
  allocations: number;
  /** Times that a step waited for all that its device had been asked for, which was idle then. */
  stalls: number;
}

export type DataArray = Float32Array | Float64Array | Int32Array | Uint8Array;
/** Elements as tensors hold them: those of bfloat16 are bits. */
export type StoredArray = DataArray | Uint16Array;

/**
 * What the addon exports; native/binding/functions.h says more. An argument `alive` is not looked at: it
 * keeps the tensors behind the handles from being collected, and so freed, while the call takes memory.
 */
export interface Native {
  /** Attributes travel in, shapes travel out: see MAILBOX. */
  readonly mailbox: Float64Array;
  run(op: number, owner: object, alive: unknown, a?: number, b?: number): Handle;
  /** An op without inputs; `where`: a device, or a tensor on it. */
  generate(op: number, owner: object, where: number, alive: unknown): Handle;
  runList(op: number, owner: object, alive: unknown, handles: Float64Array): Handle;
  optimize(rule: number, handles: Float64Array, numbers: Float64Array, alive: unknown): void;
  gradientNorm(handles: Float64Array, alive: unknown): number;
  scale(handles: Float64Array, factor: number, alive: unknown): void;
  clipNorm(handles: Float64Array, limit: number, finite: number, alive: unknown): number;
  clip(handles: Float64Array, limit: number, alive: unknown): void;
  assign(handle: Handle, source: Handle, alive: unknown): void;
  accumulate(handle: Handle, source: Handle, alive: unknown): void;
  fromData(owner: object, dtype: number, data: StoredArray, device: number): Handle;
  toDevice(owner: object, alive: unknown, handle: Handle, device: number): Handle;
  /** In place: views go with it. */
  moveTo(handle: Handle, device: number, alive: unknown): void;
  /** 0 if the tensor is gone. */
  deviceOf(handle: Handle): number;
  zerosLike(owner: object, alive: unknown, handle: Handle): Handle;
  /** Copies several tensors, those of one running program between the same two of its steps; `made` takes the handles. */
  cloneAll(owners: object[], handles: Float64Array, made: Float64Array, alive: unknown): void;
  /** A Float32Array receives the values of bfloat16, a Uint16Array its bits. */
  read(handle: Handle, data: StoredArray): void;
  describe(handle: Handle): void;
  share(handle: Handle): number;
  attach(handle: Handle, id: number): void;
  dispose(handle: Handle): boolean;
  alive(handle: Handle): boolean;
  sweep(): number;
  openDevice(device: number): void;
  diagnose(): NativeDiagnosis;
  synchronize(device: number): void;
  /** 1: float32 products may be computed in tf32. Not while recording. */
  setTf32(on: number): void;
  readsListen(callback: (id: number) => void): void;
  /** A copy as elements of this dtype, begun; readTake gives it once the listener got its number. */
  readLater(handle: Handle, dtype: number): number;
  readTake(id: number, data: DataArray): void;
  programsListen(callback: (id: number) => void): void;
  traceBegin(seed: number, stream: number, device: number): void;
  /** Dtype and shape are in the mailbox: count, sizes, dtype. */
  traceInput(owner: object): Handle;
  /** A number without dimensions that each step takes from its row. */
  traceNumber(owner: object, dtype: number): Handle;
  tracePause(paused: number): void;
  /** Without outputs: gives up. */
  traceEnd(outputs?: Float64Array): number;
  programRun(
    id: number,
    how: number,
    steps: number,
    numbers: Float64Array,
    handles: Float64Array,
    order: Int32Array | null,
    seed: number,
    stream: number,
    alive: unknown,
  ): void;
  programCollect(id: number, losses: Float64Array): NativeOutcome;
  programOutput(id: number, index: number, owner: object): Handle;
  programAbort(id: number): void;
  programDispose(id: number): void;
  programDescribe(id: number, recorded: number): string;
  programFacts(id: number): NativeProgramFacts;
  memory(device: number): NativeMemory;
  setMemoryLimit(bytes: number, device: number): void;
  resetPeak(device: number): void;
  setThreads(count: number): void;
  state(): { isa: string; isas: string; threads: number };
  trace(device: number): NativeTrace;
  counters(): NativeCounters;
  schema(): string;
}

/** What programRun is told, as native/binding/compiled.cpp reads it. */
export const RUN = { async: 1, nanFails: 2, nanSkips: 4, norm: 8, gather: 16 } as const;

/** Places in the mailbox, as native/binding/environment.h has them. */
export const MAILBOX = {
  attrCount: 0,
  attrs: 1,
  maxAttrs: 120,
  scalars: 127,
  dtype: 128,
  dims: 129,
  shape: 130,
  isView: 138,
  strides: 140,
} as const;

function load(): Native {
  const root = new URL('../', import.meta.url);
  const tried: string[] = [];
  const wanted = process.env['TAPEGRAD_ADDON'];
  const paths = wanted
    ? [wanted]
    : [
        fileURLToPath(new URL('build/Release/tapegrad.node', root)),
        fileURLToPath(new URL('build-cmake/Release/tapegrad.node', root)),
      ];
  for (const path of paths) {
    if (existsSync(path)) return createRequire(import.meta.url)(path) as Native;
    tried.push(path);
  }
  throw new Error(
    `tapegrad: the native addon is missing (looked for ${tried.join(' and ')}). Build it with \`npm rebuild tapegrad\`, ` +
      'or in a checkout with `npm run build:native`; this needs python3, make and g++.',
  );
}

export const native = load();

// Tensors that nobody references are freed by a sweep: after a garbage collection when the event loop
// turns, and from within native code in loops that never return to it. This object is what the collector
// takes as the sign.
const collected = new FinalizationRegistry<null>(() => {
  native.sweep();
  watch();
});
function watch(): void {
  collected.register({}, null);
}
watch();
