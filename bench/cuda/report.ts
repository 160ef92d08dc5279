// What comes of a run on a CUDA device: the shape of the JSON file, and its table.
import { median } from '../measure.js';
import type { Machine } from '../machine.js';
import { boundOf, quote, type Case } from './cases.js';
import type { Greeting } from './child.js';

/** Nanoseconds per call in each round, and the median over them. */
export interface Series {
  rounds_ns: number[];
  median_ns: number;
  /** Calls in a round. */
  iterations: number;
  note?: string;
}
export type Side = Series | { failed: string } | { skipped: string };

export interface Result extends Case {
  ours: Side;
  theirs: Side;
  /** Their time over ours, round by round: above 1 we are faster. Null unless both were measured. */
  ratio: { median: number; low: number; high: number } | null;
  /** Of what bounds it, bytes or arithmetic, how much our median reaches: per second. */
  rate: { bytes: number } | { flops: number } | null;
  /** Our bytes per second over the roof's; null where memory is not the bound. */
  roofShare: number | null;
}

export interface Report {
  schema: 1;
  date: string;
  commit: string | null;
  machine: Machine;
  /** Null if tapegrad could not open it. */
  device: Greeting | null;
  peer: Greeting | { skipped: string };
  /** How many rounds a case was to have, and what a round took at least. */
  rounds: number;
  least_ns: number;
  /** Bytes per second of a copy on the device, read and written: the better of both libraries'. */
  roof: number | null;
  results: Result[];
}

const PER_SECOND = 1e9;

export const measured = (side: Side): side is Series => 'median_ns' in side;

export function series(rounds_ns: number[], iterations: number, note?: string): Series {
  return { rounds_ns, median_ns: median(rounds_ns), iterations, ...(note ? { note } : {}) };
}

export function compare(c: Case, ours: Side, theirs: Side): Result {
  const bound = boundOf(c.work);
  const result: Result = { ...c, ours, theirs, ratio: null, rate: null, roofShare: null };
  if (!measured(ours)) return result;
  if (bound && 'bytes' in bound)
    result.rate = { bytes: (bound.bytes / ours.median_ns) * PER_SECOND };
  else if (bound) result.rate = { flops: (bound.flops / ours.median_ns) * PER_SECOND };
  if (!measured(theirs)) return result;
  const ratios = theirs.rounds_ns.map((ns, i) => ns / ours.rounds_ns[i]!);
  result.ratio = { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) };
  return result;
}

/** The roof of these results, and each result's share of it. */
export function roofed(results: Result[]): Pick<Report, 'roof' | 'results'> {
  const speeds = results
    .filter(({ work }) => work.kind === 'copy')
    .flatMap(({ work, ours, theirs }) =>
      [ours, theirs].filter(measured).map((side) => {
        const bound = boundOf(work) as { bytes: number };
        return (bound.bytes / side.median_ns) * PER_SECOND;
      }),
    );
  if (speeds.length === 0) return { roof: null, results };
  const roof = Math.max(...speeds);
  const share = ({ rate }: Result) => (rate && 'bytes' in rate ? rate.bytes / roof : null);
  return { roof, results: results.map((r) => ({ ...r, roofShare: share(r) })) };
}

/** Lines in columns, the first to the left and the others to the right. */
function align(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const pad = (cell: string, i: number) =>
    i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!);
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

function cells(r: Result): string[] {
  const time = (side: Side) =>
    measured(side) ? quote(r.work, side.median_ns) : 'failed' in side ? 'failed' : '–';
  return [
    r.name,
    time(r.ours),
    time(r.theirs),
    r.ratio ? `${r.ratio.median.toFixed(2)}×` : '–',
    r.roofShare === null ? '' : `${(100 * r.roofShare).toFixed(0)} %`,
  ];
}

/** A line for those who wait. */
export const summary = (result: Result): string => cells(result).join('  ').trimEnd();

export function table({ results, device, peer }: Report): string {
  const rows = results.map(cells);
  const complaints = results.flatMap(({ name, ours, theirs }) =>
    Object.entries({ tapegrad: ours, peer: theirs }).flatMap(([who, side]) =>
      'failed' in side ? [`${name}: ${who} failed: ${side.failed}`] : [],
    ),
  );
  const their = 'skipped' in peer ? `peer skipped: ${peer.skipped}` : `beside ${peer.library}`;
  return [
    ...complaints,
    `${device?.device ?? 'no device'}, ${their}; ratio: their time over ours; roof: a copy on the device`,
    align([['case', 'ours', 'theirs', 'ratio', 'of roof'], ...rows]),
  ].join('\n');
}
