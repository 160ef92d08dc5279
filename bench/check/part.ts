// What a part of bench:check is, and the file that holds what all of them expect.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../machine.js';
import type { Counts } from './count.js';

/** bench/check/baseline.json: one entry for each part. */
export interface Baseline {
  /** By case. */
  counters: Record<string, Counts>;
  /** Instructions by instruction set and case, of code that this compiler made. */
  instructions: { compiler: string; counts: Record<string, Record<string, number>> };
  /** Lower bounds of the ratio to the roof, by instruction set and case. Set by hand. */
  roofline: Record<string, Record<string, number>>;
}

export interface Verdict {
  checked: number;
  /** One line each. */
  failures: string[];
}

export interface Part<Name extends keyof Baseline> {
  name: Name;
  /** Why it cannot be measured here, or why not compared with what the baseline says; null if it can. */
  missing(): string | null;
  incomparable?(baseline: Baseline[Name]): string | null;
  measure(baseline: Baseline[Name]): Baseline[Name];
  compare(now: Baseline[Name], baseline: Baseline[Name]): Verdict;
}

export const BASELINE = join(ROOT, 'bench/check/baseline.json');

export const readBaseline = (file: string): Baseline =>
  JSON.parse(readFileSync(file, 'utf8')) as Baseline;

export function writeBaseline(file: string, baseline: Baseline): void {
  writeFileSync(file, `${JSON.stringify(baseline, null, 2)}\n`);
}
