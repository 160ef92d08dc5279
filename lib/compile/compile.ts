// compile: a function of tensors as a native program that runs off the event loop.
import { checkDevice, getDefaultDevice, type Device } from '../device.js';
import { TapegradError, checkKeys, wrongType } from '../errors.js';
import { checkPrecision, inTf32, withMixed, withTf32, type Precision } from '../precision.js';
import { Program, type NaNPolicy, type RunRequest, type RunResult } from './program.js';
import type { Tensor } from '../tensor.js';
import type { Table } from '../data/table.js';
import { isRecording } from '../recording.js';
import { isPlain, mapTensors, outline, tensorsIn } from '../tree.js';
import type { TrainingData } from './blocks.js';
import {
  readData,
  readTrainOptions,
  reportsOf,
  steps,
  TrainingRun,
  type TrainOptions,
} from './train.js';
import { ProgramView, type CompiledProgram } from './view.js';

/** What `await step(…, options)` understands. */
export interface RunOptions {
  /** Ends the run at the next step's boundary; the promise is then rejected with the signal's reason. */
  signal?: AbortSignal;
  /**
   * What to do if the first value returned, a single float, is NaN or infinite: `'ignore'` (the default)
   * goes on, `'throw'` fails with TG_NAN and the name of the op where it began, `'skip'` leaves the step
   * out; both change no bit of anything outside.
   */
  onNaN?: NaNPolicy;
}

export interface CompileOptions {
  /** How many versions for different shapes and devices are kept; the one used longest ago goes. 16 unless told. */
  cacheSize?: number;
  /**
   * Where it runs; arguments from elsewhere are copied there in each step. Unless told: 'cuda' if an argument is
   * there, else the default device.
   */
  device?: Device;
  /**
   * In 'bfloat16', the function runs in mixed precision: see `autocast`. 'tf32' and 'float32' are `setMatmulPrecision`'s
   * 'high' and 'highest' for this function. Unless told, it is compiled for what is set when it is called.
   */
  precision?: Precision;
}

/** What `compile` makes of a function: a tensor among the arguments or in the result may sit in arrays and objects. */
export interface CompiledFunction<A extends unknown[], R> {
  /** Runs off the event loop. */
  (...args: [...A, RunOptions?]): Promise<R>;
  /**
   * Runs epochs of the function off the event loop. Training begins at once and goes on whether the reports are
   * read or not.
   * @param data - columns in memory (a tuple or record of tensors or typed arrays with equal first axes), whose
   * batches are shuffled and gathered natively; a `DataLoader`, which is left where training ended; or batches: an
   * iterable, an async iterable, or a function that makes one for each epoch
   * @example
   * for await (const r of step.train([x, y], { epochs: 10, batchSize: 128 })) console.log(r.epoch, r.loss);
   * @throws TypeError, RangeError for options; the run is rejected with whatever goes wrong later
   */
  train(data: Table | TrainingData, options?: TrainOptions): TrainingRun;
  /** Runs on this thread. */
  runSync(...args: [...A, RunOptions?]): R;
  /**
   * The version for arguments like these, compiled if need be: its instructions and memory.
   * @example console.log(step.program(x, y).describe().text);
   */
  program(...args: A): CompiledProgram;
  /** Versions compiled so far. */
  readonly versions: number;
  /** Frees all programs. What is under way ends at its step's boundary and is rejected with TG_DISPOSED. */
  dispose(): void;
  [Symbol.dispose](): void;
}

const POLICIES = ['ignore', 'throw', 'skip'];
const forgotten = new FinalizationRegistry<Cache>((cache) => {
  cache.dispose();
});

const lookups = new WeakMap<object, (args: readonly unknown[]) => Program>();

/** @internal The program itself, for those who run it. The compiled function must be kept meanwhile. */
export const programOf = (compiled: object, args: readonly unknown[]): Program =>
  lookups.get(compiled)!(args);

/** Programs by the shapes of their inputs, the one used last at the end. */
class Cache {
  readonly programs = new Map<string, Program>();
  /** What is done with the programs ends with them. */
  private stop = new AbortController();
  private made = 0;
  constructor(readonly size: number) {}

  get signal(): AbortSignal {
    return this.stop.signal;
  }

  /** The program for the key, made if there is none that still holds. */
  find(key: string, make: () => Program): Program {
    let program = this.programs.get(key);
    if (program && !program.valid) {
      if (program.running)
        throw new TapegradError(
          'TG_BUSY',
          'compile: a mode (train, eval) or the state of an optimizer was changed while the function runs: await it first',
        );
      program.dispose();
      program = undefined;
    }
    if (!program) {
      program = make();
      if (!this.programs.has(key) && ++this.made === this.size + 1) this.warn(key);
    }
    this.programs.delete(key);
    this.programs.set(key, program);
    for (const [old, idle] of this.programs) {
      if (this.programs.size <= this.size) break;
      if (idle.running || idle === program) continue;
      this.programs.delete(old);
      idle.dispose();
    }
    return program;
  }

  private warn(key: string): void {
    const shapes = [...this.programs.keys()].slice(-3).concat(key).join('; ');
    process.emitWarning(
      `compile: ${this.made} versions of a function were compiled, the last ones for ${shapes}. Each new shape costs ` +
        `time, and only ${this.size} are kept: give it batches of few sizes (dropLast, or pad them), or raise cacheSize.`,
      { type: 'TapegradWarning', code: 'TG_SHAPES' },
    );
  }

  dispose(): void {
    this.stop.abort(
      new TapegradError('TG_DISPOSED', 'train: the compiled function was disposed of'),
    );
    this.stop = new AbortController();
    for (const p of this.programs.values()) p.dispose();
    this.programs.clear();
  }
}

/** Splits off the options: a last argument that is an object with nothing but their names. */
function split(args: readonly unknown[]): { inputs: readonly unknown[]; options: RunOptions } {
  const last = args.at(-1);
  if (args.length > 0 && isPlain(last)) {
    const names = Object.keys(last);
    if (names.length > 0 && names.every((n) => n === 'signal' || n === 'onNaN'))
      return { inputs: args.slice(0, -1), options: checkRun('compile', last) };
  }
  return { inputs: args, options: {} };
}

/** @internal */
export function checkRun(op: string, options: unknown): RunOptions {
  const { signal, onNaN } = options as Record<string, unknown>;
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw wrongType(op, 'signal', 'an AbortSignal', signal);
  if (onNaN !== undefined && !POLICIES.includes(onNaN as string))
    throw wrongType(op, 'onNaN', `one of ${POLICIES.join(', ')}`, onNaN);
  return { ...(signal && { signal }), ...(onNaN !== undefined && { onNaN: onNaN as NaNPolicy }) };
}

/** The tensors of the arguments, in order. Numbers would be baked into the program unseen. */
function checkInputs(inputs: readonly unknown[]): Tensor[] {
  refuseNesting();
  const tensors: Tensor[] = [];
  const live = (t: Tensor): Tensor => {
    if (t.isDisposed)
      throw new TapegradError('TG_DISPOSED', 'compile: an argument was disposed of');
    tensors.push(t);
    return t;
  };
  mapTensors(inputs, live, refuseNumber);
  return tensors;
}
const deviceOf = (inputs: readonly unknown[]): Device =>
  inputs.flatMap(tensorsIn).some((t) => t.device === 'cuda') ? 'cuda' : getDefaultDevice();
function refuseNesting(): void {
  if (isRecording())
    throw new TapegradError(
      'TG_TRACE',
      'compile: a compiled function was called inside one that is being compiled; call the plain function there',
    );
}
/** What is neither a tensor nor holds any. */
function refuseNumber(value: unknown): unknown {
  if (typeof value === 'number')
    throw new TypeError(
      `compile: an argument is the number ${value}; give it as a tensor (tg.tensor(${value})) if it varies, or let the function close over it if it does not`,
    );
  return value;
}

/**
 * Makes a function of tensors into a program that runs in native code, off the event loop: it is called once
 * with recording, for each combination of input shapes and dtypes, and what it called is planned and run from
 * then on. Learning rates, step counts and random numbers go on as they would without; values that the function
 * computes in JavaScript are looked at once. What it returns comes back as new tensors.
 * @param fn - not async; must not look at values (`item`, `dataSync`): they do not exist when it is recorded
 * @example
 * const step = tg.compile((x: tg.Tensor, y: tg.Tensor) => {
 *   const loss = losses.crossEntropy(model.forward(x), y);
 *   optimizer.minimize(loss);
 *   return loss;
 * });
 * const loss = await step(x, y);
 * @throws TapegradError TG_TRACE for what cannot be recorded, TG_BUSY while a program runs on the same
 * parameters, TG_NAN (see {@link RunOptions}); whatever the function throws
 */
export function compile<A extends unknown[], R>(
  fn: (...args: A) => R,
  options?: CompileOptions,
): CompiledFunction<A, R> {
  if (typeof fn !== 'function') throw wrongType('compile', 'fn', 'a function', fn);
  const {
    cacheSize = 16,
    device,
    precision: wanted,
  } = checkKeys('compile', options, ['cacheSize', 'device', 'precision']) as CompileOptions;
  const precision = checkPrecision('compile', wanted);
  if (device !== undefined) checkDevice('compile', device);
  if (!Number.isInteger(cacheSize) || cacheSize < 1)
    throw new RangeError(`compile: cacheSize must be an integer ≥ 1, got ${String(cacheSize)}`);
  const cache = new Cache(cacheSize);

  const programFor = (inputs: readonly unknown[]): Program => {
    const there = device ?? deviceOf(inputs);
    const tf32 = there === 'cuda' && inTf32(precision);
    const how = (there === 'cpu' ? '' : ` on ${there}`) + (tf32 ? ' in tf32' : '');
    const mixed = precision === 'bfloat16';
    return cache.find(inputs.map(outline).join(' ') + how, () =>
      withTf32(
        tf32,
        () => new Program((...args: A) => withMixed(mixed, () => fn(...args)), inputs, there),
      ),
    );
  };

  const runSync = (...args: unknown[]): R => {
    const { inputs, options: given } = split(args);
    const tensors = checkInputs(inputs);
    given.signal?.throwIfAborted();
    const program = programFor(inputs);
    return settle(program.runSync(oneStep(tensors, given)));
  };
  const run = async (...args: unknown[]): Promise<R> => {
    const { inputs, options: given } = split(args);
    const tensors = checkInputs(inputs);
    const { signal } = given;
    signal?.throwIfAborted();
    const program = programFor(inputs);
    const result = await program.run(oneStep(tensors, given), signal);
    if (result.done === 0 && !result.error) signal?.throwIfAborted();
    return settle(result);
  };
  const oneStep = (tensors: readonly Tensor[], { onNaN = 'ignore' }: RunOptions): RunRequest => ({
    steps: 1,
    tensors,
    onNaN,
    value: true,
  });
  const settle = ({ error, value }: RunResult): R => {
    if (error) throw error;
    return value as R;
  };
  const dispose = (): void => {
    cache.dispose();
  };
  const train = (data: unknown, given?: TrainOptions): TrainingRun => {
    refuseNesting();
    const settings = readTrainOptions('train', given);
    const source = readData('train', data, settings);
    const signals = settings.signal ? [settings.signal, cache.signal] : [cache.signal];
    return new TrainingRun(
      (signal) => reportsOf(steps(source, programFor, { ...settings, signal })),
      AbortSignal.any(signals),
    );
  };
  const lookUp = (args: readonly unknown[]): Program => {
    checkInputs(args);
    return programFor(args);
  };
  const compiled: object = Object.assign(run, {
    runSync,
    train,
    program: (...args: unknown[]) => new ProgramView(lookUp(args), compiled),
    dispose,
    [Symbol.dispose]: dispose,
  });
  Object.defineProperty(compiled, 'versions', { get: () => cache.programs.size });
  forgotten.register(compiled, cache);
  lookups.set(compiled, lookUp);
  return compiled as unknown as CompiledFunction<A, R>;
}
