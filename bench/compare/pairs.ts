// Times two builds pair by pair and prints what came out.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CASES, type Case, type Work } from '../cases.js';
import { buildAddon } from '../check/programs.js';
import { ROOT } from '../machine.js';
import type { Measurement } from '../measure.js';
import { buildBase } from './build.js';
import { compare, type Comparison } from './statistics.js';

export interface Options {
  commit: string;
  cases: Case[];
  pairs: number;
  threads: number;
  seconds: number;
}

/** Nanoseconds of one iteration in a process of its own. @throws Error with what the process complained about */
async function time(root: string, work: Work, seed: number, options: Options): Promise<number> {
  const { threads, seconds } = options;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(root, 'build-ts/bench/ours.js'), JSON.stringify({ work, seconds, seed })],
    { env: { ...process.env, TAPEGRAD_NUM_THREADS: `${threads}` } },
  );
  // The fastest sample: what other processes and the collector add is no part of it.
  return (JSON.parse(stdout) as Measurement).best_ns;
}

/** New time / old time of each pair. AB BA AB …, so that a drift of the machine hits both alike. */
async function measurePairs(c: Case, base: string, options: Options): Promise<number[]> {
  const ratios: number[] = [];
  for (let pair = 0; pair < options.pairs; ++pair) {
    const times: Record<string, number> = {};
    for (const root of pair % 2 === 0 ? [base, ROOT] : [ROOT, base])
      times[root] = await time(root, c.work, pair + 1, options);
    ratios.push(times[ROOT]! / times[base]!);
  }
  return ratios;
}

function line(name: string, c: Comparison): string {
  const percent = (ratio: number) => `${ratio >= 1 ? '+' : ''}${(100 * (ratio - 1)).toFixed(1)} %`;
  return [
    name.padEnd(Math.max(...CASES.map((k) => k.name.length))),
    percent(c.ratio).padStart(8),
    `${percent(c.low)} … ${percent(c.high)}`.padStart(20),
    c.p.toExponential(1).padStart(8),
    c.slower ? '  SLOWER' : '',
  ].join('  ');
}

/** Builds the commit, measures, prints a table; the cases that became slower. @throws Error */
export async function compareWith(options: Options): Promise<string[]> {
  delete process.env['TAPEGRAD_ADDON']; // each build loads its own
  buildAddon();
  console.error(`building ${options.commit.slice(0, 12)} …`);
  const base = await buildBase(options.commit);
  console.log(
    `time against ${options.commit.slice(0, 12)}: median and quartiles of ${options.pairs} pairs, p of a sign test`,
  );
  const slower: string[] = [];
  for (const c of options.cases) {
    let result = compare(await measurePairs(c, base, options));
    // Among many cases one may look slower by chance, hardly twice.
    if (result.slower) result = compare(await measurePairs(c, base, options));
    console.log(line(c.name, result));
    if (result.slower) slower.push(c.name);
  }
  console.log(slower.length ? `slower: ${slower.join(', ')}` : 'no case is slower');
  return slower;
}
