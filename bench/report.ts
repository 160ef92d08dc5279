// From raw rounds to medians, paired ratios, a table and the shape of the JSON file.
import { quote, type Case } from './cases.js';
import { median, type Measurement } from './measure.js';
import type { Machine } from './machine.js';

/** One library's rounds of one case, and over them the median of medians and the best of bests. */
export interface Series {
  rounds: Measurement[];
  median_ns: number;
  best_ns: number;
}

/** Their time over ours; above 1 we are faster. */
export interface Ratio {
  /** Median over rounds, and the extremes: each round's median against the same round's. */
  median: number;
  low: number;
  high: number;
  /** Best sample against best sample, over all rounds. */
  best: number;
}

export interface Result extends Case {
  ours: Series;
  peers: Record<string, Series & { ratio: Ratio }>;
}

export interface Report {
  schema: 1;
  date: string;
  machine: Machine;
  isa: string;
  threads: number;
  rounds: number;
  seconds: number;
  /** By name: what was measured, or why it was not. */
  peers: Record<string, { library: string; isa: string } | { skipped: string }>;
  results: Result[];
  failures: { case: string; reason: string }[];
}

export function series(rounds: Measurement[]): Series {
  return {
    rounds,
    median_ns: median(rounds.map((r) => r.median_ns)),
    best_ns: Math.min(...rounds.map((r) => r.best_ns)),
  };
}

export function ratio(ours: Series, theirs: Series): Ratio {
  const paired = theirs.rounds.map((r, i) => r.median_ns / ours.rounds[i]!.median_ns);
  return {
    median: median(paired),
    low: Math.min(...paired),
    high: Math.max(...paired),
    best: theirs.best_ns / ours.best_ns,
  };
}

const times = (x: number): string => `${x.toFixed(2)}×`;

/** Rows of text in columns: the first is flush left, the others flush right. */
function columns(rows: string[][]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  '),
  );
}

/** The table that ends a run. */
export function table(report: Report): string {
  const names = Object.keys(report.peers).filter((name) => 'library' in report.peers[name]!);
  const head = ['case', 'tapegrad', 'best'];
  for (const name of names) head.push(name, 'best', `${name}/tapegrad`, 'spread', 'best/best');
  const rows = report.results.map(({ name, work, ours, peers }) => {
    const row = [name, quote(work, ours.median_ns), quote(work, ours.best_ns)];
    for (const peer of names) {
      const theirs = peers[peer];
      if (theirs) {
        const { median, low, high, best } = theirs.ratio;
        row.push(quote(work, theirs.median_ns), quote(work, theirs.best_ns));
        row.push(times(median), `${low.toFixed(2)} … ${high.toFixed(2)}`, times(best));
      } else {
        row.push('–', '–', '–', '–', '–');
      }
    }
    return row;
  });
  const { machine } = report;
  const text = [
    `${machine.cpu}${machine.cpuId ? ` (${machine.cpuId})` : ''}, ${machine.cores} cores; ${report.isa}; ` +
      `threads: ${report.threads}; node ${machine.node}; commit ${machine.commit ?? 'unknown'}`,
    ...columns([head, ...rows]),
  ];
  if (names.length > 0) text.push('Ratios are paired by round; above 1 tapegrad is faster.');
  for (const [name, peer] of Object.entries(report.peers))
    if ('skipped' in peer) text.push(`${name} skipped: ${peer.skipped}`);
  return text.join('\n');
}
