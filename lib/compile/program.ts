// One recorded function for inputs of given shapes: runs it, on its own thread or on this one, and keeps the
// counts of optimizers and random numbers in step. What a user sees of it is in compile.ts and train.ts.
import type { Device } from '../device.js';
import { TapegradError } from '../errors.js';
import { RUN, native, type NativeOutcome, type NativeProgramFacts } from '../native.js';
import { randomState, returnStreams, setRandomState, takeStreams } from '../random.js';
import { record, type Recording } from '../recording.js';
import { DTYPES } from '../schema.gen.js';
import { enableGrad } from '../tape.js';
import {
  adopt,
  blank,
  collecting,
  handleOf,
  isKept,
  setRequiresGrad,
  shapeOf,
  type Tensor,
} from '../tensor.js';
import { mapTensors, tensorsIn } from '../tree.js';
import type { RawProgram } from './describe.js';

export type NaNPolicy = 'ignore' | 'throw' | 'skip';

/** What a run of several steps is given. */
export interface RunRequest {
  readonly steps: number;
  /** One for each input: its value, or with `order` the rows to take batches from. */
  readonly tensors: readonly Tensor[];
  /** Rows of the batches, one batch after the other. */
  readonly order?: Int32Array;
  readonly onNaN: NaNPolicy;
  /** Whether the last step's gradient norm is wanted. */
  readonly norm?: boolean;
  /** Whether what the function returned in the last step is wanted. */
  readonly value?: boolean;
}

export interface RunResult {
  /** Steps begun and ended; fewer than asked for after an abort or an error. */
  readonly done: number;
  /** Of them, left out for a loss that was not finite. */
  readonly skipped: number;
  readonly losses: Float64Array;
  /** Of the last step's gradients, before clipping; NaN unless asked for or clipped. */
  readonly gradientNorm: number;
  readonly error: Error | null;
  /** If it was asked for, and a step was done. */
  readonly value?: unknown;
}

/** What ends the runs under way, by the number of the program. It keeps what it needs from being collected. */
const waiting = new Map<number, () => void>();
let listening = false;

function listen(): void {
  if (listening) return;
  listening = true;
  native.programsListen((id) => {
    const wake = waiting.get(id);
    waiting.delete(id);
    wake?.();
  });
}

/** @internal A recorded function, ready to run. */
export class Program {
  readonly facts: NativeProgramFacts;
  private readonly id: number;
  private readonly recording: Recording;
  private readonly advance: ((steps: number) => void)[];
  /** What the function returned, tensors replaced by their numbers among the outputs. */
  private readonly result: unknown;
  private readonly outputs: number;
  private streamsEnd = 0;
  private disposed = false;

  /**
   * Records fn, to be run on a device, on inputs like the given ones, which may be elsewhere. Nothing outside
   * changes, but optimizers make their state.
   */
  constructor(fn: (...args: never[]) => unknown, args: readonly unknown[], device: Device) {
    const random = randomState();
    const made: Tensor[] = [];
    let open = false;
    let recorded: Recording | undefined;
    try {
      const { result, made: recording } = record(device, random.seed, random.stream, () => {
        const inputs = mapTensors(args, symbolicLike) as never[];
        const value = collecting(made, () => enableGrad(() => fn(...inputs)));
        if (value instanceof Promise) {
          value.catch(() => undefined);
          throw new TypeError('compile: the function must not be async');
        }
        return value;
      });
      open = true;
      recorded = this.recording = recording;
      const outputs = tensorsIn(result);
      const index = new Map(outputs.map((t, i) => [t, i]));
      this.outputs = outputs.length;
      this.result = mapTensors(result, (t) => ({ [OUTPUT]: index.get(t)! }));
      const handles = outputs.map((t) => {
        if (t.isDisposed)
          throw new TapegradError(
            'TG_DISPOSED',
            'compile: the function returned a tensor that it had disposed of (by dispose, tidy, or as an intermediate result freed by backward: see keep)',
          );
        return handleOf(t);
      });
      open = false;
      this.id = native.traceEnd(Float64Array.from(handles));
    } catch (error) {
      recorded?.abandon();
      throw error;
    } finally {
      if (open) native.traceEnd();
      setRandomState(random);
      for (const t of made) if (!isKept(t)) t.dispose();
    }
    this.advance = [...this.recording.counters.values()].map((c) => c.rewind());
    this.facts = native.programFacts(this.id);
  }

  /** Whether the program still does what the function would. */
  get valid(): boolean {
    return this.recording.guards.every((holds) => holds());
  }
  /** Whether a run off the event loop is under way. */
  get running(): boolean {
    return waiting.has(this.id);
  }
  /** The step size of the next step; NaN without an optimizer. */
  get learningRate(): number {
    for (const counter of this.recording.counters.values()) return counter.learningRate;
    return NaN;
  }

  /** Runs on this thread. @throws TapegradError */
  runSync(request: RunRequest): RunResult {
    this.begin(request, 0);
    return this.finish(request);
  }

  /** Runs on the program's own thread. An abort ends the run after the step under way. */
  run(request: RunRequest, signal?: AbortSignal): Promise<RunResult> {
    listen();
    this.begin(request, RUN.async);
    const abort = (): void => native.programAbort(this.id);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    return new Promise((resolve, reject) => {
      waiting.set(this.id, () => {
        signal?.removeEventListener('abort', abort);
        try {
          resolve(this.finish(request));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
  }

  private begin({ steps, tensors, order, onNaN, norm }: RunRequest, how: number): void {
    const { row, streams } = this.facts;
    const numbers = new Float64Array(steps * row);
    for (let k = 0, at = 0; k < steps; ++k)
      for (const of of this.recording.numbers) for (const x of of(k)) numbers[at++] = x;
    const { seed, stream } = randomState();
    native.programRun(
      this.id,
      how |
        (onNaN === 'throw' ? RUN.nanFails : onNaN === 'skip' ? RUN.nanSkips : 0) |
        (norm ? RUN.norm : 0) |
        (order ? RUN.gather : 0),
      steps,
      numbers,
      Float64Array.from(tensors, handleOf),
      order ?? null,
      seed,
      stream,
      tensors,
    );
    this.streamsEnd = takeStreams(steps * streams);
    for (const t of this.recording.written) ++t.version;
    for (const leaf of this.recording.zeroed) {
      leaf.grad?.dispose();
      leaf.grad = null;
    }
  }

  private finish({ steps, value }: RunRequest): RunResult {
    const losses = new Float64Array(steps);
    const outcome = native.programCollect(this.id, losses);
    const applied = outcome.done - outcome.skipped;
    returnStreams(this.streamsEnd, (steps - applied) * this.facts.streams);
    for (const add of this.advance) add(applied);
    const error = this.disposed ? disposedOf(outcome.done, steps) : failure(outcome);
    return {
      done: outcome.done,
      skipped: outcome.skipped,
      losses: losses.subarray(0, outcome.done),
      gradientNorm: outcome.norm,
      error,
      // Taken here: later, the program may be running again.
      ...(value && !error && outcome.done > 0 && { value: this.value() }),
    };
  }

  /** What the function returns, of the step that ran last. */
  value(): unknown {
    const tensors = Array.from({ length: this.outputs }, (_, i) => {
      const t = blank();
      return adopt(t, native.programOutput(this.id, i, t));
    });
    return fill(this.result, tensors);
  }

  /** Its instructions as they were recorded, or as they are run. */
  describe(recorded: boolean): RawProgram {
    return JSON.parse(native.programDescribe(this.id, recorded ? 1 : 0)) as RawProgram;
  }
  /** Frees it. A run under way is ended by the step and given the error TG_DISPOSED. */
  dispose(): void {
    this.disposed = true;
    const settle = waiting.get(this.id);
    if (settle) {
      waiting.delete(this.id);
      native.programAbort(this.id);
      settle(); // waits for the end of the step
    }
    native.programDispose(this.id);
  }
}

const OUTPUT = Symbol('output');

function fill(result: unknown, tensors: readonly Tensor[]): unknown {
  if (typeof result !== 'object' || result === null) return result;
  const at = (result as { [OUTPUT]?: number })[OUTPUT];
  if (at !== undefined) return tensors[at];
  if (Array.isArray(result)) return result.map((r) => fill(r, tensors));
  return Object.fromEntries(Object.entries(result).map(([name, r]) => [name, fill(r, tensors)]));
}

const disposedOf = (done: number, steps: number): TapegradError =>
  new TapegradError(
    'TG_DISPOSED',
    `a compiled function was disposed of while it ran; ${done} of ${steps} steps were made and count`,
  );
const failure = ({ code, message }: NativeOutcome): TapegradError | null =>
  code === '' ? null : new TapegradError(code, message);

function symbolicLike(like: Tensor): Tensor {
  const shape = shapeOf(like);
  native.mailbox.set([shape.length, ...shape, DTYPES.indexOf(like.dtype)], ATTRS);
  const t = blank();
  adopt(t, native.traceInput(t));
  if (like.requiresGrad) setRequiresGrad(t);
  return t;
}
const ATTRS = 1;
