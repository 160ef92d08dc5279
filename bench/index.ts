// npm run bench: measures tapegrad beside its peers. A process per case, round and library, in turn; medians,
// paired ratios, a table and a JSON file. See docs/performance.md. Nothing is timed in this process.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CASES, quote, select, type Case } from './cases.js';
import { ROOT, machine } from './machine.js';
import type { Measurement } from './measure.js';
import { OURS, PEERS, run, type Library } from './peers.js';
import { ratio, series, table, type Report } from './report.js';

const HELP = `Measures tapegrad beside other libraries. Two quiet cores, please.

  --case NAME[,NAME]   cases or groups (see --list); all unless told
  --peers NAME[,NAME]  ${PEERS.map((p) => p.name).join(', ')}, or none [${PEERS.map((p) => p.name).join()}]
  --threads N          of each library [2]
  --rounds N           processes per case and library, 1 … 1000 [5]
  --seconds X          measured in each process, 0.01 … 60 [0.5]
  --out FILE           where the JSON goes [bench/results/DATE.json]
  --list               names of the cases
  --help               this text`;

class UsageError extends Error {}

interface Options {
  cases: Case[];
  peers: Library[];
  threads: number;
  rounds: number;
  seconds: number;
  out: string;
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
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '0.5' },
        out: { type: 'string' },
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

/** What to do, or null after printing what was asked for. */
function parse(args: string[], date: Date): Options | null {
  const given = flags(args);
  if (given.help || given.list) {
    console.log(given.help ? HELP : CASES.map((c) => c.name).join('\n'));
    return null;
  }
  const chosen = select(given.case.flatMap((names) => names.split(',')));
  if ('unknown' in chosen)
    throw new UsageError(`--case ${chosen.unknown}: no such case or group (see --list)`);
  const named = given.peers?.split(',').filter((name) => name !== 'none');
  for (const name of named ?? []) {
    if (!PEERS.some((p) => p.name === name))
      throw new UsageError(
        `--peers ${name}: unknown; known: ${PEERS.map((p) => p.name).join(', ')}, none`,
      );
  }
  const cores = machine().cores;
  const out =
    given.out ?? join(ROOT, 'bench/results', `${date.toISOString().replace(/[:.]/g, '-')}.json`);
  if (out === '' || out.includes('\0'))
    throw new UsageError(`--out must be a path, got ${JSON.stringify(out)}`);
  return {
    cases: chosen.cases,
    peers: PEERS.filter((p) => named === undefined || named.includes(p.name)),
    threads:
      given.threads === undefined
        ? Math.min(2, cores)
        : number('--threads', given.threads, /^\d{1,4}$/, 1, cores),
    rounds: number('--rounds', given.rounds, /^\d{1,4}$/, 1, 1000),
    seconds: number('--seconds', given.seconds, /^\d{1,4}(\.\d{1,9})?$/, 0.01, 60),
    out: resolve(out),
  };
}

/** Creates the file before anything is measured: an hour's work must not end with "permission denied". */
function prepare(out: string): void {
  try {
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, '', { flag: 'a' });
  } catch (error) {
    throw new UsageError(`--out ${out}: cannot write there: ${(error as Error).message}`);
  }
}

/** All rounds of one case: A B, B A, A B, … so that a drift of the machine hits all alike. */
async function measureCase(
  c: Case,
  libraries: Library[],
  options: Options,
): Promise<Map<Library, Measurement[]>> {
  const rounds = new Map(libraries.map((l) => [l, [] as Measurement[]]));
  for (let round = 0; round < options.rounds; ++round) {
    for (const library of round % 2 ? libraries.toReversed() : libraries) {
      const { threads, seconds } = options;
      rounds
        .get(library)!
        .push(await run(library, { work: c.work, threads, seconds, seed: round + 1 }));
    }
  }
  return rounds;
}

async function main(): Promise<void> {
  const date = new Date();
  const options = parse(process.argv.slice(2), date);
  if (!options) return;
  prepare(options.out);

  const report: Report = {
    schema: 1,
    date: date.toISOString(),
    machine: machine(),
    isa: '',
    threads: options.threads,
    rounds: options.rounds,
    seconds: options.seconds,
    peers: {},
    results: [],
    failures: [],
  };
  const available: Library[] = [];
  for (const peer of options.peers) {
    const reason = peer.missing();
    if (reason === null) available.push(peer);
    else report.peers[peer.name] = { skipped: reason };
  }

  for (const c of options.cases) {
    try {
      const peers = available.filter((p) => p.supports(c.work));
      const rounds = await measureCase(c, [OURS, ...peers], options);
      const ours = series(rounds.get(OURS)!);
      report.isa = ours.rounds[0]!.isa;
      const result: Report['results'][number] = { ...c, ours, peers: {} };
      for (const peer of peers) {
        const theirs = series(rounds.get(peer)!);
        report.peers[peer.name] = {
          library: theirs.rounds[0]!.library,
          isa: theirs.rounds[0]!.isa,
        };
        result.peers[peer.name] = { ...theirs, ratio: ratio(ours, theirs) };
      }
      report.results.push(result);
      const against = Object.entries(result.peers).map(
        ([name, p]) => `${p.ratio.median.toFixed(2)}× ${name}`,
      );
      console.error([c.name, quote(c.work, ours.median_ns), ...against].join('  '));
    } catch (error) {
      // One broken case must not cost the others.
      report.failures.push({ case: c.name, reason: (error as Error).message });
      console.error(`${c.name}: ${(error as Error).message}`);
      process.exitCode = 1;
    }
    writeFileSync(options.out, `${JSON.stringify(report, null, 1)}\n`);
  }
  console.log(`${table(report)}\n${relative(process.cwd(), options.out)}`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 2;
}
