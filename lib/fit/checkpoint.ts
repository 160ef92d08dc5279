// Checkpoints: all that training depends on in one file, and back. Knows modules, optimizers, plateaus and loaders by
// their states; fit.ts adds its own.
import * as fs from 'node:fs';
import { TapegradError, checkKeys, wrongType, wrongValue } from '../errors.js';
import { DataLoader, type LoaderState } from '../data/loader.js';
import { loadSealed, saveSealed } from '../io/sealed.js';
import { native } from '../native.js';
import { Module } from '../nn/module.js';
import { Optimizer } from '../optim/optimizer.js';
import type { OptimizerNumbers } from '../optim/state.js';
import { ReduceOnPlateau, type PlateauState } from '../plateau.js';
import { randomState, setRandomState } from '../random.js';
import { handleOf, type Tensor } from '../tensor.js';

/** What a checkpoint holds; what is left out is neither saved nor loaded. */
export interface CheckpointParts {
  model: Module;
  optimizer?: Optimizer;
  /** What the optimizer's learning rate follows. Schedules that are functions of the step need no saving. */
  plateau?: ReduceOnPlateau;
  loader?: DataLoader;
}

const KIND = 'tapegrad.checkpoint';
const VERSION = 1;
const PARTS = ['model', 'optimizer', 'plateau', 'loader'];

/** @internal Where the data is. */
export interface LoaderPosition {
  readonly seed: number;
  readonly count: number | null;
  readonly state: LoaderState;
}
/** @internal The part of a checkpoint that is no tensor. */
interface State {
  readonly random: { seed: number; stream: number };
  readonly optimizer?: OptimizerNumbers;
  readonly plateau?: PlateauState;
  readonly loader?: LoaderPosition;
  readonly extra?: unknown;
}
/** @internal A checkpoint that was read. Its tensors are the reader's. */
export interface Checkpoint {
  readonly path: string;
  readonly state: State;
  /** "model/fc.weight", "optimizer/0.1", …, by what comes before the slash. */
  tensors(part: string): Record<string, Tensor>;
  dispose(): void;
}

// JSON has no infinity and no NaN, which the best loss may be.
const encode = (_: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? { $number: `${value}` } : value;
const decode = (_: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && '$number' in value ? Number(value.$number) : value;

/** @internal What is saved beside {@link CheckpointParts}. */
export interface Extras {
  /** Where the loader is to go on, if not where it is. */
  readonly loader?: LoaderPosition | undefined;
  readonly tensors?: Readonly<Record<string, Tensor>>;
  readonly extra?: unknown;
}

/** @internal */
export const positionOf = (loader: DataLoader): LoaderPosition => ({
  seed: loader.seed,
  count: loader.count,
  state: loader.state(),
});

/** @internal @throws TapegradError TG_FILE */
export function writeCheckpoint(path: string, parts: CheckpointParts, extras: Extras = {}): void {
  const { model, optimizer, plateau, loader } = parts;
  const saved = optimizer?.stateDict();
  const tensors: Record<string, Tensor> = {};
  const add = (part: string, list: Iterable<[string, Tensor]>): void => {
    for (const [name, t] of list) tensors[`${part}/${name}`] = t;
  };
  try {
    add('model', [...model.namedParameters(), ...model.namedBuffers()]);
    if (saved) add('optimizer', Object.entries(saved.tensors));
    add('extra', Object.entries(extras.tensors ?? {}));
    const state: State = {
      random: randomState(),
      ...(saved && { optimizer: saved.numbers }),
      ...(plateau && { plateau: plateau.stateDict() }),
      ...(extras.loader ? { loader: extras.loader } : loader && { loader: positionOf(loader) }),
      ...(extras.extra !== undefined && { extra: extras.extra }),
    };
    saveSealed(path, KIND, VERSION, { tensors, text: JSON.stringify(state, encode) });
  } finally {
    for (const t of Object.values(saved?.tensors ?? {})) t.dispose();
  }
}

/** @internal @throws TapegradError TG_FILE */
export function readCheckpoint(path: string): Checkpoint {
  const { tensors, text } = loadSealed(path, KIND, VERSION);
  return {
    path,
    state: JSON.parse(text, decode) as State,
    tensors: (part) =>
      Object.fromEntries(
        Object.entries(tensors).flatMap(([name, t]) =>
          name.startsWith(`${part}/`) ? [[name.slice(part.length + 1), t]] : [],
        ),
      ),
    dispose() {
      for (const t of Object.values(tensors)) t.dispose();
    },
  };
}

/** @internal All or nothing. @throws TapegradError TG_STATE for what does not fit */
export function applyCheckpoint(from: Checkpoint, parts: CheckpointParts): void {
  const { model, optimizer, plateau, loader } = parts;
  const { state } = from;
  const missing = (what: string): TapegradError =>
    new TapegradError('TG_STATE', `there is no ${what} in it`);
  const before = {
    model: model.stateDict(),
    plateau: plateau?.stateDict(),
    loader: loader?.state(),
  };
  try {
    if (loader) checkLoader(loader, state.loader);
    if (optimizer && !state.optimizer) throw missing('optimizer');
    if (plateau && !state.plateau) throw missing('plateau');
    model.loadStateDict(from.tensors('model'));
    if (plateau) plateau.loadStateDict(state.plateau!);
    loader?.load(state.loader!.state);
    optimizer?.loadStateDict({ tensors: from.tensors('optimizer'), numbers: state.optimizer! });
    setRandomState(state.random);
  } catch (error) {
    model.loadStateDict(before.model);
    if (before.plateau) plateau!.loadStateDict(before.plateau);
    if (before.loader) loader!.load(before.loader);
    throw new TapegradError('TG_STATE', `${from.path}: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    for (const t of Object.values(before.model)) t.dispose();
  }
}

function checkLoader(loader: DataLoader, saved: LoaderPosition | undefined): void {
  const fail = (what: string): never => {
    throw new TapegradError('TG_STATE', what);
  };
  if (!saved) fail('there is no loader in it');
  const { seed, count } = saved!;
  if (count !== loader.count)
    fail(
      `the data had ${count ?? 'an unknown number of'} examples, not ${loader.count ?? 'a stream'}`,
    );
  if (seed !== loader.seed)
    fail(`the data was shuffled with seed ${seed}, not ${loader.seed}: give the loader that seed`);
}

function checkParts(op: string, parts: unknown): CheckpointParts {
  if (parts === undefined) throw wrongType(op, 'parts', 'an object { model, … }', parts);
  const { model, optimizer, plateau, loader } = checkKeys(op, parts, PARTS);
  const check = (
    name: string,
    value: unknown,
    type: abstract new (...args: never[]) => unknown,
  ) => {
    if (value !== undefined && !(value instanceof type))
      throw wrongType(op, name, `a ${type.name}`, value);
  };
  if (model === undefined) throw wrongType(op, 'model', 'a Module', model);
  check('model', model, Module);
  check('optimizer', optimizer, Optimizer);
  check('plateau', plateau, ReduceOnPlateau);
  check('loader', loader, DataLoader);
  return parts as CheckpointParts;
}

/** @internal @throws TypeError, RangeError unless it can name a file */
export function checkPath(op: string, argument: string, path: unknown): string {
  if (typeof path !== 'string') throw wrongType(op, argument, 'the name of a file', path);
  if (path === '' || path.includes('\0'))
    throw wrongValue(op, argument, 'the name of a file', path);
  return path;
}

/** Optimizers that a fit is using. */
const fitting = new WeakSet<Optimizer>();
/** @internal Whether it was free. */
export function occupy(optimizer: Optimizer): boolean {
  if (fitting.has(optimizer)) return false;
  fitting.add(optimizer);
  return true;
}
/** @internal */
export const vacate = (optimizer: Optimizer): void => void fitting.delete(optimizer);

/** The counts of an optimizer lag behind the weights while a program runs. */
function checkIdle(op: string, { model, optimizer }: CheckpointParts): void {
  const busy = (): never => {
    throw new TapegradError(
      'TG_BUSY',
      `${op}: training is under way: await or abort it first, or give fit the option checkpoint`,
    );
  };
  if (optimizer && fitting.has(optimizer)) busy();
  for (const p of model.parameters()) {
    try {
      native.assign(handleOf(p), handleOf(p), p); // changes nothing, and is refused if somebody writes
    } catch (error) {
      if ((error as { code?: unknown }).code === 'TG_BUSY') busy();
      throw error;
    }
  }
}

/**
 * Writes the whole state of a training to one file: weights and buffers, the optimizer's state and counts, the state
 * of the generator behind `manualSeed`, and if they are given the plateau's and the loader's. The file is a safetensors
 * file with a checksum of each tensor; an existing one is replaced in one step, or left as it was.
 * @throws TapegradError TG_BUSY while a program trains the model, TG_FILE if the system refuses; TypeError
 */
export function saveCheckpoint(path: string, parts: CheckpointParts): void {
  checkPath('saveCheckpoint', 'path', path);
  const checked = checkParts('saveCheckpoint', parts);
  checkIdle('saveCheckpoint', checked);
  writeCheckpoint(path, checked);
}

/**
 * Goes back to where {@link saveCheckpoint}, or `fit` with the option `checkpoint`, was: what follows has the same bits.
 * Nothing is changed unless all fits.
 * @param parts - what to load; a file with more of them will do
 * @throws TapegradError TG_FILE if the file cannot be read, was damaged or is of another version; TG_STATE if it is that
 * of another model, optimizer or data; TG_BUSY while a program trains the model; TypeError
 */
export function loadCheckpoint(path: string, parts: CheckpointParts): void {
  checkPath('loadCheckpoint', 'path', path);
  const checked = checkParts('loadCheckpoint', parts);
  checkIdle('loadCheckpoint', checked);
  const checkpoint = readCheckpoint(path);
  try {
    applyCheckpoint(checkpoint, checked);
  } finally {
    checkpoint.dispose();
  }
}

/** @internal Keeps the newest `count` older versions of a file as path.1, path.2, …; the file itself stays in place. */
export function rotate(path: string, count: number): void {
  if (count === 0 || !fs.existsSync(path)) return;
  for (let i = count - 1; i >= 1; --i)
    if (fs.existsSync(`${path}.${i}`)) fs.renameSync(`${path}.${i}`, `${path}.${i + 1}`);
  fs.rmSync(`${path}.1`, { force: true });
  try {
    fs.linkSync(path, `${path}.1`);
  } catch {
    fs.copyFileSync(path, `${path}.1`); // a file system without hard links
  }
}
