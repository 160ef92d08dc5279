// From raw rounds to medians and paired ratios: the shape of the JSON file. tables.ts and chart.ts show it.
import { groupOf, type Work } from './cases.js';
import { median, type Measurement } from './measure.js';
import type { Machine } from './machine.js';

/** One participant's rounds of one case, and over them the median of medians and the best of bests. */
export interface Series {
  rounds: Measurement[];
  median_ns: number;
  best_ns: number;
}

/** Their time over ours: of a peer, above 1 we are faster; of a limit, the share of it that we reach. */
export interface Ratio {
  /** Median over rounds, and the extremes: each round's median against the same round's. */
  median: number;
  low: number;
  high: number;
  /** Best sample against best sample, over all rounds. */
  best: number;
}

export type Compared = Series & { ratio: Ratio };

export interface Result {
  name: string;
  work: Work;
  threads: number;
  ours: Series;
  peers: Record<string, Compared>;
  /** The time that the machine needs at least (limits.ts), measured in the same rounds. */
  limit?: Compared;
  /** Of a training step: the time of its bare matrix products here. */
  products?: Compared;
  /** Of a compiled step: the step as it is here, without compiling. */
  eager?: Compared;
}

export interface Report {
  schema: 2;
  date: string;
  machine: Machine;
  isa: string;
  rounds: number;
  seconds: number;
  /** By name: what was measured, or why it was not. */
  peers: Record<string, { title: string; library: string; isa: string } | { skipped: string }>;
  results: Result[];
  failures: { case: string; threads: number; library: string; reason: string }[];
}

export function series(rounds: Measurement[]): Series {
  return {
    rounds,
    median_ns: median(rounds.map((r) => r.median_ns)),
    best_ns: Math.min(...rounds.map((r) => r.best_ns)),
  };
}

/** A slow peer has fewer rounds than we: those that it has are paired with the first of ours. */
export function compare(ours: Series, rounds: Measurement[]): Compared {
  const theirs = series(rounds);
  const paired = theirs.rounds.map((r, i) => r.median_ns / ours.rounds[i]!.median_ns);
  const ratio = {
    median: median(paired),
    low: Math.min(...paired),
    high: Math.max(...paired),
    best: theirs.best_ns / ours.best_ns,
  };
  return { ...theirs, ratio };
}

/** The peer with the lowest median, and its name. */
export function bestPeer(result: Result): [string, Compared] | undefined {
  return Object.entries(result.peers).sort((a, b) => a[1].median_ns - b[1].median_ns)[0];
}

export interface Group {
  name: string;
  threads: number;
  results: Result[];
  /** Against the best peer of each case: the geometric mean of the ratios, and the lowest; null without peers. */
  mean: number | null;
  lowest: number | null;
}

/** The results by group and number of threads, in the order of the report. */
export function groups(results: readonly Result[]): Group[] {
  const found = new Map<string, Result[]>();
  for (const result of results) {
    const key = `${groupOf(result)} ${result.threads}`;
    found.set(key, [...(found.get(key) ?? []), result]);
  }
  return [...found.values()].map((members) => {
    const ratios = members.flatMap((r) => bestPeer(r)?.[1].ratio.median ?? []);
    const logs = ratios.reduce((sum, x) => sum + Math.log(x), 0);
    return {
      name: groupOf(members[0]!),
      threads: members[0]!.threads,
      results: members,
      mean: ratios.length > 0 ? Math.exp(logs / ratios.length) : null,
      lowest: ratios.length > 0 ? Math.min(...ratios) : null,
    };
  });
}

/** Several runs as one; of a case measured twice the later result counts. */
export function merge(reports: readonly Report[]): Report {
  const results = new Map<string, Result>();
  for (const report of reports)
    for (const r of report.results) results.set(`${r.name} ${r.threads}`, r);
  const peers: Report['peers'] = {};
  for (const report of reports)
    for (const [name, peer] of Object.entries(report.peers))
      if (!(name in peers) || 'library' in peer) peers[name] = peer;
  return {
    ...reports.at(-1)!,
    peers,
    results: [...results.values()],
    failures: reports.flatMap((r) => r.failures),
  };
}
