// npm run bench: measures tapegrad beside its peers and the machine's limits. A process per case, round and
// library, in turn; medians, paired ratios, tables, a JSON file and a chart. See docs/performance.md. Nothing is
// timed in this process.
import { readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { eagerOf, quote, type Case, type Work } from './cases.js';
import { productsOf } from './limits.js';
import { machine } from './machine.js';
import type { Measurement } from './measure.js';
import { UsageError, parse, prepare, type Options } from './options.js';
import { LIMITS, OURS, run, type Library } from './peers.js';
import { bestPeer, compare, merge, series, type Report, type Result } from './report.js';
import { markdown, plain } from './tables.js';

/** A library in a case's round-robin. */
interface Participant {
  name: 'ours' | 'limit' | 'products' | 'eager' | 'peer';
  library: Library;
  work: Work;
  rounds: Measurement[];
}

// A peer whose process takes this long, or that is so many times slower, is measured once: its ratio needs no more.
const SLOW_MS = 10_000;
const FAR_BEHIND = 10;

function participants(c: Case, peers: readonly Library[]): Participant[] {
  const all: Participant[] = [{ name: 'ours', library: OURS, work: c.work, rounds: [] }];
  const products = productsOf(c.work);
  if (products)
    all.push({ name: 'products', library: OURS, work: { kind: 'products', products }, rounds: [] });
  const work = eagerOf(c.work);
  if (work !== c.work) all.push({ name: 'eager', library: OURS, work, rounds: [] });
  for (const library of peers)
    all.push({ name: library === LIMITS ? 'limit' : 'peer', library, work, rounds: [] });
  return all;
}

/** Whether a peer that took `ms` need not be asked again. The first round begins with us. */
function enough(peer: Participant, ours: Participant, ms: number): boolean {
  const behind = (peer.rounds[0]?.median_ns ?? 0) / ours.rounds[0]!.median_ns;
  return ms > SLOW_MS || behind > FAR_BEHIND;
}

/** All rounds of one case: A B C, C B A, A B C, … so that a drift of the machine hits all alike. */
async function measureCase(
  c: Case,
  threads: number,
  peers: readonly Library[],
  { rounds, seconds }: Options,
  fail: (library: Library, error: Error) => void,
): Promise<Result | null> {
  const all = participants(c, peers);
  const active = new Set(all);
  for (let round = 0; round < rounds; ++round) {
    for (const p of round % 2 ? all.toReversed() : all) {
      if (!active.has(p)) continue;
      const start = performance.now();
      try {
        p.rounds.push(await run(p.library, { work: p.work, threads, seconds, seed: round + 1 }));
      } catch (error) {
        fail(p.library, error as Error);
        // Without our time there is nothing to compare; a peer that breaks costs nobody else.
        if (p.name === 'ours') return null;
        p.rounds.length = 0;
        active.delete(p);
      }
      if (p.name === 'peer' && enough(p, all[0]!, performance.now() - start)) active.delete(p);
    }
  }
  const ours = series(all[0]!.rounds);
  const result: Result = { name: c.name, work: c.work, threads, ours, peers: {} };
  for (const { name, library, rounds: theirs } of all.slice(1)) {
    if (theirs.length === 0) continue;
    const compared = compare(ours, theirs);
    if (name !== 'peer' && name !== 'ours') result[name] = compared;
    else result.peers[library.name] = compared;
  }
  return result;
}

/** Who takes part at all; the others are named in the report. */
function present(peers: readonly Library[], report: Report): Library[] {
  return [LIMITS, ...peers].filter((library) => {
    const reason = library.missing();
    if (reason !== null) report.peers[library.name] = { skipped: reason };
    return reason === null;
  });
}

function note(result: Result, report: Report, available: readonly Library[]): void {
  report.results.push(result);
  report.isa = result.ours.rounds[0]!.isa;
  for (const { name, title } of available) {
    const first = result.peers[name]?.rounds[0];
    if (first) report.peers[name] = { title, library: first.library, isa: first.isa };
  }
  const [name, best] = bestPeer(result) ?? [];
  const against = best ? `${best.ratio.median.toFixed(2)}× ${name}` : '';
  console.error(
    `${result.name}  threads: ${result.threads}  ${quote(result.work, result.ours.median_ns)}  ${against}`,
  );
}

async function measureAll(options: Options, out: string, date: Date): Promise<Report> {
  const { rounds, seconds } = options;
  const report: Report = {
    schema: 2,
    date: date.toISOString(),
    machine: machine(),
    isa: '',
    rounds,
    seconds,
    peers: {},
    results: [],
    failures: [],
  };
  const available = present(options.peers, report);
  for (const c of options.cases) {
    for (const threads of c.small ? options.threads.slice(0, 1) : options.threads) {
      const peers = available.filter((p) => p.supports({ ...c, work: eagerOf(c.work) }));
      const fail = (library: Library, { message }: Error) => {
        report.failures.push({ case: c.name, threads, library: library.name, reason: message });
        console.error(`${c.name}: ${message}`);
        process.exitCode = 1;
      };
      const result = await measureCase(c, threads, peers, options, fail);
      if (result) note(result, report, available);
      writeFileSync(out, `${JSON.stringify(report, null, 1)}\n`);
    }
  }
  return report;
}

function load(file: string): Report {
  try {
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
    if (report.schema === 2) return report;
  } catch (error) {
    throw new UsageError(`--from ${file}: ${(error as Error).message}`);
  }
  throw new UsageError(`--from ${file}: not a result of this version of the benchmarks`);
}

async function main(): Promise<void> {
  const date = new Date();
  const options = parse(process.argv.slice(2), date);
  if (!options) return;
  const { out, from } = options;
  const loaded = from.length > 0 ? merge(from.map(load)) : null;
  if (out !== null) prepare(out);
  const report = loaded ?? (await measureAll(options, out!, date));
  console.log((options.markdown ? markdown : plain)(report));
  if (out === null) return;
  if (loaded) writeFileSync(out, `${JSON.stringify(loaded, null, 1)}\n`);
  const files = [out];
  const { chart } = await import('./chart.js'); // Vega takes long to load
  const svg = await chart(report);
  if (svg !== null) {
    files.push(`${out.replace(/\.json$/, '')}.svg`);
    writeFileSync(files[1]!, svg);
  }
  if (!options.markdown) console.log(files.map((file) => relative(process.cwd(), file)).join('\n'));
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 2;
}
