// Keys of the random numbers of this folder: which seed, and a stream that nothing else uses.
import { checkNumber } from '../errors.js';
import { nextKey, uniforms } from '../random.js';

/** What random numbers are for. The order is part of what a seed means: append only. */
const PURPOSES = [
  'order',
  'split',
  'flip',
  'rotate',
  'shift',
  'erase',
  'noise',
  'elastic',
] as const;
export type Purpose = (typeof PURPOSES)[number];

/** `manualSeed` counts its streams up from 0 and never comes this far: a loader may share its seed. */
const FIRST_STREAM = 2 ** 52;
const PER_PURPOSE = 2 ** 48;
/** The largest epoch. */
export const MAX_EPOCH = PER_PURPOSE - 1;

/** @internal The key of a purpose, and of an epoch within it. */
export const keyOf = (purpose: Purpose, seed: number, epoch = 0): [number, number] => [
  seed,
  FIRST_STREAM + PURPOSES.indexOf(purpose) * PER_PURPOSE + epoch,
];

/** @internal The seed in an options object; drawn from the generator of `manualSeed` if there is none. */
export function checkSeed(op: string, seed: unknown): number {
  if (seed === undefined) return Math.floor(uniforms(1, nextKey())[0]! * 2 ** 53);
  return checkNumber(op, 'seed', seed, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true });
}
