// The loader: batches of a dataset, an epoch per loop, from a position that can be saved. Reading, orders, stacking
// and options are in source.ts, samplers.ts, collate.ts and loader-options.ts.
import { TapegradError, checkKeys, checkNumber, wrongType } from '../errors.js';
import { isTensor, type Tensor } from '../tensor.js';
import { collate } from './collate.js';
import { MAX_EPOCH } from './keys.js';
import { readSettings, type DataLoaderOptions, type Settings } from './loader-options.js';
import { readNumbers, type Numbers } from './numbers.js';
import { prefetch } from './prefetch.js';
import {
  isAsync,
  readAsync,
  readSource,
  readSync,
  type BatchOf,
  type Dataset,
  type Source,
} from './source.js';
import { assemble, takeRows } from './table.js';

const OP = 'DataLoader';

/** Where a loader is: all it takes to go on exactly. JSON can hold it. */
export interface LoaderState {
  /** Epochs that ended. */
  epoch: number;
  /** Examples of this epoch that were handed out. */
  position: number;
  /** For a sampler that learns from reports: this epoch's order, which reports made during it do not change, … */
  order?: number[];
  /** … and what was reported. */
  sampler?: unknown;
}

/** A batch on its way to the consumer. */
interface Delivery {
  readonly batch: unknown;
  readonly count: number;
  readonly indices: Int32Array | null;
}

function disposeParts(batch: unknown): void {
  if (typeof batch !== 'object' || batch === null) return;
  for (const t of isTensor(batch) ? [batch] : Object.values(batch)) if (isTensor(t)) t.dispose();
}

/**
 * Batches of a dataset. Each loop over it is one epoch:
 *
 * ```js
 * const loader = new tg.data.DataLoader({ x, y }, { batchSize: 64, shuffle: true, seed: 1 });
 * for (const { x, y } of loader) step(x, y);
 * ```
 *
 * A dataset is a table in memory (a tensor, a tuple or record of tensors or typed arrays with equal first axes), an
 * indexable `{ length, get(i) }` or a stream (an iterable, or a function that makes one for each epoch) of examples,
 * whose parts are stacked. `for await` works with all of them, and reads ahead; `for` with those that are not async.
 * An error of the source reaches the loop after the batches before it, and ends it. A loop that is left early closes
 * the stream, after a read under way; the next loop goes on where it stopped, and so does one after
 * `load(state())`, in another process as well.
 *
 * Batches are outside the graph and belong to the consumer: dispose of them, make them inside `tidy`, or leave them
 * to the garbage collector. Dataset tensors remain the caller's.
 */
export class DataLoader<const D extends Dataset = Dataset, B = BatchOf<D>>
  implements Iterable<B>, AsyncIterable<B>
{
  readonly #source: Source;
  readonly #settings: Settings;
  #epoch = 0;
  #position = 0;
  #indices: Int32Array | null = null;
  /** The order of the running epoch, so that reports do not change it. */
  #running: Int32Array | null = null;
  /** Counts loops: one that another has overtaken must not go on. */
  #loop = 0;

  /**
   * @param dataset - see {@link Dataset}
   * @throws TypeError, RangeError for a dataset, option or sampler that does not do, or if an epoch had no batch
   */
  constructor(dataset: D, options?: DataLoaderOptions<D, B>) {
    this.#source = readSource(OP, dataset);
    try {
      this.#settings = readSettings(OP, options, this.#source.kind);
      const { count } = this;
      if (count !== null && this.length === 0)
        throw new RangeError(
          `${OP}: with dropLast no batch of ${this.batchSize} can be made of ${count} examples`,
        );
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Examples per batch. */
  get batchSize(): number {
    return this.#settings.batchSize;
  }
  /** Whether a last batch that is not full is left out. */
  get dropLast(): boolean {
    return this.#settings.dropLast;
  }
  /** What all orders are a function of. */
  get seed(): number {
    return this.#settings.seed;
  }
  /** Examples per epoch, before dropLast; null for a stream. */
  get count(): number | null {
    if (this.#source.kind === 'stream') return null;
    const { length } = this.#source;
    const range = { min: 1, max: 2 ** 31 - 1, integer: true };
    return checkNumber(OP, "the sampler's count", this.#settings.sampler.count(length), range);
  }
  /** Batches per epoch; null for a stream. */
  get length(): number | null {
    const { count } = this;
    if (count === null) return null;
    return this.dropLast ? Math.floor(count / this.batchSize) : Math.ceil(count / this.batchSize);
  }
  /** The columns of a table, as they were given; null for other datasets. Batch b of an epoch holds their rows
   * `order(epoch).subarray(b * batchSize, (b + 1) * batchSize)`. */
  get tensors(): readonly Tensor[] | null {
    return this.#source.kind === 'table' ? this.#source.tensors : null;
  }
  /** The names of {@link tensors}, if the table is a record; else null. */
  get names(): readonly string[] | null {
    const form = this.#source.kind === 'table' ? this.#source.form : 'single';
    return typeof form === 'string' ? null : form;
  }
  /** Which examples the last batch held; null before the first, and for a stream. */
  get indices(): Int32Array | null {
    return this.#indices?.slice() ?? null;
  }

  /**
   * The examples of an epoch in their order: a pure function of seed and epoch; with `largestErrorFirst` also of the
   * errors reported before the epoch began.
   * @throws TypeError for a stream; RangeError for a bad epoch, or a sampler that returns no order
   */
  order(epoch: number): Int32Array {
    checkNumber(`${OP}.order`, 'epoch', epoch, { min: 0, max: MAX_EPOCH, integer: true });
    if (epoch === this.#epoch && this.#running) return this.#running.slice();
    const { kind } = this.#source;
    if (kind === 'stream') throw new TypeError(`${OP}.order: a stream comes in its own order`);
    const { length } = this.#source;
    const order: unknown = this.#settings.sampler.order(length, this.seed, epoch);
    const count = this.count!;
    if (!(order instanceof Int32Array) || order.length !== count)
      throw wrongType(`${OP}.order`, "the sampler's order", `an Int32Array of ${count}`, order);
    if (!order.every((i) => i >= 0 && i < length))
      throw new RangeError(`${OP}.order: the sampler names an example outside 0 … ${length - 1}`);
    return order;
  }

  /**
   * Tells the sampler how large the errors of some examples were: see `largestErrorFirst`.
   * @param indices - which examples, such as {@link indices}
   * @param errors - one finite number for each, such as unreduced losses
   * @throws TypeError if the sampler learns nothing; TypeError, RangeError for bad indices or errors (NaN)
   */
  report(indices: Numbers, errors: Numbers): void {
    const op = `${OP}.report`;
    const { sampler } = this.#settings;
    if (this.#source.kind === 'stream' || !sampler.report)
      throw new TypeError(`${op}: this loader's sampler takes no errors; largestErrorFirst does`);
    const { length } = this.#source;
    const which = readNumbers(op, 'indices', indices, { min: 0, max: length - 1, integer: true });
    const values = readNumbers(op, 'errors', errors, {}, which.length);
    sampler.report(length, Int32Array.from(which), values);
  }

  /** The position; in the body of a loop it is behind the batch at hand. */
  state(): LoaderState {
    const state: LoaderState = { epoch: this.#epoch, position: this.#position };
    const { sampler } = this.#settings;
    if (!sampler.state) return state;
    if (this.#running && this.#position > 0) state.order = [...this.#running];
    return { ...state, sampler: sampler.state() };
  }

  /**
   * Goes to a position; a loop that is under way ends with an error.
   * @throws TypeError, RangeError for a state that does not fit this loader, which is left as it was
   */
  load(state: LoaderState): void {
    const op = `${OP}.load`;
    if (state === undefined) throw wrongType(op, 'state', 'an object { epoch, position }', state);
    const given = checkKeys(op, state, ['epoch', 'position', 'order', 'sampler']);
    const integer = { min: 0, integer: true };
    const { count } = this;
    const epoch = checkNumber(op, 'epoch', given['epoch'], { ...integer, max: MAX_EPOCH });
    const position = checkNumber(op, 'position', given['position'], {
      ...integer,
      max: count ?? Number.MAX_SAFE_INTEGER,
    });
    let running: Int32Array | null = null;
    if (given['order'] !== undefined && this.#source.kind !== 'stream') {
      const range = { min: 0, max: this.#source.length - 1, integer: true };
      running = Int32Array.from(readNumbers(op, 'order', given['order'], range, count!));
    }
    const { sampler } = this.#settings;
    if (given['sampler'] !== undefined && this.#source.kind !== 'stream')
      sampler.load?.(this.#source.length, given['sampler']);
    ++this.#loop;
    this.#epoch = epoch;
    this.#position = position;
    this.#running = running;
    this.#indices = null;
  }

  /** Frees the tensors that were made of typed arrays. Those that were given as tensors are the caller's. */
  dispose(): void {
    if (this.#source.kind === 'table') for (const t of this.#source.made) t.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** One epoch, or the rest of it. @throws TypeError if the source is async */
  *[Symbol.iterator](): Generator<B, void, undefined> {
    const loop = ++this.#loop;
    for (const delivery of this.#readSync()) {
      this.#advance(delivery);
      yield delivery.batch as B;
      this.#checkLoop(loop);
    }
    this.#endEpoch();
  }

  /** One epoch, or the rest of it, read ahead by `prefetch` batches. */
  async *[Symbol.asyncIterator](): AsyncGenerator<B, void, undefined> {
    const loop = ++this.#loop;
    const { kind } = this.#source;
    const { prefetch: depth, collate: own } = this.#settings;
    // What the caller's collate returned may be the caller's.
    const discard = ({ batch }: Delivery): void => {
      if (!own) disposeParts(batch);
    };
    for await (const delivery of prefetch(
      this.#readAsync(),
      kind === 'table' ? 0 : depth,
      discard,
    )) {
      this.#checkLoop(loop);
      this.#advance(delivery);
      yield delivery.batch as B;
      this.#checkLoop(loop);
    }
    this.#endEpoch();
  }

  #advance({ count, indices }: Delivery): void {
    this.#position += count;
    this.#indices = indices;
  }
  #endEpoch(): void {
    ++this.#epoch;
    this.#position = 0;
    this.#running = null;
  }
  #checkLoop(loop: number): void {
    if (loop !== this.#loop)
      throw new TapegradError(
        'TG_BUSY',
        `${OP}: another loop or load() moved this loader meanwhile; make a loader for each loop`,
      );
  }

  /** The rows of the batches from the position on. */
  *#plan(): Generator<Int32Array, void, undefined> {
    const order = (this.#running ??= this.order(this.#epoch));
    const step = this.batchSize;
    for (let at = this.#position; at < order.length; at += step) {
      if (this.dropLast && at + step > order.length) return;
      yield order.slice(at, at + step);
    }
  }

  #collate(examples: unknown[]): unknown {
    const { collate: own } = this.#settings;
    return own ? own(examples) : collate(OP, examples);
  }

  #streamOptions() {
    return { skip: this.#position, batchSize: this.batchSize, dropLast: this.dropLast };
  }

  *#readSync(): Generator<Delivery, void, undefined> {
    const source = this.#source;
    if (source.kind === 'stream') {
      const stream = source.open(this.#epoch);
      if (isAsync(stream)) throw asyncError();
      for (const examples of readSync(OP, stream, this.#streamOptions()))
        yield { batch: this.#collate(examples), count: examples.length, indices: null };
      return;
    }
    for (const indices of this.#plan()) {
      const batch =
        source.kind === 'table'
          ? assemble(source.form, takeRows(source.tensors, indices))
          : this.#collate(Array.from(indices, (i) => present(source.get(i))));
      yield { batch, count: indices.length, indices };
    }
  }

  async *#readAsync(): AsyncGenerator<Delivery, void, undefined> {
    const source = this.#source;
    await Promise.resolve(); // so that no batch is made inside a tidy that is about to end
    if (source.kind === 'table') {
      yield* this.#readSync();
    } else if (source.kind === 'stream') {
      const stream = source.open(this.#epoch);
      for await (const examples of readAsync(OP, stream, this.#streamOptions()))
        yield { batch: this.#collate(examples), count: examples.length, indices: null };
    } else {
      for (const indices of this.#plan()) {
        // One that throws at once rejects like the others, of which none is left alone.
        const read = (i: number): Promise<unknown> =>
          new Promise((resolve) => {
            resolve(source.get(i));
          });
        const examples = await Promise.all(Array.from(indices, read));
        yield { batch: this.#collate(examples), count: indices.length, indices };
      }
    }
  }
}

const asyncError = (): TypeError =>
  new TypeError(`${OP}: the source is async; use \`for await (const batch of loader)\``);

/** An example that is here already. */
function present(example: unknown): unknown {
  if (typeof (example as Partial<PromiseLike<unknown>> | null)?.then !== 'function') return example;
  (example as PromiseLike<unknown>).then(undefined, () => undefined);
  throw asyncError();
}
