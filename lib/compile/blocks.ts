// Training data cut into blocks: many steps of one program, or one step on a batch that arrived. Knows epochs,
// batches and positions; what is done with a block is said by train.ts.
import { tensor, tensorFor } from '../create.js';
import { TapegradError, wrongType } from '../errors.js';
import { DataLoader, type LoaderState } from '../data/loader.js';
import { prefetch } from '../data/prefetch.js';
import { indexSelect } from '../ops.gen.js';
import { noGrad } from '../tape.js';
import { isTensor, shapeOf, type Tensor } from '../tensor.js';
import { isPlain } from '../tree.js';

/** Batches one after the other: tuples or records of tensors or typed arrays, in the order of the arguments. */
export type BatchStream = Iterable<unknown> | AsyncIterable<unknown>;
/** What `train` reads: a loader, or batches; a function makes them for each epoch. */
export type TrainingData = DataLoader | BatchStream | ((epoch: number) => BatchStream);

/** Steps that can be run at once. */
export interface Work {
  /** Tensors like those of each step: what the program is compiled for. */
  readonly like: readonly Tensor[];
  /** With `order`, the data to take rows from; else the batch. */
  readonly tensors: readonly Tensor[];
  readonly order?: Int32Array;
  readonly steps: number;
  /** Examples in each step. */
  readonly batch: number;
  /** Epoch of the first step, from 0. */
  readonly epoch: number;
  /** Whether the block's last step ends an epoch. */
  readonly endsEpoch: boolean;
  /** Says that `steps` of them were run: moves the loader, frees what was made for them. */
  done(steps: number): void;
}

/** How many steps the next block may have. */
export type Limit = () => number;

/** Blocks of a table in memory: the program gathers its batches itself. */
function* tableBlocks(loader: DataLoader, epochs: number, limit: Limit): Generator<Work> {
  const tensors = loader.tensors!;
  const size = loader.batchSize;
  const first = loader.state().epoch;
  let shown: { epoch: number; order: Int32Array } = { epoch: -1, order: new Int32Array() };
  const likes = new Map<number, Tensor[]>();
  const like = (batch: number): Tensor[] => {
    let made = likes.get(batch);
    if (!made) {
      const rows = tensor(new Int32Array(batch), { device: tensors[0]!.device });
      made = noGrad(() => tensors.map((t) => indexSelect(t, rows)));
      rows.dispose();
      likes.set(batch, made);
    }
    return made;
  };
  try {
    for (let state = loader.state(); state.epoch < first + epochs; state = loader.state()) {
      const { epoch, position } = state;
      // A sampler that learns may have a new one; otherwise it is that of the block before.
      if (shown.epoch !== epoch || state.sampler !== undefined)
        shown = { epoch, order: loader.order(epoch) };
      const { order } = shown;
      const usable = loader.dropLast ? order.length - (order.length % size) : order.length;
      const left = usable - position;
      if (left <= 0) {
        loader.load({ epoch: epoch + 1, position: 0 });
        continue;
      }
      const batch = Math.min(size, left);
      const steps = batch < size ? 1 : Math.max(1, Math.min(limit(), Math.floor(left / size)));
      const taken = steps * batch;
      yield {
        like: like(batch),
        tensors,
        order: order.subarray(position, position + taken),
        steps,
        batch,
        epoch: epoch - first,
        endsEpoch: position + taken === usable,
        done(run) {
          const at = position + run * batch;
          if (at >= usable) loader.load({ epoch: epoch + 1, position: 0 });
          else loader.load({ ...learning(loader, order), epoch, position: at });
        },
      };
    }
  } finally {
    for (const list of likes.values()) for (const t of list) t.dispose();
  }
}

/** For a sampler that learns from reports: the running epoch's order stays. */
function learning(loader: DataLoader, order: Int32Array): Partial<LoaderState> {
  const { sampler } = loader.state();
  return sampler === undefined ? {} : { sampler, order: [...order] };
}

/** The parts of a batch as tensors, and those among them that were made here. */
function partsOf(batch: unknown): { tensors: Tensor[]; made: Tensor[] } {
  const made: Tensor[] = [];
  const list: unknown[] =
    isTensor(batch) || ArrayBuffer.isView(batch)
      ? [batch]
      : Array.isArray(batch)
        ? batch
        : isPlain(batch)
          ? Object.values(batch)
          : [];
  if (list.length === 0)
    throw wrongType('train', 'a batch', 'a tuple or record of tensors or typed arrays', batch);
  const tensors = list.map((part, i) => {
    if (isTensor(part)) return part;
    if (isShaped(part)) {
      const t = tensorFor('train', `part ${i} of a batch`, part.data, {
        shape: part.shape,
      });
      made.push(t);
      return t;
    }
    if (!ArrayBuffer.isView(part))
      throw wrongType(
        'train',
        `part ${i} of a batch`,
        'a Tensor, a typed array or { data, shape }',
        part,
      );
    const t = tensorFor('train', `part ${i} of a batch`, part);
    made.push(t);
    return t;
  });
  return { tensors, made };
}
const isShaped = (value: unknown): value is { data: unknown; shape: number[] } =>
  isPlain(value) && ArrayBuffer.isView(value['data']) && Array.isArray(value['shape']);

/** Batches that are read while one is run; a loader reads ahead itself. */
const AHEAD = 2;
const nothing = (): void => undefined;
async function* read(stream: BatchStream): AsyncGenerator<unknown, void, undefined> {
  yield* stream;
}

/** Batches as they come, as blocks of one step. */
async function* batchBlocks(
  stream: BatchStream,
  epoch: number,
  own: boolean,
): AsyncGenerator<Work, void, undefined> {
  for await (const batch of prefetch(read(stream), own ? 0 : AHEAD, nothing)) {
    const { tensors, made } = partsOf(batch);
    yield {
      like: tensors,
      tensors,
      steps: 1,
      batch: shapeOf(tensors[0]!)[0] ?? 1,
      epoch,
      endsEpoch: false,
      done() {
        for (const t of own ? tensors : made) t.dispose();
      },
    };
  }
}

/** Marks the last block. What follows a block, an error too, is waited for before the block is given out. */
async function* markLast(
  blocks: AsyncGenerator<Work, void, undefined>,
): AsyncGenerator<Work, void, undefined> {
  let next = await blocks.next();
  try {
    while (!next.done) {
      const work = next.value;
      let failure: { error: unknown } | null = null;
      try {
        next = await blocks.next();
      } catch (error) {
        failure = { error };
        next = { done: true, value: undefined };
      }
      yield next.done && !failure ? { ...work, endsEpoch: true } : work;
      if (failure) throw failure.error;
    }
  } finally {
    if (!next.done) next.value.done(0);
    await blocks.return();
  }
}

/** Blocks of one step, the next batches being read while one is run. */
async function* streamBlocks(
  open: (epoch: number) => BatchStream,
  epochs: number,
  own: boolean,
): AsyncGenerator<Work, void, undefined> {
  for (let epoch = 0; epoch < epochs; ++epoch) {
    const stream: unknown = open(epoch);
    if (
      typeof stream !== 'object' ||
      stream === null ||
      !(Symbol.asyncIterator in stream || Symbol.iterator in stream)
    )
      throw wrongType(
        'train',
        'the data',
        'a DataLoader, tensors or an iterable of batches',
        stream,
      );
    let batches = 0;
    for await (const work of markLast(batchBlocks(stream as BatchStream, epoch, own))) {
      ++batches;
      yield work;
    }
    if (batches === 0)
      throw new TapegradError(
        'TG_DATA',
        `train: the data gave no batches in epoch ${epoch + 1}; a generator runs only once: pass a function that makes a new one for each epoch`,
      );
  }
}

/** @internal The blocks of some epochs. A loader goes on from where it is, and is left where training ended. */
export function blocksOf(
  data: TrainingData,
  epochs: number,
  limit: Limit,
): Iterable<Work> | AsyncIterable<Work> {
  if (data instanceof DataLoader) {
    if (data.tensors) return tableBlocks(data, epochs, limit);
    return streamBlocks(() => data, epochs, true);
  }
  return streamBlocks(typeof data === 'function' ? data : () => data, epochs, false);
}
