// fit: epochs of training with validation, early stopping and checkpoints, on top of compiled steps. What each of them
// is has a file of its own; here is the order in which they happen.
import { existsSync } from 'node:fs';
import { backward } from '../backward.js';
import { TapegradError } from '../errors.js';
import type { BatchStream, TrainingData } from '../compile/blocks.js';
import { compile, programOf, type CompiledFunction } from '../compile/compile.js';
import {
  Progress,
  readData,
  steps,
  TrainingRun,
  type ProgressState,
  type ProgramFor,
  type TrainReport,
} from '../compile/train.js';
import { DataLoader } from '../data/loader.js';
import { fullLike } from '../create.js';
import { clipGradNorm } from '../optim/clip.js';
import type { Module } from '../nn/module.js';
import { mul } from '../ops.gen.js';
import { copyFrom } from '../ops.js';
import { inTf32, withMixed, withTf32 } from '../precision.js';
import { noGrad } from '../tape.js';
import type { Tensor } from '../tensor.js';
import { openBar, type Bar } from './bar.js';
import {
  applyCheckpoint,
  occupy,
  positionOf,
  readCheckpoint,
  rotate,
  vacate,
  writeCheckpoint,
  type Checkpoint,
  type LoaderPosition,
} from './checkpoint.js';
import { EagerSteps } from './eager.js';
import {
  defaultMonitor,
  EarlyStopping,
  monitored,
  type EarlyStoppingState,
} from './early-stopping.js';
import { deviceOfModel, Evaluator, predict } from './evaluate.js';
import { readFitOptions, type FitOptions, type FitReport, type FitSettings } from './options.js';

/**
 * Trains a model off the event loop, and reports on the way:
 *
 * ```js
 * const run = tg.fit(model, { data: { x, y }, loss: losses.crossEntropy, optimizer, epochs: 10, validation, signal });
 * for await (const r of run) console.log(r.epoch, r.step, r.loss, r.validation?.accuracy, r.samplesPerSecond);
 * ```
 *
 * Training begins at once and goes on whether the reports are read or not; `run.finished` is the last of them. The
 * model is in training mode meanwhile, but parts of it that were put into evaluation mode stay there. Aborted by the
 * signal, `run.abort()` or leaving the loop, it ends after the step under way, and writes a checkpoint if it was told to
 * write any: a run resumed from it gives the same bits as one that was never stopped.
 *
 * @throws TypeError, RangeError for options. The run is rejected with whatever goes wrong later: TapegradError TG_NAN
 * for a loss that is not finite, TG_BUSY if the optimizer is in use, TG_FILE and TG_STATE for checkpoints, errors of the
 * data, the model and the metrics, the signal's reason. The model is then as it was after the last step that ended.
 */
export function fit(model: Module, options: FitOptions): TrainingRun<FitReport> {
  const settings = readFitOptions(model, options);
  const { validation, earlyStopping } = settings;
  const validated = validation !== undefined;
  const early =
    earlyStopping === undefined ? null : new EarlyStopping(model, earlyStopping, validated);
  const evaluator = validated
    ? new Evaluator(model, settings.loss, validation, settings.eager)
    : null;
  return new TrainingRun(
    (signal) => new Fitting(model, settings, early, evaluator, signal).run(),
    settings.signal,
  );
}

/** Takes a loss's scale back out of the gradients. */
function divideGradients(parameters: readonly Tensor[], scale: number): void {
  noGrad(() => {
    for (const { grad } of parameters) if (grad) copyFrom(grad, mul(grad, 1 / scale));
  });
}

/** What `fit` itself remembers in a checkpoint. */
interface FitState {
  readonly progress: ProgressState;
  readonly first: { epoch: number; position: number };
  /** An epoch that ended, but was not validated yet. */
  readonly pending: TrainReport | null;
  readonly last: FitReport | null;
  readonly early: EarlyStoppingState | null;
}

class Fitting {
  private readonly progress = new Progress();
  private pending: TrainReport | null = null;
  private last: FitReport | null = null;
  /** The step of the last checkpoint. */
  private saved = 0;
  /** The loader's epoch when training began, and the examples of it that had been shown before. */
  private first = { epoch: 0, position: 0 };
  private loader: DataLoader | null = null;
  private bar: Bar | null = null;

  constructor(
    private readonly model: Module,
    private readonly settings: FitSettings,
    private readonly early: EarlyStopping | null,
    private readonly evaluator: Evaluator | null,
    private readonly signal: AbortSignal,
  ) {}

  async *run(): AsyncGenerator<FitReport, void, undefined> {
    const { model, settings, early } = this;
    if (!occupy(settings.optimizer)) {
      this.evaluator?.dispose();
      throw new TapegradError('TG_BUSY', 'fit: the optimizer is used by another fit: await it');
    }
    const modes = model.modules().map((m) => [m, m.training] as const);
    let compiled: CompiledFunction<Tensor[], Tensor> | null = null;
    try {
      if (!model.training) model.train();
      const data = this.begin();
      await this.openBar();
      const runner = this.runner();
      compiled = runner.compiled;
      const before = this.last;
      if (this.pending) yield await this.endEpoch(this.pending);
      if (!early?.stopped) yield* this.train(data, runner.programFor);
      if (before && before === this.last) yield before; // there was nothing left to do
      this.save();
      early?.restore();
    } catch (error) {
      if (this.signal.aborted) this.save();
      throw error;
    } finally {
      vacate(settings.optimizer);
      compiled?.dispose();
      this.end(modes);
    }
  }

  private async *train(
    data: TrainingData,
    programFor: ProgramFor,
  ): AsyncGenerator<FitReport, void, undefined> {
    const { settings, progress, early } = this;
    const everySteps = settings.checkpoint?.everySteps ?? Infinity;
    const run = { ...settings, signal: this.signal };
    for await (const { report, endsEpoch } of steps(data, programFor, run, progress, everySteps)) {
      if (report) this.last = report;
      if (endsEpoch) await this.endEpoch(report!);
      else this.showProgress();
      if (report) progress.restart();
      if (progress.step % everySteps === 0) this.save();
      if (report) yield this.last!;
      if (early?.stopped) return;
    }
  }

  /** What runs the steps, and what is to be freed in the end. */
  private runner(): {
    programFor: ProgramFor;
    compiled: CompiledFunction<Tensor[], Tensor> | null;
  } {
    const { model, settings } = this;
    const { optimizer, loss, clipGradNorm: limit, precision, lossScale } = settings;
    const lossOf = (batch: readonly Tensor[]): Tensor =>
      withMixed(precision === 'bfloat16', () => predict(model, loss, batch).value);
    const update = (value: Tensor): number => {
      optimizer.zeroGrad();
      backward(value, lossScale === 1 ? {} : { gradient: fullLike(value, lossScale) });
      if (lossScale !== 1) divideGradients(optimizer.parameters, lossScale);
      const norm = limit === undefined ? NaN : clipGradNorm(optimizer.parameters, limit);
      optimizer.step();
      return norm;
    };
    if (settings.eager) {
      const set = <A, R>(fn: (a: A) => R) => {
        return (a: A): R => withTf32(inTf32(precision), () => fn(a));
      };
      const parts = { model, optimizer, lossOf: set(lossOf), update: set(update) };
      const eager = new EagerSteps(parts);
      return { programFor: () => eager, compiled: null };
    }
    const compiled = compile(
      (...batch: Tensor[]) => {
        const value = lossOf(batch);
        update(value);
        return value;
      },
      {
        device: deviceOfModel(model),
        // The forward pass alone is mixed, as lossOf has it.
        ...(precision !== undefined && precision !== 'bfloat16' && { precision }),
      },
    );
    return { programFor: (like) => programOf(compiled, like), compiled };
  }

  /** The data, at the position from which to go on. */
  private begin(): TrainingData {
    const { settings } = this;
    const { resume, checkpoint } = settings;
    const path = resume === true ? checkpoint!.path : resume;
    const from =
      path !== false && (resume !== true || existsSync(path)) ? readCheckpoint(path) : null;
    try {
      // Not to be drawn if the run goes on: the generator is that of the checkpoint.
      const seed = settings.seed ?? (from ? (from.state.loader?.seed ?? 0) : undefined);
      const data = readData('fit', settings.data, { ...settings, seed });
      if (data instanceof DataLoader) this.loader = data;
      if (this.loader) this.first = this.loader.state();
      if (from) this.resume(from);
      return this.loader ?? later(data, this.progress.epoch, this.progress.batches);
    } finally {
      from?.dispose();
    }
  }

  private resume(from: Checkpoint): void {
    const { model, settings, loader, early } = this;
    const { optimizer, plateau } = settings;
    const state = from.state.extra as FitState | undefined;
    if (!state)
      throw new TapegradError(
        'TG_STATE',
        `${from.path}: is no checkpoint of fit: use loadCheckpoint`,
      );
    applyCheckpoint(from, {
      model,
      optimizer,
      ...(plateau && { plateau }),
      ...(loader && { loader }),
    });
    this.progress.load(state.progress);
    this.pending = state.pending;
    this.last = state.last;
    this.first = state.first;
    this.saved = state.pending ? -1 : state.progress.step;
    if (early && state.early) early.load(state.early, from.tensors('extra'));
  }

  /** Validation and what depends on it. Begins anew if training was aborted, and resumed, in its midst. */
  private async endEpoch(report: TrainReport): Promise<FitReport> {
    const { evaluator, early, settings } = this;
    this.bar?.stop();
    this.pending = report;
    const validation = await evaluator?.run(this.signal);
    const full: FitReport = validation ? { ...report, validation } : report;
    early?.update(full);
    settings.plateau?.report(monitored(full, defaultMonitor(evaluator !== null)));
    this.pending = null;
    this.last = full;
    if (this.progress.epoch % (settings.checkpoint?.everyEpochs ?? Infinity) === 0) this.save();
    await settings.onEpoch(full);
    return full;
  }

  private save(): void {
    const { model, settings, early, progress, pending, last } = this;
    const { checkpoint, optimizer, plateau } = settings;
    if (!checkpoint || progress.step === this.saved) return;
    rotate(checkpoint.path, checkpoint.keep - 1);
    const extra: FitState = {
      progress: progress.state(),
      first: { epoch: this.first.epoch, position: this.first.position },
      pending,
      last,
      early: early && early.state,
    };
    writeCheckpoint(
      checkpoint.path,
      { model, optimizer, ...(plateau && { plateau }) },
      { loader: this.position(), tensors: early?.weights ?? {}, extra },
    );
    this.saved = progress.step;
  }

  /** Where the loader is to go on: one that reads ahead is further. */
  private position(): LoaderPosition | undefined {
    const { loader, progress } = this;
    if (!loader) return undefined;
    const at = positionOf(loader);
    const before = progress.epoch === 0 ? this.first.position : 0;
    const epoch = this.first.epoch + progress.epoch;
    const position = before + progress.batches * loader.batchSize;
    return { ...at, state: { ...at.state, epoch, position } };
  }

  private async openBar(): Promise<void> {
    const { progress } = this.settings;
    if (progress === false) return;
    this.bar = await openBar(this.loader?.count ?? null, progress === true ? {} : progress);
  }
  private showProgress(): void {
    const { epoch, step, examples } = this.progress;
    const loss = Number.isNaN(this.progress.loss) ? this.last?.loss : this.progress.loss;
    this.bar?.update(examples, { epoch: epoch + 1, step, loss: loss?.toFixed(4) ?? '' });
  }

  private end(modes: readonly (readonly [Module, boolean])[]): void {
    this.bar?.stop();
    for (const [m, training] of modes) if (m.training !== training) m.training = training;
    this.evaluator?.dispose();
    this.early?.dispose();
    if (this.settings.eager) this.settings.optimizer.zeroGrad(); // a program leaves none, either
    const { loader } = this;
    if (!loader) return;
    if (loader === this.settings.data) loader.load(this.position()!.state);
    else loader.dispose();
  }
}

/** Batches from the middle of an epoch on. */
function later(data: TrainingData, epoch: number, batches: number): TrainingData {
  if (epoch === 0 && batches === 0) return data;
  const open = (typeof data === 'function' ? data : () => data) as (epoch: number) => BatchStream;
  return (k) => (k === 0 ? skip(open(epoch), batches) : open(epoch + k));
}
async function* skip(stream: BatchStream, count: number): AsyncGenerator<unknown, void, undefined> {
  let left = count;
  for await (const batch of stream) if (left-- <= 0) yield batch;
}
