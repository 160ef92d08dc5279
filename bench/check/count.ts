// The child process that counts: `node count.js '<work>' [iterations]` prints what one iteration of it does. It wraps the
// addon's functions before tapegrad is loaded, so that a count costs the library nothing.
import Module from 'node:module';
import type { Native } from '#lib/native.js';
import type { Work } from '../cases.js';

/** What one iteration of a case does. All are exact: the same in every run, whatever else the machine does. */
export interface Counts {
  /** Calls from JavaScript to native code. */
  nativeCalls: number;
  tensors: number;
  kernels: number;
  /** Scratch that kernels asked for: what products pack, what else is gathered. */
  scratchBytes: number;
  /** Blocks of memory asked of the system. */
  systemAllocations: number;
}

const WARM_UP = 20;
const COUNTED = Number(process.argv[3] ?? 20);

let nativeCalls = 0;
let addon: Native;

type Loader = (module: { exports: unknown }, path: string) => void;
const extensions = (Module as unknown as { _extensions: Record<string, Loader> })._extensions;
const load = extensions['.node']!;
extensions['.node'] = (module, path) => {
  load(module, path);
  addon = module.exports as Native;
  module.exports = Object.fromEntries(
    Object.entries(addon).map(([name, value]: [string, unknown]) => {
      if (typeof value !== 'function') return [name, value];
      const call = value as (...args: unknown[]) => unknown;
      return [
        name,
        (...args: unknown[]) => {
          ++nativeCalls;
          return call(...args);
        },
      ];
    }),
  );
};

function read(): Counts {
  const { systemAllocations } = addon.memory(0);
  return { nativeCalls, ...addon.counters(), systemAllocations };
}

const { build } = await import('../ours.js');
const run = build(JSON.parse(process.argv[2]!) as Work);
await run(WARM_UP);
// Without a turn of the event loop in between, no sweep of collected tensors is among the calls.
const before = read();
await run(COUNTED);
const after = read();
const names = Object.keys(after) as (keyof Counts)[];
const counts = Object.fromEntries(
  names.map((name) => [name, (after[name] - before[name]) / COUNTED]),
);
console.log(JSON.stringify(counts));
