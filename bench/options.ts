// What a run of the benchmarks is told: flags to options, or one line on what is wrong with them.
import { dirname, join, resolve } from 'node:path';
import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CASES, select, type Case } from './cases.js';
import { ROOT, machine } from './machine.js';
import { PEERS, type Library } from './peers.js';

const NAMES = PEERS.map((p) => p.name).join(', ');

export const HELP = `Measures tapegrad beside other libraries. Two quiet cores, please.

  --case NAME[,NAME]   cases or groups (see --list); all unless told
  --peers NAME[,NAME]  ${NAMES}, or none [all that are installed]
  --threads N[,N]      of each library, one after the other [1,2]
  --rounds N           processes per case and library, 1 … 1000 [3]
  --seconds X          measured in each process, 0.01 … 60 [0.2]
  --quick              one round of 0.1 s, two threads, a few cases of each group, unless told otherwise
  --out FILE           where the JSON goes, and beside it the chart (.svg) [bench/results/DATE.json]
  --markdown           prints the tables in Markdown, as in docs/performance.md
  --from FILE[,FILE]   measures nothing: prints the tables of these JSON files; with --out a chart of them
  --list               names of the cases
  --help               this text`;

export class UsageError extends Error {}

export interface Options {
  cases: Case[];
  peers: Library[];
  threads: number[];
  rounds: number;
  seconds: number;
  markdown: boolean;
  /** Files of results to show instead of measuring. */
  from: string[];
  /** Path of the JSON; null if nothing is to be written. */
  out: string | null;
}

function number(flag: string, text: string, pattern: RegExp, low: number, high: number): number {
  const value = pattern.test(text) ? Number(text) : NaN;
  if (value >= low && value <= high) return value;
  throw new UsageError(`${flag} must be from ${low} to ${high}, got ${JSON.stringify(text)}`);
}

function flags(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        case: { type: 'string', multiple: true, default: [] },
        peers: { type: 'string' },
        threads: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        out: { type: 'string' },
        markdown: { type: 'boolean', default: false },
        from: { type: 'string', multiple: true, default: [] },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    // Node adds advice on further lines and sentences; the first says it.
    const [line = ''] = (error as Error).message.split(/\n|\. /);
    throw new UsageError(`${line} (see --help)`);
  }
}

function choosePeers(given: string | undefined): Library[] {
  const named = given?.split(',').filter((name) => name !== 'none');
  const unknown = named?.find((name) => !PEERS.some((p) => p.name === name));
  if (unknown !== undefined)
    throw new UsageError(`--peers ${unknown}: unknown; known: ${NAMES}, none`);
  return PEERS.filter((p) => named === undefined || named.includes(p.name));
}

function chooseThreads(given: string | undefined, quick: boolean): number[] {
  const { cores } = machine();
  if (given === undefined) return quick || cores === 1 ? [Math.min(2, cores)] : [1, 2];
  const counts = given.split(',').map((n) => number('--threads', n, /^\d{1,4}$/, 1, cores));
  return [...new Set(counts)].sort((a, b) => a - b);
}

function path(text: string): string {
  if (text !== '' && !text.includes('\0')) return resolve(text);
  throw new UsageError(`--out must be a path, got ${JSON.stringify(text)}`);
}

/** What to do, or null after printing what was asked for. */
export function parse(args: string[], date: Date): Options | null {
  const given = flags(args);
  if (given.help || given.list) {
    console.log(given.help ? HELP : CASES.map((c) => c.name).join('\n'));
    return null;
  }
  const names = given.case.flatMap((list) => list.split(','));
  const chosen = select(names);
  if ('unknown' in chosen)
    throw new UsageError(`--case ${chosen.unknown}: no such case or group (see --list)`);
  const { quick } = given;
  const { rounds = quick ? '1' : '3', seconds = quick ? '0.1' : '0.2' } = given;
  const from = given.from.flatMap((list) => list.split(','));
  const dated = `bench/results/${date.toISOString().replace(/[:.]/g, '-')}.json`;
  return {
    cases: quick && names.length === 0 ? chosen.cases.filter((c) => c.quick) : chosen.cases,
    peers: choosePeers(given.peers),
    threads: chooseThreads(given.threads, quick),
    rounds: number('--rounds', rounds, /^\d{1,4}$/, 1, 1000),
    seconds: number('--seconds', seconds, /^\d{1,4}(\.\d{1,9})?$/, 0.01, 60),
    markdown: given.markdown,
    from,
    out: given.out !== undefined ? path(given.out) : from.length > 0 ? null : join(ROOT, dated),
  };
}

/** Creates a file before anything is measured: an hour's work must not end with "permission denied". */
export function prepare(out: string): void {
  try {
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, '', { flag: 'a' });
  } catch (error) {
    throw new UsageError(`--out ${out}: cannot write there: ${(error as Error).message}`);
  }
}
