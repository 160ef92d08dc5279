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

export interface NativeTrace {
  isa: string;
  kernel: string;
  dtype: string;
  variant: string;
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
  runList(op: number, owner: object, alive: unknown, handles: Float64Array): Handle;
  optimize(rule: number, handles: Float64Array, numbers: Float64Array, alive: unknown): void;
  gradientNorm(handles: Float64Array, alive: unknown): number;
  scale(handles: Float64Array, factor: number, alive: unknown): void;
  clip(handles: Float64Array, limit: number, alive: unknown): void;
  assign(handle: Handle, source: Handle, alive: unknown): void;
  accumulate(handle: Handle, source: Handle, alive: unknown): void;
  fromData(owner: object, dtype: number, data: StoredArray): Handle;
  zerosLike(owner: object, alive: unknown, handle: Handle): Handle;
  /** A Float32Array receives the values of bfloat16, a Uint16Array its bits. */
  read(handle: Handle, data: StoredArray): void;
  describe(handle: Handle): void;
  share(handle: Handle): number;
  attach(handle: Handle, id: number): void;
  dispose(handle: Handle): boolean;
  alive(handle: Handle): boolean;
  sweep(): number;
  memory(): NativeMemory;
  setMemoryLimit(bytes: number): void;
  resetPeak(): void;
  setThreads(count: number): void;
  state(): { isa: string; isas: string; threads: number };
  trace(): NativeTrace;
  schema(): string;
}

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
