// Splitting a table into a part to train on and a part to test on, as scikit-learn does.
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { shuffle, uniforms } from '../random.js';
import { checkSeed, keyOf } from './keys.js';
import { classesOf, readNumbers, type Numbers } from './numbers.js';
import { assemble, readTable, takeRows, type Table, type TensorsOf } from './table.js';

const OP = 'trainTestSplit';

export interface SplitOptions {
  /** A share in (0, 1) or, from 1 on, a number of examples; rounded up. A quarter unless told, or what trainSize leaves. */
  testSize?: number;
  /** Likewise, rounded down; what testSize leaves unless told. */
  trainSize?: number;
  /** An integer in 0 … 2⁵³ - 1 that fixes the split; drawn from the generator of `manualSeed` unless told. */
  seed?: number;
  /** false: the first examples to train, the last to test. */
  shuffle?: boolean;
  /** [n] class numbers: both parts get their classes in the proportions of the whole. */
  stratify?: Numbers;
}

export interface Split<T> {
  /** In the form of the data; new tensors, outside the graph. */
  train: TensorsOf<T>;
  test: TensorsOf<T>;
  trainIndices: Int32Array;
  testIndices: Int32Array;
}

function sizeOf(name: string, value: unknown, n: number): number {
  const size = checkNumber(OP, name, value, { above: 0 });
  if (size < 1) return size * n;
  if (!Number.isInteger(size) || size >= n)
    throw new RangeError(
      `${OP}: ${name} must be a share in (0, 1) or a number of examples below ${n}, got the number ${size}`,
    );
  return size;
}

function sizesOf(given: Record<string, unknown>, n: number): { train: number; test: number } {
  const { testSize, trainSize } = given;
  let train = trainSize === undefined ? null : Math.floor(sizeOf('trainSize', trainSize, n));
  let test: number;
  if (testSize === undefined && train !== null) test = n - train;
  else test = Math.ceil(sizeOf('testSize', testSize ?? 0.25, n));
  train ??= n - test;
  if (train + test > n)
    throw new RangeError(
      `${OP}: trainSize and testSize make ${train} + ${test} examples, but there are ${n}`,
    );
  if (train === 0 || test === 0)
    throw new RangeError(
      `${OP}: of ${n} examples ${train} are left to train and ${test} to test; both need one at least`,
    );
  return { train, test };
}

/**
 * How many of `total` each class gets: its share rounded down, and the rest to the largest fractions, equal ones
 * in an order of chance.
 */
function apportion(counts: readonly number[], total: number, u: Float64Array): number[] {
  const sum = counts.reduce((a, b) => a + b, 0);
  const shares = counts.map((c) => (c * total) / sum);
  const parts = shares.map(Math.floor);
  const rest = total - parts.reduce((a, b) => a + b, 0);
  const order = shares.map((_, i) => i);
  order.sort((a, b) => shares[b]! - parts[b]! - (shares[a]! - parts[a]!) || u[a]! - u[b]!);
  for (const i of order.slice(0, rest)) ++parts[i]!;
  return parts;
}

interface Indices {
  train: Int32Array;
  test: Int32Array;
}

function stratified(labels: Float64Array, train: number, test: number, seed: number): Indices {
  const { values, members } = classesOf(labels);
  const k = values.length;
  const lonely = members.findIndex((m) => m.length < 2);
  if (lonely >= 0)
    throw new RangeError(
      `${OP}: class ${values[lonely]!} has one member only; to stratify, each class needs two at least`,
    );
  for (const [name, size] of Object.entries({ trainSize: train, testSize: test }))
    if (size < k)
      throw new RangeError(
        `${OP}: ${name} gives ${size} examples for ${k} classes; to stratify, each class needs one`,
      );
  const n = labels.length;
  const u = uniforms(2 * k + n + train + test, keyOf('split', seed));
  let at = 0;
  const next = (count: number): Float64Array => u.subarray(at, (at += count));
  const trainCounts = apportion(
    members.map((m) => m.length),
    train,
    next(k),
  );
  const left = members.map((m, c) => m.length - trainCounts[c]!);
  const testCounts = apportion(left, test, next(k));
  const picked = { train: new Int32Array(train), test: new Int32Array(test) };
  let trained = 0;
  let tested = 0;
  members.forEach((m, c) => {
    const order = shuffle(m.slice(), next(m.length));
    const cut = trainCounts[c]!;
    picked.train.set(order.subarray(0, cut), trained);
    picked.test.set(order.subarray(cut, cut + testCounts[c]!), tested);
    trained += cut;
    tested += testCounts[c]!;
  });
  shuffle(picked.train, next(train));
  shuffle(picked.test, next(test));
  return picked;
}

function choose(given: Record<string, unknown>, n: number): Indices {
  const { train, test } = sizesOf(given, n);
  const { shuffle: shuffled = true, stratify } = given;
  if (typeof shuffled !== 'boolean') throw wrongType(OP, 'shuffle', 'a boolean', shuffled);
  const seed = checkSeed(OP, given['seed']);
  const all = Int32Array.from({ length: n }, (_, i) => i);
  if (stratify !== undefined) {
    if (!shuffled) throw new TypeError(`${OP}: stratify needs shuffle`);
    return stratified(readNumbers(OP, 'stratify', stratify, {}, n), train, test, seed);
  }
  if (!shuffled) return { train: all.slice(0, train), test: all.slice(train, train + test) };
  const order = shuffle(all, uniforms(n, keyOf('split', seed)));
  return { train: order.slice(test, test + train), test: order.slice(0, test) };
}

/**
 * Splits examples at random into those to train on and those to test on. Sizes, strata and what is refused are those
 * of scikit-learn's train_test_split. Call it again on `train` for a validation set.
 * @param data - a tensor, or a tuple or record of tensors or typed arrays with equal first axes
 * @throws TypeError, RangeError for data or options that do not do: an empty part, sizes beyond the data, a class
 * with one member or more classes than examples in a part when stratified
 */
export function trainTestSplit<const T extends Table>(data: T, options?: SplitOptions): Split<T> {
  const known = ['testSize', 'trainSize', 'seed', 'shuffle', 'stratify'];
  const given = { ...checkKeys(OP, options, known) }; // getters run once
  const { form, tensors, made, length } = readTable(OP, data);
  try {
    const { train, test } = choose(given, length);
    const take = (rows: Int32Array) => assemble(form, takeRows(tensors, rows)) as TensorsOf<T>;
    return { train: take(train), test: take(test), trainIndices: train, testIndices: test };
  } finally {
    for (const t of made) t.dispose();
  }
}
