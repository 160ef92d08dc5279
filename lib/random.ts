// Random tensors. Philox4x32-10 (Salmon et al. 2011): every number is a function of (seed, stream,
// position), so the same seed gives the same numbers on every machine and with any number of threads.
import { dtypeCode, generate } from './apply.js';
import {
  checkOptions,
  checkShape,
  finish,
  type CheckedOptions,
  type TensorOptions,
} from './create.js';
import { TapegradError, checkNumber, wrongType } from './errors.js';
import { isRecording } from './recording.js';
import { OPS, type OpSpec } from './schema.gen.js';
import type { Tensor } from './tensor.js';

function refuseRecording(op: string): void {
  if (isRecording())
    throw new TapegradError(
      'TG_TRACE',
      `${op}: must not be called inside a function that is being compiled; call it before the step`,
    );
}

const MAX_SEED = Number.MAX_SAFE_INTEGER;
let seed = Math.floor(Math.random() * MAX_SEED);
let stream = 0;

/**
 * Starts the random numbers anew: rand, randn, initialisation and shuffling repeat after the same seed.
 * @throws TypeError, RangeError unless seed is an integer in 0 … 2⁵³ - 1
 */
export function manualSeed(value: number): void {
  refuseRecording('manualSeed');
  seed = checkNumber('manualSeed', 'seed', value, { min: 0, max: MAX_SEED, integer: true });
  stream = 0;
}
/** The state of the generator: the seed, and how many tensors it has filled. */
export const randomState = (): { seed: number; stream: number } => ({ seed, stream });
/** Continues where {@link randomState} was taken. */
export function setRandomState(state: { seed: number; stream: number }): void {
  refuseRecording('setRandomState');
  if (typeof state !== 'object' || (state as unknown) === null)
    throw wrongType('setRandomState', 'state', 'an object { seed, stream }', state);
  const range = { min: 0, max: MAX_SEED, integer: true };
  const first = checkNumber('setRandomState', 'seed', state.seed, range);
  const next = checkNumber('setRandomState', 'stream', state.stream, range);
  seed = first;
  stream = next;
}

/** @internal Takes `count` streams for a program that draws from them itself; the stream after them. */
export const takeStreams = (count: number): number => (stream += count);
/** @internal Gives back streams that were taken up to `end` and not used, if nobody drew since. */
export function returnStreams(end: number, count: number): void {
  if (stream === end) stream -= count;
}

/** @internal What the next random op is keyed by. */
export const nextKey = (): [seed: number, stream: number] => [seed, stream++];

function random(
  op: string,
  spec: OpSpec,
  shape: unknown,
  a: number,
  b: number,
  options: CheckedOptions,
): Tensor {
  const sizes = checkShape(op, shape);
  const dtype = dtypeCode(op, options.dtype ?? (spec.name === 'randint' ? 'int32' : 'float32'));
  return finish(
    generate(spec, [sizes.length, ...sizes, dtype, a, b, ...nextKey()], options.device),
    options,
  );
}

/** Uniform numbers in [low, high), [0, 1) unless told. @throws TypeError, RangeError */
export function rand(
  shape: readonly number[],
  options?: TensorOptions & { low?: number; high?: number },
): Tensor {
  const given = checkOptions('rand', options, ['low', 'high']) as CheckedOptions & {
    low?: number;
    high?: number;
  };
  const low = checkNumber('rand', 'low', given.low ?? 0);
  const high = checkNumber('rand', 'high', given.high ?? 1, { min: low });
  return random('rand', OPS.uniform, shape, low, high, given);
}

/** Normal numbers with mean 0 and standard deviation 1 unless told. @throws TypeError, RangeError */
export function randn(
  shape: readonly number[],
  options?: TensorOptions & { mean?: number; deviation?: number },
): Tensor {
  const given = checkOptions('randn', options, ['mean', 'deviation']) as CheckedOptions & {
    mean?: number;
    deviation?: number;
  };
  const mean = checkNumber('randn', 'mean', given.mean ?? 0);
  const deviation = checkNumber('randn', 'deviation', given.deviation ?? 1, { min: 0 });
  return random('randn', OPS.normal, shape, mean, deviation, given);
}

/** Integers in low … high - 1, int32 unless told. @throws TypeError, RangeError */
export function randint(
  low: number,
  high: number,
  shape: readonly number[],
  options?: TensorOptions,
): Tensor {
  const given = checkOptions('randint', options);
  checkNumber('randint', 'low', low, { integer: true, min: -2147483648 });
  checkNumber('randint', 'high', high, { integer: true, above: low, max: 2147483648 });
  return random('randint', OPS.randint, shape, low, high, given);
}

/** @internal n uniform float64 numbers in [0, 1), a function of the key alone; the first m are those of any n ≥ m. */
export function uniforms(n: number, key: readonly [seed: number, stream: number]): Float64Array {
  const numbers = [1, n, dtypeCode('rand', 'float64'), 0, 1, ...key];
  const draws = generate(OPS.uniform, numbers, 'cpu');
  const u = draws.dataSync() as Float64Array;
  draws.dispose();
  return u;
}

/** @internal Shuffles in place by Fisher and Yates, with one number of [0, 1) per entry; returns the order. */
export function shuffle(order: Int32Array, u: Float64Array): Int32Array {
  for (let i = order.length - 1; i > 0; --i) {
    const j = Math.floor(u[i]! * (i + 1));
    const t = order[i]!;
    order[i] = order[j]!;
    order[j] = t;
  }
  return order;
}

/** A random order of 0 … n - 1 as int32, by Fisher and Yates. @throws TypeError, RangeError */
export function permutation(n: number): Int32Array {
  checkNumber('permutation', 'n', n, { min: 0, max: 2 ** 31 - 1, integer: true });
  return shuffle(
    Int32Array.from({ length: n }, (_, i) => i),
    uniforms(n, nextKey()),
  );
}
