// How a child process times its work: warm up, then samples of many iterations until the time is over.
// peers/torch.py and native/bench/timing.h do the same, line by line.

export interface Measurement {
  /** Nanoseconds per iteration: the median over samples, the best sample, and all time over all iterations. */
  median_ns: number;
  best_ns: number;
  mean_ns: number;
  /** Processor time over all iterations, of all threads: what a busy machine cannot stretch. */
  cpu_ns: number;
  iterations: number;
  /** What ran: "tapegrad 0.1.0", its instruction set and the number of threads that it says it uses. */
  library: string;
  isa: string;
  threads: number;
  /** Which of a library's ways it was, where there are several. */
  variant?: string;
}

export type Timing = Pick<
  Measurement,
  'median_ns' | 'best_ns' | 'mean_ns' | 'cpu_ns' | 'iterations'
>;

// A sample is long against the clock's resolution and short against whatever else the machine does.
const SAMPLE_NS = 1e6;
// Enough for a median; of work that takes seconds, one after the warm-up must do.
const MIN_SAMPLES = 5;
const SLOW_NS = 1e9;
// Half the time of the samples, and at least this, five times what the others take: a step of the tape is compiled
// in several stages, and before the last it takes twice as long.
const WARM_UP_NS = 5e8;

const cpu = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1e3;
};
const now = (): number => Number(process.hrtime.bigint());

/** The middle one, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Does the work n times; no call of ours is in its loop. A promise is waited for: the work ends when it is resolved. */
export type Run = (n: number) => void | Promise<void>;

/** @param sampleNs - how long a sample is, about */
export async function measure(run: Run, seconds: number, sampleNs = SAMPLE_NS): Promise<Timing> {
  // Warms up (caches, the compiler, memory pools) and finds the number of iterations.
  let n = 1;
  let last = 1;
  for (const end = now() + Math.max(WARM_UP_NS, seconds * 5e8); ;) {
    const start = now();
    const pending = run(n);
    if (pending) await pending; // else no turn of the queue is paid for
    const stop = now();
    last = Math.max(1, stop - start);
    if (stop >= end) break;
    n = Math.max(1, Math.min(2 * n, Math.round((n * sampleNs) / last)));
  }
  const least = last > SLOW_NS ? 1 : MIN_SAMPLES;
  const samples: number[] = [];
  const cpuBegin = cpu();
  const begin = now();
  const end = begin + seconds * 1e9;
  let at = begin;
  while (at < end || samples.length < least) {
    const pending = run(n);
    if (pending) await pending;
    const next = now();
    samples.push((next - at) / n);
    at = next;
  }
  const cpuTime = cpu() - cpuBegin;
  return {
    median_ns: median(samples),
    best_ns: Math.min(...samples),
    mean_ns: (at - begin) / (n * samples.length),
    cpu_ns: cpuTime / (n * samples.length),
    iterations: n * samples.length,
  };
}
