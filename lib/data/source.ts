// The kinds of datasets that a loader reads, told apart once; and reading a stream in groups.
import { wrongType } from '../errors.js';
import { isColumn, readTable, type Table, type TableTensors, type TensorsOf } from './table.js';
import type { Part } from './collate.js';

/** An example: one part, or a tuple or record of parts. */
export type Example = Part | readonly unknown[] | Readonly<Record<string, unknown>>;
/** Examples by their number. `get` may return promises. */
export interface Indexable<E = Example> {
  readonly length: number;
  get(index: number): E | PromiseLike<E>;
}
/** Examples one after the other. */
export type Stream<E = Example> = Iterable<E> | AsyncIterable<E>;
/** What a {@link DataLoader} reads; a function makes a stream for each epoch. */
export type Dataset = Table | Indexable | Stream | ((epoch: number) => Stream);

/** One example of a dataset. */
export type ExampleOf<D> =
  D extends Indexable<infer E>
    ? E
    : D extends (epoch: number) => Stream<infer E>
      ? E
      : D extends Stream<infer E>
        ? E
        : unknown;
/** A batch of a dataset: tensors in the form of its columns or examples. */
export type BatchOf<D> = D extends Table ? TensorsOf<D> : TensorsOf<ExampleOf<D>>;

/** @internal */
export type Source =
  | ({ readonly kind: 'table' } & TableTensors)
  | { readonly kind: 'indexable'; readonly length: number; get(index: number): unknown }
  | { readonly kind: 'stream'; open(epoch: number): Stream<unknown> };

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
export const isAsync = (stream: Stream<unknown>): stream is AsyncIterable<unknown> =>
  typeof (stream as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator] === 'function';
const isStream = (value: unknown): value is Stream<unknown> =>
  isObject(value) &&
  (typeof (value as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function' ||
    isAsync(value as Stream<unknown>));

/** @internal @throws TypeError, RangeError */
export function readSource(op: string, value: unknown): Source {
  if (isColumn(value) || Array.isArray(value)) return { kind: 'table', ...readTable(op, value) };
  if (typeof value === 'function')
    return {
      kind: 'stream',
      open(epoch) {
        const stream: unknown = Reflect.apply(value, undefined, [epoch]);
        if (!isStream(stream))
          throw wrongType(op, "the dataset function's result", 'an iterable of examples', stream);
        return stream;
      },
    };
  if (isObject(value) && typeof (value as Partial<Indexable>).get === 'function') {
    const { length } = value as Indexable;
    if (!Number.isSafeInteger(length) || length < 1 || length >= 2 ** 31)
      throw new RangeError(
        `${op}: the dataset's length must be an integer from 1 to 2147483647, got ${String(length)}`,
      );
    return { kind: 'indexable', length, get: (i) => (value as Indexable).get(i) };
  }
  if (isStream(value)) return { kind: 'stream', open: () => value };
  if (isObject(value) && Object.values(value).some(isColumn))
    return { kind: 'table', ...readTable(op, value) };
  throw wrongType(
    op,
    'the dataset',
    'tensors ({ x, y }, a tuple or one), { length, get(i) }, an iterable or a function that makes one',
    value,
  );
}

/** What one epoch reads of a stream. */
export interface StreamOptions {
  /** Examples to pass over first: a resumed epoch. */
  readonly skip: number;
  readonly batchSize: number;
  readonly dropLast: boolean;
}

/** Collects examples into groups; `add` and `rest` return one when it is complete. */
class Groups {
  #group: unknown[] = [];
  #seen = 0;
  constructor(
    readonly op: string,
    readonly options: StreamOptions,
  ) {}
  add(example: unknown): unknown[] | null {
    if (this.#seen++ < this.options.skip) return null;
    this.#group.push(example);
    if (this.#group.length < this.options.batchSize) return null;
    const full = this.#group;
    this.#group = [];
    return full;
  }
  rest(): unknown[] | null {
    if (this.#seen === 0)
      throw new TypeError(
        `${this.op}: the source gave no examples; if it is a generator, which runs only once, pass a function that makes a new one for each epoch`,
      );
    if (this.#seen < this.options.skip)
      throw new RangeError(
        `${this.op}: the source ended after ${this.#seen} examples, before the position ${this.options.skip} from which to go on`,
      );
    return this.#group.length > 0 && !this.options.dropLast ? this.#group : null;
  }
}

/** @internal Groups of examples of a synchronous stream; leaving early closes it. */
export function* readSync(
  op: string,
  stream: Iterable<unknown>,
  options: StreamOptions,
): Generator<unknown[], void, undefined> {
  const groups = new Groups(op, options);
  for (const example of stream) {
    const group = groups.add(example);
    if (group) yield group;
  }
  const rest = groups.rest();
  if (rest) yield rest;
}

/** @internal As {@link readSync}, of either kind of stream. */
export async function* readAsync(
  op: string,
  stream: Stream<unknown>,
  options: StreamOptions,
): AsyncGenerator<unknown[], void, undefined> {
  const groups = new Groups(op, options);
  for await (const example of stream) {
    const group = groups.add(example);
    if (group) yield group;
  }
  const rest = groups.rest();
  if (rest) yield rest;
}
