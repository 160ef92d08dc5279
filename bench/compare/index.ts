// npm run bench:compare -- <git ref>: this checkout against a build of another commit, pair by pair. Fails if a case
// is slower beyond doubt (see statistics.ts). See docs/performance.md.
import { parseArgs } from 'node:util';
import { select } from '../cases.js';
import { commitOf } from './build.js';
import { compareWith, type Options } from './pairs.js';
import { MAX_P, MAX_RATIO } from './statistics.js';

// One of each kind, and short: four minutes together.
const DEFAULT = [
  'eager/add-8x8',
  'backward/chain-64',
  'elementwise/relu-1M',
  'elementwise/exp-1M',
  'elementwise/softmax-1000x1000',
  'gemm/128x256x784',
  'gemm/128x1024x1024-bt',
  'gemm/784x256x128-at',
  'adam/16x262144',
  'step/4-16-3-b32',
  'step/784-256-128-10-b32',
];

const HELP = `Compares this checkout with a build of another commit: npm run bench:compare -- <git ref> [flags]
Fails if a case is slower with p < ${MAX_P} and by more than ${((MAX_RATIO - 1) * 100).toFixed(0)} %, measured twice.

  --case NAME[,NAME]   cases or groups of npm run bench -- --list [${DEFAULT.join()}]
  --pairs N            15 … 1000 [20]
  --threads N          of each build [1]
  --seconds X          measured in each process, 0.01 … 60 [0.2]
  --help               this text`;

function number(flag: string, text: string, low: number, high: number): number {
  const value = /^\d{1,4}(\.\d{1,9})?$/.test(text) ? Number(text) : NaN;
  const whole = flag === '--seconds' || Number.isInteger(value);
  if (value >= low && value <= high && whole) return value;
  throw new Error(`${flag} must be from ${low} to ${high}, got ${JSON.stringify(text)}`);
}

/** What to do, or null after printing help. @throws Error */
function parse(args: string[]): Options | null {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: {
        case: { type: 'string', multiple: true, default: [...DEFAULT] },
        pairs: { type: 'string', default: '20' },
        threads: { type: 'string', default: '1' },
        seconds: { type: 'string', default: '0.2' },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    const [line = ''] = (error as Error).message.split(/\n|\. /);
    throw new Error(`${line} (see --help)`);
  }
  const { values: given, positionals } = parsed;
  if (given.help) {
    console.log(HELP);
    return null;
  }
  const [ref, ...more] = positionals;
  if (ref === undefined || more.length > 0)
    throw new Error('name one commit to compare with, as in: npm run bench:compare -- main');
  const commit = commitOf(ref);
  if (commit === null) throw new Error(`${ref}: git knows no such commit`);
  const chosen = select(given.case.flatMap((names) => names.split(',')));
  if ('unknown' in chosen) throw new Error(`--case ${chosen.unknown}: no such case or group`);
  return {
    commit,
    cases: chosen.cases,
    pairs: number('--pairs', given.pairs, 15, 1000),
    threads: number('--threads', given.threads, 1, 256),
    seconds: number('--seconds', given.seconds, 0.01, 60),
  };
}

try {
  const options = parse(process.argv.slice(2));
  if (options && (await compareWith(options)).length > 0) process.exitCode = 1;
} catch (error) {
  console.error(`bench:compare: ${(error as Error).message}`);
  process.exitCode = 2; // 1 says that something is slower, or more
}
