// Validation: loss, accuracy and the user's metrics over a dataset, with the network in evaluation mode. Changes
// nothing.
import { setImmediate } from 'node:timers/promises';
import { getDefaultDevice, type Device } from '../device.js';
import { TapegradError, checkKeys, checkNumber, describe, wrongType } from '../errors.js';
import { untilAborted } from '../compile/abort.js';
import { compile, programOf, type CompiledFunction } from '../compile/compile.js';
import { DataLoader } from '../data/loader.js';
import type { Dataset } from '../data/source.js';
import type { Module } from '../nn/module.js';
import { argmax, concat, equal, sum } from '../ops.gen.js';
import { to } from '../ops.js';
import { noGrad } from '../tape.js';
import { isTensor, shapeOf, tidy, type Tensor } from '../tensor.js';
import { isPlain, tensorsIn } from '../tree.js';

/** A number that says how good predictions are, of a whole set; those of `tg.metrics` fit. */
export type Metric = (prediction: Tensor, target: Tensor) => number;

export interface ValidationOptions {
  /** What a `DataLoader` reads, or one. */
  data: Dataset | DataLoader;
  /** Further numbers by name. Each is computed on all predictions at once, on this thread. */
  metrics?: Readonly<Record<string, Metric>>;
  /** Examples per batch; 256 unless told. */
  batchSize?: number;
}

/** What validation found. */
export interface Validation {
  /** Mean over the examples. */
  readonly loss: number;
  /** Share of right answers, for scores [n, classes] and integer targets [n]. */
  readonly accuracy?: number;
  /** The user's own. */
  readonly [metric: string]: number | undefined;
}

/** @internal The loss of the model's outputs: inputs first, the target last; one column is its own target. */
export type Loss = (prediction: Tensor, target: Tensor) => Tensor;

/** @internal Where a model is computed: on the device of its first parameter. */
export const deviceOfModel = (model: Module): Device =>
  model.parameters()[0]?.device ?? getDefaultDevice();

/** @internal What the model predicts for a batch, the target, and the loss. */
export function predict(
  model: Module,
  loss: Loss,
  batch: readonly Tensor[],
): { prediction: Tensor; target: Tensor; value: Tensor } {
  const target = batch.at(-1)!;
  const prediction = model.forward(...(batch.length > 1 ? batch.slice(0, -1) : batch));
  const value: unknown = loss(prediction, target);
  if (!isTensor(value) || value.size !== 1)
    throw new TypeError(
      `fit: the loss must be a tensor with one element, got ${isTensor(value) ? `shape [${shapeOf(value).join(', ')}]` : describe(value)}`,
    );
  return { prediction, target, value };
}

interface BatchResult {
  readonly value: Tensor;
  /** Right answers, where accuracy makes sense. */
  readonly right: Tensor | null;
  /** If there are metrics to be computed. */
  readonly prediction: Tensor | null;
}

const hasClasses = (prediction: Tensor, target: Tensor): boolean =>
  target.dtype === 'int32' && shapeOf(target).length === 1 && shapeOf(prediction).length === 2;

/** @internal Runs fn with the network in evaluation mode, without letting anybody see it so. */
function inEvaluation<T>(model: Module, fn: () => T): T {
  const modes = model.modules().map((m) => [m, m.training] as const);
  try {
    model.eval();
    return fn();
  } finally {
    for (const [m, training] of modes) m.training = training;
  }
}

/** @internal Evaluates a model again and again. */
export class Evaluator {
  readonly metricNames: readonly string[];
  readonly #loader: DataLoader;
  readonly #own: boolean;
  readonly #metrics: readonly [string, Metric][];
  readonly #forward: (...batch: Tensor[]) => BatchResult;
  readonly #compiled: CompiledFunction<Tensor[], BatchResult> | null;

  /** @throws TypeError, RangeError */
  constructor(
    readonly model: Module,
    loss: Loss,
    options: unknown,
    eager: boolean,
  ) {
    const { data, metrics, batchSize } = readOptions(options);
    this.#metrics = Object.entries(metrics);
    this.metricNames = this.#metrics.map(([name]) => name);
    this.#own = !(data instanceof DataLoader);
    // The seed is never used; unless told, it would be drawn from the generator.
    this.#loader = data instanceof DataLoader ? data : new DataLoader(data, { batchSize, seed: 0 });
    this.#forward = (...batch) =>
      noGrad(() => {
        const { prediction, target, value } = predict(model, loss, batch);
        const right = hasClasses(prediction, target)
          ? sum(to(equal(argmax(prediction, { axis: -1 }), target), 'float32'))
          : null;
        return { value, right, prediction: this.#metrics.length > 0 ? prediction : null };
      });
    this.#compiled = eager ? null : compile(this.#forward, { device: deviceOfModel(model) });
  }

  /** @throws whatever the data, the model or a metric throws; the signal's reason */
  async run(signal: AbortSignal): Promise<Validation> {
    const loader = this.#loader;
    loader.load({ epoch: loader.state().epoch, position: 0 });
    let examples = 0;
    let loss = 0;
    let right: number | null = null;
    const kept: { predictions: Tensor[]; targets: Tensor[] } = { predictions: [], targets: [] };
    try {
      for await (const parts of untilAborted(loader, signal)) {
        const batch = tensorsIn(parts);
        const rows = shapeOf(batch[0]!)[0] ?? 1;
        try {
          const result = await this.#batch(batch, signal);
          loss += result.value.item() * rows;
          if (result.right) right = (right ?? 0) + result.right.item();
          if (result.prediction) {
            kept.predictions.push(result.prediction);
            kept.targets.push(batch.at(-1)!);
          }
          result.value.dispose();
          result.right?.dispose();
        } finally {
          for (const t of batch) if (!kept.targets.includes(t)) t.dispose();
        }
        examples += rows;
      }
      return {
        loss: loss / examples,
        ...(right !== null && { accuracy: right / examples }),
        ...this.#measure(kept.predictions, kept.targets),
      };
    } finally {
      for (const t of [...kept.predictions, ...kept.targets]) t.dispose();
    }
  }

  async #batch(batch: readonly Tensor[], signal: AbortSignal): Promise<BatchResult> {
    signal.throwIfAborted();
    if (!this.#compiled) {
      await setImmediate();
      return inEvaluation(this.model, () => tidy(() => this.#forward(...batch)));
    }
    const program = inEvaluation(this.model, () => programOf(this.#compiled!, batch));
    const result = await program.run(
      { steps: 1, tensors: batch, onNaN: 'ignore', value: true },
      signal,
    );
    if (result.error) throw result.error;
    if (result.done === 0) signal.throwIfAborted();
    return result.value as BatchResult;
  }

  #measure(predictions: readonly Tensor[], targets: readonly Tensor[]): Record<string, number> {
    if (this.#metrics.length === 0) return {};
    return tidy(() =>
      noGrad(() => {
        const prediction = concat([...predictions]);
        const target = concat([...targets]);
        return Object.fromEntries(
          this.#metrics.map(([name, metric]) => {
            const value: unknown = metric(prediction, target);
            if (typeof value !== 'number')
              throw wrongType('fit', `the metric ${name}'s result`, 'a number', value);
            return [name, value];
          }),
        );
      }),
    );
  }

  dispose(): void {
    this.#compiled?.dispose();
    if (this.#own) this.#loader.dispose();
  }
}

const KNOWN = ['data', 'metrics', 'batchSize'];

/** Data alone, or options: an object with `data` and nothing else that they do not know. */
function readOptions(value: unknown): Required<ValidationOptions> {
  const isOptions =
    isPlain(value) && 'data' in value && Object.keys(value).every((name) => KNOWN.includes(name));
  const given = isOptions ? checkKeys('fit', value, KNOWN) : { data: value };
  const { data, metrics = {}, batchSize = 256 } = given;
  if (!isPlain(metrics)) throw wrongType('fit', 'validation.metrics', 'an object', metrics);
  for (const [name, metric] of Object.entries(metrics)) {
    if (typeof metric !== 'function')
      throw wrongType('fit', `validation.metrics.${name}`, 'a function', metric);
    if (name === 'loss' || name === 'accuracy')
      throw new TapegradError('TG_RANGE', `fit: validation computes ${name} itself`);
  }
  return {
    data: data as Dataset,
    metrics: metrics as Record<string, Metric>,
    batchSize: checkNumber('fit', 'validation.batchSize', batchSize, { min: 1, integer: true }),
  };
}
