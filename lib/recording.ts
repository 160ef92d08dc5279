// What takes part while a function is being compiled: who counts steps, what differs from step to step, on
// what the recorded code depends. Native code records the calls themselves. No ops are run here.
import { deviceCode, onDevice, type Device } from './device.js';
import { TapegradError } from './errors.js';
import { native } from './native.js';
import { DTYPES } from './schema.gen.js';
import { adopt, blank, type Tensor } from './tensor.js';

/** Somebody who counts steps, such as an optimizer: recording a step must not count. */
export interface Counter {
  /** Sets the counts back to where the recording found them, and says how to add `steps` runs to them. */
  rewind(): (steps: number) => void;
  /** Forgets what the recording counted and made. */
  abandon(): void;
  /** The step size of the next step, for reports. */
  readonly learningRate: number;
}

/** Gives the numbers of the step that comes `ahead` steps after the next one. */
export type StepNumbers = (ahead: number) => readonly number[];

/** A function under way of being compiled. */
export class Recording {
  /** In the order in which native code asks for them: a step's row. */
  readonly numbers: StepNumbers[] = [];
  /** Whether what was recorded still holds; checked before each run. */
  readonly guards: (() => boolean)[] = [];
  readonly counters = new Map<object, Counter>();
  /** Leaves whose grad is symbolic. */
  readonly graded = new Set<Tensor>();
  /** Leaves whose gradient was set to zero before anything was added to it. */
  readonly zeroed = new Set<Tensor>();
  /** Leaves with a gradient outside, to which every run adds. */
  readonly accumulating = new Set<Tensor>();
  /** Gradients that leaves had outside when the function set them to zero; recording leaves them in place. */
  readonly replaced = new Map<Tensor, Tensor>();
  /** Tensors outside that a step writes to. */
  readonly written = new Set<Tensor>();
  /** Modules whose mode was looked at. */
  readonly watched = new Set<object>();

  /** Counts for `owner` from now on, once. */
  join(owner: object, counter: () => Counter): void {
    if (!this.counters.has(owner)) this.counters.set(owner, counter());
  }
  /** Records that a leaf's gradient, or that there is none, comes from outside. */
  usesGradient(leaf: Tensor): void {
    const { grad } = leaf;
    if (this.graded.has(leaf)) return;
    if (grad) this.watch(grad, () => leaf.grad === grad && !grad.isDisposed);
    else if (!this.zeroed.has(leaf)) this.watch(leaf, () => leaf.grad === null);
  }
  /** Gradients are again what they were outside. */
  restoreGradients(): void {
    for (const leaf of this.graded) leaf.grad = null;
    for (const [leaf, grad] of this.replaced) leaf.grad = grad;
  }
  /** Takes back what recording did outside, for a function that cannot be compiled. */
  abandon(): void {
    for (const counter of this.counters.values()) counter.abandon();
    for (const leaf of this.accumulating) {
      leaf.grad?.dispose();
      leaf.grad = null;
    }
  }
  /** Records a dependency on something that the program cannot see. */
  watch(owner: object, holds: () => boolean): void {
    if (this.watched.has(owner)) return;
    this.watched.add(owner);
    this.guards.push(holds);
  }
}

let current: Recording | null = null;
let paused = 0;

/** @internal The recording under way; null outside `compile`, and inside {@link outside}. */
export const recording = (): Recording | null => (paused > 0 ? null : current);

/** Whether a function is being compiled: tensors have shapes then, but no values. */
export const isRecording = (): boolean => recording() !== null;

/** @internal Runs fn as if nothing were being recorded: for what exists before the first step. */
export function outside<T>(fn: () => T): T {
  if (!current) return fn();
  if (paused++ === 0) native.tracePause(1);
  try {
    return fn();
  } finally {
    if (--paused === 0) native.tracePause(0);
  }
}

/** @internal A number that changes from step to step: itself, or while recording an input of the program. */
export function stepNumber(
  dtype: 'float32' | 'float64',
  value: number,
  ahead: (ahead: number) => number,
): number | Tensor {
  const to = recording();
  if (!to) return value;
  const t = blank();
  adopt(t, native.traceNumber(t, DTYPES.indexOf(dtype)));
  to.numbers.push((k) => [ahead(k)]);
  return t;
}

/**
 * @internal Records what fn calls. Tensors that it makes are on the device.
 * @returns fn's result and the recording; native code is still waiting for `traceEnd`.
 */
export function record<T>(
  device: Device,
  seed: number,
  stream: number,
  fn: () => T,
): { result: T; made: Recording } {
  if (current)
    throw new TapegradError(
      'TG_TRACE',
      'compile: a compiled function was called inside one that is being compiled; call the plain function there',
    );
  native.traceBegin(seed, stream, deviceCode(device));
  const made = (current = new Recording());
  try {
    return { result: onDevice(device, fn), made };
  } catch (error) {
    native.traceEnd();
    made.abandon();
    throw error;
  } finally {
    current = null;
    made.restoreGradients();
  }
}
