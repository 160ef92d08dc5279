// Whether one of two builds is slower, from measurements in pairs.
import { median } from '../measure.js';

/** How often a fair coin shows heads `heads` times or more in `tosses`: exact. */
function tail(heads: number, tosses: number): number {
  let ways = 1; // (tosses choose k)
  let sum = 0;
  for (let k = 0; k <= tosses; ++k) {
    if (k >= heads) sum += ways;
    ways = (ways * (tosses - k)) / (k + 1);
  }
  return sum / 2 ** tosses;
}

export interface Comparison {
  /** Median over pairs of new time / old time; above 1, the new build is slower. */
  ratio: number;
  /** Quartiles of the pairs. */
  low: number;
  high: number;
  /**
   * One-sided sign test: the chance that as many pairs, or more, were slower if the builds were alike. Ties count
   * for neither side. It asks nothing of how the noise is distributed.
   */
  p: number;
  slower: boolean;
}

/** A loss that counts: certain beyond this chance of an error, and larger than this. */
export const MAX_P = 0.01;
export const MAX_RATIO = 1.03;

/** @param ratios - new time / old time of each pair, positive; at least one */
export function compare(ratios: readonly number[]): Comparison {
  const sorted = [...ratios].sort((a, b) => a - b);
  const quantile = (q: number) => sorted[Math.round(q * (sorted.length - 1))]!;
  const up = ratios.filter((r) => r > 1).length;
  const down = ratios.filter((r) => r < 1).length;
  const ratio = median(ratios);
  const p = tail(up, up + down);
  return {
    ratio,
    low: quantile(0.25),
    high: quantile(0.75),
    p,
    slower: p < MAX_P && ratio > MAX_RATIO,
  };
}
