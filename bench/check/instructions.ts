// Part "instructions" of bench:check: what callgrind counts in native/bench/instructions.cpp, within 1 % of the
// baseline either way: one that got faster moves the baseline (--update), or the gain could be lost unseen.
// valgrind hides AVX-512, so this covers host code and the other kernels.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isa } from 'tapegrad';
import type { Part } from './part.js';
import { compiler, hasHeader, program } from './programs.js';

const TOLERANCE = 0.01;
const ISAS = ['avx2', 'baseline'];

/** Instructions of every case, which a program dumps one by one. @throws Error with what valgrind said */
export function countInstructions(command: string, set: string): Record<string, number> {
  const folder = mkdtempSync(join(tmpdir(), 'tapegrad-callgrind-'));
  try {
    const { status, stderr, error } = spawnSync(
      'valgrind',
      [
        ...['--tool=callgrind', '--instr-atstart=no', '--vgdb=no'],
        ...[`--callgrind-out-file=${join(folder, 'out')}`, command, set],
      ],
      // Nothing of the caller's environment: its size moves the stack, and its settings the C library.
      { encoding: 'utf8', env: { PATH: process.env['PATH'], LD_BIND_NOW: '1' } },
    );
    if (status !== 0)
      throw new Error(`valgrind ${command} ${set}: ${error?.message ?? stderr.trim()}`);
    const counts: [string, number][] = [];
    for (const file of readdirSync(folder)) {
      const text = readFileSync(join(folder, file), 'utf8');
      const name = /^desc: Trigger: Client Request: (.+)$/m.exec(text)?.[1];
      const total = /^totals: (\d+)$/m.exec(text)?.[1];
      if (name && total) counts.push([name, Number(total)]);
    }
    return Object.fromEntries(counts.sort(([a], [b]) => (a < b ? -1 : 1)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function missing(): string | null {
  const lacking = ISAS.filter((set) => !isa().available.includes(set));
  if (process.arch !== 'x64' || process.platform !== 'linux')
    return 'the baseline is that of x64 Linux';
  if (lacking.length > 0) return `this machine has no ${lacking.join()}`;
  if (spawnSync('valgrind', ['--version']).status !== 0) return 'valgrind is missing';
  if (compiler() === null) return 'g++ is missing';
  if (!hasHeader('valgrind/callgrind.h')) return 'valgrind/callgrind.h is missing';
  return null;
}

export const instructions: Part<'instructions'> = {
  name: 'instructions',
  missing,
  incomparable: (baseline) =>
    compiler() === baseline.compiler
      ? null
      : `the baseline is that of ${baseline.compiler}, and this is ${compiler()}`,
  measure() {
    const command = program('instructions');
    return {
      compiler: compiler()!,
      counts: Object.fromEntries(ISAS.map((set) => [set, countInstructions(command, set)])),
    };
  },
  compare(now, baseline) {
    const failures: string[] = [];
    let checked = 0;
    for (const set of ISAS) {
      const is = now.counts[set]!;
      const was = baseline.counts[set] ?? {};
      for (const name of new Set([...Object.keys(was), ...Object.keys(is)])) {
        ++checked;
        const [before, after] = [was[name], is[name]];
        const change = before && after ? after / before - 1 : NaN;
        if (Math.abs(change) <= TOLERANCE) continue;
        failures.push(
          `${set} ${name}: ${before ?? 'none'} → ${after ?? 'none'} instructions` +
            (Number.isNaN(change)
              ? ''
              : ` (${change > 0 ? '+' : ''}${(100 * change).toFixed(2)} %)`),
        );
      }
    }
    return { checked, failures };
  },
};
