// Part "counters" of bench:check: how many native calls, tensors, kernels, bytes of scratch and blocks from the
// system one iteration of a case takes. They do not depend on the machine and must equal the baseline's.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { CASES, type Work } from '../cases.js';
import type { Counts } from './count.js';
import type { Part } from './part.js';

export const COUNTED = [
  'eager/add-8x8',
  'eager/sum-64',
  'eager/matmul-8x8',
  'backward/chain-8x8',
  'elementwise/exp-1M',
  'elementwise/softmax-1000x1000',
  'gemm/128x1024x1024-bt',
  'gemm/784x256x128-at',
  'gemm/512x512x512',
  'adam/100x1000',
  'step/4-16-3-b32',
  'step/784-256-128-10-b32',
  'compiled/784-256-128-10-b32-call',
];

// Every x64 machine has these kernels. Scratch depends on the width of a tile; the rest on nothing.
const ISA = 'baseline';

function workOf(name: string): Work {
  const found = CASES.find((c) => c.name === name);
  if (!found)
    throw new Error(`check/counters.ts counts ${name}, which is no case of bench/cases.ts`);
  return found.work;
}

/** Counts one of so many iterations of a case in a process of its own. @throws Error with what the process said */
export function count(work: Work, iterations = 20): Counts {
  const program = fileURLToPath(new URL('./count.js', import.meta.url));
  const args = [program, JSON.stringify(work), `${iterations}`];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...process.env, TAPEGRAD_ISA: ISA, TAPEGRAD_NUM_THREADS: '1' },
  });
  if (status !== 0) throw new Error(`counting ${JSON.stringify(work)} failed:\n${stderr}`);
  return JSON.parse(stdout) as Counts;
}

export const counters: Part<'counters'> = {
  name: 'counters',
  missing: () =>
    process.arch === 'x64' ? null : `the baseline is that of the ${ISA} kernels of x64`,
  measure: () => Object.fromEntries(COUNTED.map((name) => [name, count(workOf(name))])),
  compare(now, baseline) {
    const failures: string[] = [];
    for (const name of new Set([...Object.keys(baseline), ...Object.keys(now)])) {
      const was = baseline[name];
      const is = now[name];
      if (!was || !is) {
        failures.push(`${name}: ${was ? 'no longer counted' : 'not in the baseline'}`);
        continue;
      }
      for (const key of Object.keys(is) as (keyof Counts)[])
        if (is[key] !== was[key]) failures.push(`${name}: ${key} ${was[key]} → ${is[key]}`);
    }
    return { checked: Object.keys(now).length, failures };
  },
};
