// What `fit` is told and what it reports: types, and checks that need nothing to be run.
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import type { TrainingData } from '../compile/blocks.js';
import {
  readTrainOptions,
  type TrainOptions,
  type TrainReport,
  type TrainSettings,
} from '../compile/train.js';
import type { Table } from '../data/table.js';
import type { DataLoader } from '../data/loader.js';
import type { Dataset } from '../data/source.js';
import { Module } from '../nn/module.js';
import { Optimizer } from '../optim/optimizer.js';
import { ReduceOnPlateau } from '../plateau.js';
import { checkPrecision, type Precision } from '../precision.js';
import { checkPath } from './checkpoint.js';
import type { EarlyStoppingOptions } from './early-stopping.js';
import type { Loss, Validation, ValidationOptions } from './evaluate.js';
import type { BarOptions } from './bar.js';

export interface CheckpointOptions {
  /** The file; see `saveCheckpoint`. */
  path: string;
  /** Steps between checkpoints. */
  everySteps?: number;
  /** Epochs between checkpoints; 1 unless everySteps is given. */
  everyEpochs?: number;
  /** Checkpoints that are kept: the newest is path, the others path.1, path.2, …; 1 unless told. */
  keep?: number;
}

export interface FitOptions extends TrainOptions {
  /**
   * Columns in memory (a tuple or record of tensors or typed arrays with equal first axes), a `DataLoader`, or batches:
   * an iterable, an async iterable, or a function that makes one for each epoch. The last column is the target, those
   * before it are the model's inputs; one column alone is both.
   */
  data: Table | TrainingData;
  /** From the model's output and the target to one number; any of `tg.losses` will do. */
  loss: Loss;
  /** Over the model's parameters. */
  optimizer: Optimizer;
  /** Data, or options with metrics: evaluated at the end of each epoch, with the model in evaluation mode. */
  validation?: Dataset | DataLoader | ValidationOptions;
  /** Ends training when a number no longer improves. */
  earlyStopping?: EarlyStoppingOptions;
  /** Told the loss of validation, or if there is none that of training, at the end of each epoch. */
  plateau?: ReduceOnPlateau;
  /** Saves the whole state of training now and then, at the end, and when the signal aborts it. */
  checkpoint?: CheckpointOptions;
  /** Goes on from a checkpoint; true: from checkpoint.path, if there is such a file. */
  resume?: boolean | string;
  /** The joint l2 norm that gradients may have; larger ones are scaled. */
  clipGradNorm?: number;
  /** A bar on the terminal, by the package cli-progress; its options, if need be. */
  progress?: boolean | BarOptions;
  /**
   * In 'bfloat16', steps run in mixed precision (see `autocast`); 'tf32' and 'float32' are `setMatmulPrecision`'s 'high'
   * and 'highest' for the steps. Unless told, as it is set; validation always is.
   */
  precision?: Precision;
  /**
   * The loss is multiplied by it before the backward pass and the gradients are divided by it after, so that small ones
   * are not lost on the way; a power of two. 1 unless told: bfloat16 has float32's range and seldom needs it.
   */
  lossScale?: number;
  /** Runs the steps op by op on this thread instead of as a program: for models that cannot be compiled. */
  eager?: boolean;
  /** Called at the end of each epoch and waited for: the weights are those of the report. */
  onEpoch?: (report: FitReport) => void | PromiseLike<void>;
}

/** What became of the steps since the last report, and at the end of an epoch what validation found. */
export interface FitReport extends TrainReport {
  readonly validation?: Validation;
}

/** @internal */
export interface FitSettings extends TrainSettings {
  readonly data: unknown;
  readonly loss: Loss;
  readonly optimizer: Optimizer;
  readonly validation: unknown;
  readonly earlyStopping: unknown;
  readonly plateau: ReduceOnPlateau | undefined;
  readonly checkpoint: Required<CheckpointOptions> | null;
  readonly resume: boolean | string;
  readonly clipGradNorm: number | undefined;
  readonly progress: boolean | BarOptions;
  readonly precision: Precision | undefined;
  readonly lossScale: number;
  readonly eager: boolean;
  readonly onEpoch: NonNullable<FitOptions['onEpoch']>;
}

const OWN = [
  ...['data', 'loss', 'optimizer', 'validation', 'earlyStopping', 'plateau', 'checkpoint'],
  ...['resume', 'clipGradNorm', 'progress', 'precision', 'lossScale', 'eager', 'onEpoch'],
];
const OP = 'fit';

function readCheckpointOptions(value: unknown): Required<CheckpointOptions> | null {
  if (value === undefined) return null;
  const given = checkKeys(OP, value, ['path', 'everySteps', 'everyEpochs', 'keep']);
  const { path, everySteps = Infinity, keep = 1 } = given;
  const { everyEpochs = everySteps === Infinity ? 1 : Infinity } = given;
  const count = (name: string, n: unknown): number =>
    n === Infinity ? n : checkNumber(OP, `checkpoint.${name}`, n, { min: 1, integer: true });
  return {
    path: checkPath(OP, 'checkpoint.path', path),
    everySteps: count('everySteps', everySteps),
    everyEpochs: count('everyEpochs', everyEpochs),
    keep: checkNumber(OP, 'checkpoint.keep', keep, { min: 1, max: 1000, integer: true }),
  };
}

/** @internal @throws TypeError, RangeError */
export function readFitOptions(model: unknown, options: unknown): FitSettings {
  if (!(model instanceof Module)) throw wrongType(OP, 'model', 'a Module', model);
  if (options === undefined)
    throw wrongType(OP, 'options', 'an object { data, loss, optimizer, … }', options);
  const train = readTrainOptions(OP, options, OWN);
  const given = options as Record<keyof FitOptions, unknown>;
  const { data, loss, optimizer, plateau, resume = false, clipGradNorm, progress = false } = given;
  const { precision, lossScale = 1, eager = false, onEpoch = () => undefined } = given;
  if (data === undefined) throw wrongType(OP, 'data', 'tensors, a DataLoader or batches', data);
  if (typeof loss !== 'function')
    throw wrongType(
      OP,
      'loss',
      'a function of prediction and target, such as losses.crossEntropy',
      loss,
    );
  if (!(optimizer instanceof Optimizer))
    throw wrongType(OP, 'optimizer', 'an Optimizer', optimizer);
  if (plateau !== undefined && !(plateau instanceof ReduceOnPlateau))
    throw wrongType(OP, 'plateau', 'a ReduceOnPlateau', plateau);
  if (typeof resume !== 'boolean' && typeof resume !== 'string')
    throw wrongType(OP, 'resume', 'a boolean or the name of a file', resume);
  if (typeof resume === 'string') checkPath(OP, 'resume', resume);
  if (clipGradNorm !== undefined) checkNumber(OP, 'clipGradNorm', clipGradNorm, { min: 0 });
  if (typeof progress !== 'boolean' && (typeof progress !== 'object' || progress === null))
    throw wrongType(OP, 'progress', 'a boolean or options of cli-progress', progress);
  checkPrecision(OP, precision);
  checkNumber(OP, 'lossScale', lossScale, { above: 0, max: 2 ** 24 });
  if (typeof eager !== 'boolean') throw wrongType(OP, 'eager', 'a boolean', eager);
  if (typeof onEpoch !== 'function') throw wrongType(OP, 'onEpoch', 'a function', onEpoch);
  const checkpoint = readCheckpointOptions(given.checkpoint);
  if (resume === true && !checkpoint)
    throw new TypeError(`${OP}: resume: true needs checkpoint.path; or give the file's name`);
  return {
    ...train,
    data,
    loss: loss as Loss,
    optimizer: given.optimizer as Optimizer,
    validation: given.validation,
    earlyStopping: given.earlyStopping,
    plateau,
    checkpoint,
    resume,
    clipGradNorm: clipGradNorm as number | undefined,
    progress: progress as boolean | BarOptions,
    precision: precision as Precision | undefined,
    lossScale: lossScale as number,
    eager,
    onEpoch: onEpoch as FitSettings['onEpoch'],
  };
}
