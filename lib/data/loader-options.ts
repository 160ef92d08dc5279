// The options of a loader, and their checks.
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { checkSeed } from './keys.js';
import { random, sequential, type Sampler } from './samplers.js';
import type { BatchOf, Dataset, ExampleOf, Source } from './source.js';

export interface DataLoaderOptions<D = Dataset, B = BatchOf<D>> {
  /** Examples per batch: 32 unless told. The last batch of an epoch may be smaller; see dropLast. */
  batchSize?: number;
  /** A new random order in each epoch: the sampler `random()`. Not for streams. */
  shuffle?: boolean;
  /** An integer in 0 … 2⁵³ - 1 that fixes all orders; drawn from the generator of `manualSeed` unless told. */
  seed?: number;
  /** Leaves out a last batch that is not full. */
  dropLast?: boolean;
  /** Which examples an epoch shows, in which order; instead of `shuffle`. Not for streams. */
  sampler?: Sampler;
  /** Batches that `for await` reads ahead: 2 unless told. Tables are never read ahead. */
  prefetch?: number;
  /** Makes a batch of examples, instead of stacking their parts. Not for tables. */
  collate?: (examples: ExampleOf<D>[]) => B;
}

/** @internal Options that were checked. */
export interface Settings {
  readonly batchSize: number;
  readonly seed: number;
  readonly dropLast: boolean;
  readonly sampler: Sampler;
  readonly prefetch: number;
  readonly collate: ((examples: unknown[]) => unknown) | undefined;
}

const flag = (op: string, name: string, value: unknown): boolean => {
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw wrongType(op, name, 'a boolean', value);
  return value;
};

function readSampler(op: string, given: Record<string, unknown>, kind: Source['kind']): Sampler {
  const shuffle = flag(op, 'shuffle', given['shuffle']);
  const sampler = given['sampler'];
  if (kind === 'stream' && (shuffle || sampler !== undefined))
    throw new TypeError(
      `${op}: a stream comes in its own order; shuffle and sampler need tensors or { length, get(i) }`,
    );
  if (sampler === undefined) return shuffle ? random() : sequential();
  if (shuffle) throw new TypeError(`${op}: shuffle and sampler exclude each other`);
  const { count, order } = (sampler ?? {}) as Partial<Sampler>;
  if (typeof count !== 'function' || typeof order !== 'function')
    throw wrongType(op, 'sampler', 'a Sampler, such as tg.data.classBalanced(labels)', sampler);
  return sampler as Sampler;
}

/** @internal @throws TypeError, RangeError */
export function readSettings(op: string, options: unknown, kind: Source['kind']): Settings {
  const given = checkKeys(op, options, [
    'batchSize',
    'shuffle',
    'seed',
    'dropLast',
    'sampler',
    'prefetch',
    'collate',
  ]);
  const size = { min: 1, max: 2 ** 31 - 1, integer: true };
  const batchSize = given['batchSize'] ?? 32;
  const ahead = given['prefetch'] ?? 2;
  const own = given['collate'];
  if (own !== undefined && typeof own !== 'function')
    throw wrongType(op, 'collate', 'a function', own);
  if (own !== undefined && kind === 'table')
    throw new TypeError(`${op}: collate is for examples; tensors are cut into batches as they are`);
  return {
    batchSize: checkNumber(op, 'batchSize', batchSize, size),
    prefetch: checkNumber(op, 'prefetch', ahead, { min: 0, max: 1024, integer: true }),
    dropLast: flag(op, 'dropLast', given['dropLast']),
    sampler: readSampler(op, given, kind),
    seed: checkSeed(op, given['seed']),
    collate: own as Settings['collate'],
  };
}
