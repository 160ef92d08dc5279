// Samplers: which examples an epoch shows, and in which order. Pure functions of (length, seed, epoch), but for
// the one that learns from reported errors. No data here.
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { shuffle, uniforms } from '../random.js';
import { keyOf } from './keys.js';
import { classesOf, readNumbers, type Numbers } from './numbers.js';

/** Decides which examples an epoch shows. An object of your own will do. */
export interface Sampler {
  /** How many examples an epoch shows of a dataset of `length`. */
  count(length: number): number;
  /** `count(length)` indices in 0 … length - 1, the same for the same arguments. */
  order(length: number, seed: number, epoch: number): Int32Array;
  /** Takes the errors that were measured on some examples, to use them in later epochs. */
  report?(length: number, indices: Int32Array, errors: Float64Array): void;
  /** What was reported, as JSON can hold it; with {@link Sampler.load} a run resumes exactly. */
  state?(): unknown;
  load?(length: number, state: unknown): void;
}

const upTo = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i);
const shuffled = (n: number, seed: number, epoch: number): Int32Array =>
  shuffle(upTo(n), uniforms(n, keyOf('order', seed, epoch)));

/** Every example once, in the order of the data. */
export const sequential = (): Sampler => ({
  count: (length) => length,
  order: (length) => upTo(length),
});

/** Every example once, in a new random order each epoch. */
export const random = (): Sampler => ({ count: (length) => length, order: shuffled });

function readSamples(op: string, options: unknown, more: readonly string[] = []): number | null {
  const { samples } = checkKeys(op, options, ['samples', ...more]);
  if (samples === undefined) return null;
  return checkNumber(op, 'samples', samples, { min: 1, max: 2 ** 31 - 1, integer: true });
}

/** Each list of members again and again, shuffled anew each time, for `rounds` entries. */
function repeated(members: Int32Array, rounds: number, u: () => Float64Array): Int32Array {
  const pool = new Int32Array(rounds);
  for (let at = 0; at < rounds; at += members.length)
    pool.set(shuffle(members.slice(), u()).subarray(0, rounds - at), at);
  return pool;
}

/**
 * All classes equally often, and successive examples from different classes: each round shows one example of every
 * class, in random order. Within an epoch the examples of a class are shown equally often, ± 1, so the small
 * classes come again and again. LeCun et al. 1998, Efficient BackProp, 4.2.
 * @param labels - [n] class numbers of the examples, finite
 * @param options - `samples`: examples per epoch, as many as there are unless told
 * @throws TypeError, RangeError; also when a loader's data has another length than the labels
 */
export function classBalanced(labels: Numbers, options?: { samples?: number }): Sampler {
  const op = 'classBalanced';
  const given = readNumbers(op, 'labels', labels, {});
  if (given.length === 0) throw new RangeError(`${op}: labels is empty`);
  const samples = readSamples(op, options) ?? given.length;
  const { members } = classesOf(given);
  const k = members.length;
  const rounds = Math.ceil(samples / k);
  const shuffles = members.map((m) => Math.ceil(rounds / m.length) * m.length);
  const draws = rounds * k + shuffles.reduce((a, b) => a + b, 0);
  const check = (length: number): void => {
    if (length !== given.length)
      throw new RangeError(`${op}: there are ${given.length} labels for ${length} examples`);
  };
  return {
    count(length) {
      check(length);
      return samples;
    },
    order(length, seed, epoch) {
      check(length);
      const u = uniforms(draws, keyOf('order', seed, epoch));
      let at = 0;
      const next = (n: number) => (): Float64Array => u.subarray(at, (at += n));
      const pools = members.map((m) => repeated(m, rounds, next(m.length)));
      const order = new Int32Array(samples);
      let last = -1;
      for (let round = 0; round < rounds; ++round) {
        const classes = shuffle(upTo(k), next(k)());
        // No class twice in a row where rounds meet.
        if (classes[0] === last) [classes[0], classes[k - 1]] = [classes[k - 1]!, last];
        last = classes[k - 1]!;
        for (let i = 0; i < k && round * k + i < samples; ++i)
          order[round * k + i] = pools[classes[i]!]![round]!;
      }
      return order;
    },
  };
}

/** The first index whose cumulative weight is above x. */
function search(cumulative: Float64Array, x: number): number {
  let low = 0;
  let high = cumulative.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (cumulative[middle]! > x) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Examples with probabilities proportional to their weights; one of weight 0 is never shown.
 * @param weights - [n] finite numbers ≥ 0
 * @param options - `samples`: examples per epoch, as many as there are unless told; `replacement`: whether an
 * example may come several times (true unless told), else by the keys of Efraimidis & Spirakis 2006
 * @throws TypeError, RangeError, also if there are too few positive weights to draw without replacement
 */
export function weighted(
  weights: Numbers,
  options?: { samples?: number; replacement?: boolean },
): Sampler {
  const op = 'weighted';
  const given = readNumbers(op, 'weights', weights, { min: 0 });
  const { replacement = true } = checkKeys(op, options, ['samples', 'replacement']);
  if (typeof replacement !== 'boolean')
    throw wrongType(op, 'replacement', 'a boolean', replacement);
  const samples = readSamples(op, options, ['replacement']) ?? given.length;
  const positive = Int32Array.from(given.keys()).filter((i) => given[i]! > 0);
  const largest = given.reduce((a, b) => Math.max(a, b), 0);
  if (largest === 0) throw new RangeError(`${op}: no weight is positive`);
  if (!replacement && samples > positive.length)
    throw new RangeError(
      `${op}: ${samples} samples without replacement need as many positive weights, there are ${positive.length}`,
    );
  // Relative to the largest, so that the sum of finite weights is finite.
  let sum = 0;
  const cumulative = Float64Array.from(positive, (i) => (sum += given[i]! / largest));
  const check = (length: number): void => {
    if (length !== given.length)
      throw new RangeError(`${op}: there are ${given.length} weights for ${length} examples`);
  };
  return {
    count(length) {
      check(length);
      return samples;
    },
    order(length, seed, epoch) {
      check(length);
      const key = keyOf('order', seed, epoch);
      if (replacement)
        return Int32Array.from(
          uniforms(samples, key),
          (u) => positive[search(cumulative, u * sum)]!,
        );
      // log(u) / w: the largest keys are a weighted sample without replacement. 1 - u is never 0.
      const u = uniforms(positive.length, key);
      const keys = u.map((v, i) => Math.log(1 - v) / (given[positive[i]!]! / largest));
      const ranks = upTo(positive.length).sort((a, b) => keys[b]! - keys[a]! || a - b);
      return ranks.subarray(0, samples).map((i) => positive[i]!);
    },
  };
}

/**
 * The examples with the largest errors first, by what was last told to {@link DataLoader.report}; those without a
 * report come before all others, and equals come in random order. Reports of an epoch count from the next one on.
 * LeCun et al. 1998, Efficient BackProp, 4.2.
 * @param options - `samples`: how many of them an epoch shows, all unless told; those left out keep their old error
 * @throws TypeError, RangeError
 */
export function largestErrorFirst(options?: { samples?: number }): Sampler {
  const op = 'largestErrorFirst';
  const samples = readSamples(op, options);
  let known: Float64Array | null = null;
  const errorsOf = (length: number): Float64Array => {
    known ??= new Float64Array(length).fill(Infinity);
    if (known.length !== length)
      throw new RangeError(
        `${op}: the sampler has errors of ${known.length} examples, the data has ${length}; make one for each loader`,
      );
    return known;
  };
  return {
    count: (length) => Math.min(samples ?? length, length),
    order(length, seed, epoch) {
      const errors = errorsOf(length);
      const order = shuffled(length, seed, epoch);
      // A stable sort of a random order: equals stay random. Infinity - Infinity is NaN, hence the comparisons.
      order.sort((a, b) => (errors[a]! > errors[b]! ? -1 : errors[a]! < errors[b]! ? 1 : 0));
      return order.subarray(0, samples ?? length);
    },
    report(length, indices, errors) {
      const to = errorsOf(length);
      indices.forEach((index, i) => (to[index] = errors[i]!));
    },
    state: () => known && Array.from(known, (e) => (e === Infinity ? null : e)),
    load(length, state) {
      if (state === null) {
        known = null;
        return;
      }
      if (!Array.isArray(state) || state.length !== length)
        throw wrongType(op, 'the state', `null or an array of ${length} errors`, state);
      known = Float64Array.from(state as unknown[], (e, i) =>
        e === null ? Infinity : checkNumber(op, `the state's error ${i}`, e),
      );
    },
  };
}
