// step.train: epochs of a compiled step, off the event loop, with reports on the way.
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { DataLoader } from '../data/loader.js';
import type { Table } from '../data/table.js';
import type { Tensor } from '../tensor.js';
import { untilAborted } from './abort.js';
import { blocksOf, type TrainingData, type Work } from './blocks.js';
import type { NaNPolicy, RunRequest, RunResult } from './program.js';

export interface TrainOptions {
  /** Times that the data is gone through; 1 unless told. */
  epochs?: number;
  /** Examples per batch, for data in memory; 32 unless told. */
  batchSize?: number;
  /** A new order in each epoch, for data in memory; true unless told. */
  shuffle?: boolean;
  /** Fixes all orders; drawn from the generator of `manualSeed` unless told. */
  seed?: number;
  /** Leaves out a last batch that is not full. */
  dropLast?: boolean;
  /** Steps between reports; unless told, one at the end of each epoch. There is always one at the end. */
  reportEvery?: number;
  /** Ends training after the step under way; the run is then rejected with the signal's reason. */
  signal?: AbortSignal;
  /** What to do about a loss that is not finite; `'throw'` unless told. */
  onNaN?: NaNPolicy;
}

/** What became of the steps since the last report. */
export interface TrainReport {
  /** The epoch of the last step, from 1. */
  readonly epoch: number;
  /** Steps of this run so far. */
  readonly step: number;
  /** Mean of the losses, skipped steps left out; NaN if there are none. */
  readonly loss: number;
  /** The step size of the next step; NaN without an optimizer. */
  readonly learningRate: number;
  /** Of the last step, before clipping. */
  readonly gradientNorm: number;
  readonly samplesPerSecond: number;
  /** Steps left out since the last report, for a loss that was not finite. */
  readonly skipped: number;
}

/** @internal What runs steps: a program, or the function itself. */
export interface Runnable {
  /** The step size of the next step; NaN without an optimizer. */
  readonly learningRate: number;
  run(request: RunRequest, signal?: AbortSignal): Promise<RunResult>;
}
/** @internal How the program for a block is found. */
export type ProgramFor = (like: readonly Tensor[]) => Runnable;

/** @internal */
export interface TrainSettings extends Required<
  Omit<TrainOptions, 'signal' | 'seed' | 'reportEvery'>
> {
  readonly seed: number | undefined;
  readonly reportEvery: number;
  readonly signal: AbortSignal | undefined;
}

type DataSettings = Pick<TrainSettings, 'batchSize' | 'shuffle' | 'seed' | 'dropLast'>;

const KNOWN = [
  'epochs',
  'batchSize',
  'shuffle',
  'seed',
  'dropLast',
  'reportEvery',
  'signal',
  'onNaN',
];
// A block is this long, so that a change of the learning rate, an abort or a report is not far away and the cost
// of starting it is small beside it.
const BLOCK_SECONDS = 0.05;
const MIN_BLOCK = 64;
const MAX_BLOCK = 4096;

/** @internal `more` are options that the caller reads itself. @throws TypeError, RangeError */
export function readTrainOptions(
  op: string,
  options: unknown,
  more: readonly string[] = [],
): TrainSettings {
  const given = checkKeys(op, options, [...KNOWN, ...more]) as TrainOptions;
  const count = (name: string, value: unknown, usual: number): number =>
    value === undefined ? usual : checkNumber(op, name, value, { min: 1, integer: true });
  const flag = (name: string, value: unknown, usual: boolean): boolean => {
    if (value !== undefined && typeof value !== 'boolean')
      throw wrongType(op, name, 'a boolean', value);
    return value ?? usual;
  };
  const { signal, onNaN = 'throw' } = given;
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw wrongType(op, 'signal', 'an AbortSignal', signal);
  if (!['ignore', 'throw', 'skip'].includes(onNaN))
    throw wrongType(op, 'onNaN', 'one of ignore, throw, skip', onNaN);
  return {
    epochs: count('epochs', given.epochs, 1),
    batchSize: count('batchSize', given.batchSize, 32),
    shuffle: flag('shuffle', given.shuffle, true),
    seed: given.seed,
    dropLast: flag('dropLast', given.dropLast, false),
    reportEvery: count('reportEvery', given.reportEvery, Infinity),
    signal,
    onNaN,
  };
}

/** @internal The data as something that is made of batches. */
export function readData(op: string, data: unknown, settings: DataSettings): TrainingData {
  if (data instanceof DataLoader || typeof data === 'function') return data as TrainingData;
  if (typeof data !== 'object' || data === null)
    throw wrongType(op, 'the data', 'tensors, a DataLoader or an iterable of batches', data);
  const stream = Symbol.asyncIterator in data || (Symbol.iterator in data && !Array.isArray(data));
  const batches = Array.isArray(data) && typeof data[0] === 'object' && !isColumnLike(data[0]);
  if ((stream && !ArrayBuffer.isView(data)) || batches) return data as TrainingData;
  const { batchSize, shuffle, seed, dropLast } = settings;
  return new DataLoader(data as Table, {
    batchSize,
    shuffle,
    dropLast,
    ...(seed !== undefined && { seed }),
  });
}
const isColumnLike = (value: unknown): boolean =>
  ArrayBuffer.isView(value) ||
  (typeof value === 'object' && value !== null && ('dtype' in value || 'data' in value));

/** @internal How far training is, and what adds up between two reports; JSON can hold `state()`. */
export class Progress {
  /** Steps so far. */
  step = 0;
  /** Epochs that ended. */
  epoch = 0;
  /** Examples and batches of the running epoch. */
  examples = 0;
  batches = 0;
  /** The step of the last report. */
  private reported = 0;
  private sum = 0;
  private count = 0;
  private skipped = 0;
  private samples = 0;
  private since = performance.now();

  add(work: Work, { done, skipped, losses }: RunResult): void {
    for (const loss of losses) {
      if (!Number.isFinite(loss)) continue;
      this.sum += loss;
      ++this.count;
    }
    this.step += done;
    this.batches += done;
    this.skipped += skipped;
    this.samples += done * work.batch;
    this.examples += done * work.batch;
  }

  /** Mean of the losses since the last report. */
  get loss(): number {
    return this.sum / this.count;
  }

  /** Steps that are left until the next report. */
  left(reportEvery: number): number {
    return this.reported + reportEvery - this.step;
  }

  report(endsEpoch: boolean, learningRate: number, gradientNorm: number): TrainReport {
    const now = performance.now();
    const report = {
      epoch: this.epoch + 1,
      step: this.step,
      loss: this.loss,
      learningRate,
      gradientNorm,
      samplesPerSecond: (this.samples / Math.max(now - this.since, 1e-6)) * 1e3,
      skipped: this.skipped,
    };
    this.sum = this.count = this.samples = this.skipped = 0;
    this.since = now;
    this.reported = this.step;
    if (endsEpoch) {
      ++this.epoch;
      this.examples = this.batches = 0;
    }
    return report;
  }

  /** Leaves what happened since the report out of the speed. */
  restart(): void {
    this.since = performance.now();
  }

  state(): ProgressState {
    const { step, epoch, examples, batches, reported, sum, count, skipped } = this;
    return { step, epoch, examples, batches, reported, sum, count, skipped };
  }
  load(state: ProgressState): void {
    Object.assign(this, state);
  }
}
/** @internal */
export type ProgressState = Record<
  'step' | 'epoch' | 'examples' | 'batches' | 'reported' | 'sum' | 'count' | 'skipped',
  number
>;

const NOTHING_DONE: RunResult = {
  done: 0,
  skipped: 0,
  losses: new Float64Array(),
  gradientNorm: NaN,
  error: null,
};

/** @internal What there is to say after a block of steps. */
export interface Stop {
  /** If one is due. */
  readonly report: TrainReport | null;
  readonly endsEpoch: boolean;
}

/**
 * @internal Runs epochs block by block and stops after each until its reader wants the next: what `train` and `fit`
 * share. Goes on from `progress`, to which the data must have been moved. Leaving it early ends training.
 * @param stopEvery - steps; a block ends at each multiple
 */
export async function* steps(
  data: TrainingData,
  programFor: ProgramFor,
  settings: TrainSettings,
  progress = new Progress(),
  stopEvery = Infinity,
): AsyncGenerator<Stop, void, undefined> {
  const { epochs, reportEvery, signal, onNaN } = settings;
  let perStep = Infinity; // seconds
  const limit = (): number => {
    const quick = Math.max(1, Math.floor(BLOCK_SECONDS / perStep));
    const stop = stopEvery - (progress.step % stopEvery);
    return Math.min(Math.max(MIN_BLOCK, quick), MAX_BLOCK, progress.left(reportEvery), stop);
  };
  for await (const work of untilAborted(blocksOf(data, epochs - progress.epoch, limit), signal)) {
    const due = (ran: number): boolean => work.endsEpoch || ran >= progress.left(reportEvery);
    let program: Runnable;
    let result: RunResult = NOTHING_DONE;
    try {
      program = programFor(work.like);
      const start = performance.now();
      const { steps, tensors, order } = work;
      const request = { steps, tensors, ...(order && { order }), onNaN, norm: due(steps) };
      result = await program.run(request, signal);
      if (result.done > 0) perStep = (performance.now() - start) / 1e3 / result.done;
      progress.add(work, result);
    } finally {
      work.done(result.done);
    }
    if (result.error) throw result.error;
    if (result.done < work.steps) signal?.throwIfAborted();
    const { endsEpoch } = work;
    yield {
      report: due(0) ? progress.report(endsEpoch, program.learningRate, result.gradientNorm) : null,
      endsEpoch,
    };
  }
}

/** @internal The reports alone. */
export async function* reportsOf(
  stops: AsyncIterable<Stop>,
): AsyncGenerator<TrainReport, void, undefined> {
  for await (const { report } of stops) if (report) yield report;
}

/** More reports than this are not kept for a reader that is late: the oldest go. */
const MAX_REPORTS = 1024;

/**
 * A training run under way. It goes on whether its reports are read or not; a loop over them that is left early
 * ends it at the next step.
 */
export class TrainingRun<R = TrainReport> implements AsyncIterable<R> {
  /** The last report; rejected if training failed or was aborted. */
  readonly finished: Promise<R>;
  readonly #stop: AbortController;
  readonly #reports: R[] = [];
  /** Readers that wait for a report, or the end. */
  #readers: (() => void)[] = [];
  #ended = false;
  #failure: { error: unknown } | null = null;

  /** @internal */
  constructor(start: (signal: AbortSignal) => AsyncIterable<R>, signal: AbortSignal | undefined) {
    this.#stop = new AbortController();
    const either = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    this.finished = this.#drive(start(either));
    this.finished.catch(() => undefined); // it may also be read from the loop alone
  }

  /** Ends training after the step under way; `finished` is then rejected with the reason. */
  abort(reason?: unknown): void {
    this.#stop.abort(reason);
  }

  #wake(): void {
    for (const wake of this.#readers.splice(0)) wake();
  }

  async #drive(source: AsyncIterable<R>): Promise<R> {
    let last: R | undefined;
    try {
      for await (const report of source) {
        last = report;
        this.#reports.push(report);
        if (this.#reports.length > MAX_REPORTS) this.#reports.shift();
        this.#wake();
      }
      return last!;
    } catch (error) {
      this.#failure = { error };
      throw error;
    } finally {
      this.#ended = true;
      this.#wake();
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<R, void, undefined> {
    try {
      for (;;) {
        while (this.#reports.length > 0) yield this.#reports.shift()!;
        if (this.#ended) break;
        await new Promise<void>((resolve) => this.#readers.push(resolve));
      }
      if (this.#failure) throw this.#failure.error;
    } finally {
      if (!this.#ended) {
        this.abort();
        await this.finished.catch(() => undefined);
      }
    }
  }
}
