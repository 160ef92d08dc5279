// What the tests of compiled functions share: one function run eagerly and compiled, and everything that it
// leaves compared bit by bit, or on CUDA, where gradients of biases may be summed in another order, within what a
// test allows. No test cases here.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';
import { tensorsIn } from '#lib/tree.js';
import { valueBits } from '../catalogue/harness.js';

type Fn = (...args: never[]) => unknown;

/** A function with everything it uses, freshly made. */
export interface World {
  readonly fn: Fn;
  /** The arguments of call number k; made anew for each way of running. */
  readonly args: (k: number) => readonly unknown[];
  /** Tensors that calls change: parameters, running statistics, optimizers' arrays. */
  readonly state?: () => readonly Tensor[];
  /** Other things that calls change, such as counts. */
  readonly counts?: () => unknown;
}

/** What a tensor holds. */
export interface Values {
  readonly bits: Buffer;
  readonly numbers: readonly number[];
}
export const valuesOf = (t: Tensor): Values => ({
  bits: valueBits(t),
  numbers: Array.from(t.dataSync(), Number),
});

/** What one way of running left behind. */
export interface Trail {
  readonly results: Values[][];
  readonly shapes: string[];
  readonly state: Values[];
  readonly counts: unknown;
  readonly random: unknown;
}

export const WAYS = ['eager', 'runSync', 'await', 'mixed'] as const;
export type Way = (typeof WAYS)[number];

const SEED = 20_26;

/** Builds a world from the same seed and runs it `calls` times. */
export async function trailOf(build: () => World, way: Way, calls: number): Promise<Trail> {
  tg.manualSeed(SEED);
  const { fn, args, state, counts } = build();
  const step = tg.compile(fn);
  const results: Values[][] = [];
  const shapes: string[] = [];
  for (let k = 0; k < calls; ++k) {
    const given = args(k) as never[];
    const eager = way === 'eager' || (way === 'mixed' && k % 2 === 0);
    const value = eager
      ? fn(...given)
      : way === 'await'
        ? await step(...given)
        : step.runSync(...given);
    const out = tensorsIn(value);
    results.push(out.map(valuesOf));
    shapes.push(out.map((t) => `${t.dtype}[${t.shape.join()}]`).join(' '));
  }
  const trail = {
    results,
    shapes,
    state: (state?.() ?? []).map(valuesOf),
    counts: counts?.(),
    random: tg.randomState(),
  };
  step.dispose();
  return trail;
}

/** Expects that every way of running leaves the same bits, or on CUDA numbers that differ by at most `within`. */
export async function expectSame(
  build: () => World,
  {
    calls = 3,
    ways = WAYS,
    what = 'the function',
    within = 0,
  }: { calls?: number; ways?: readonly Way[]; what?: string; within?: number } = {},
): Promise<void> {
  const wanted = await trailOf(build, 'eager', calls);
  for (const way of ways)
    if (way !== 'eager')
      expectTrail(await trailOf(build, way, calls), wanted, `${what}, ${way}`, within);
}

/** Expects that one trail is the other, as expectSame does. */
export function expectTrail(got: Trail, wanted: Trail, what: string, within = 0): void {
  expect(got.shapes, `${what}: shapes`).to.deep.equal(wanted.shapes);
  wanted.results.forEach((list, k) => {
    list.forEach((a, i) =>
      expectValues(got.results[k]![i]!, a, `${what}: result ${i} of call ${k}`, within),
    );
  });
  wanted.state.forEach((a, i) => expectValues(got.state[i]!, a, `${what}: state ${i}`, within));
  expect(got.counts, `${what}: counts`).to.deep.equal(wanted.counts);
  expect(got.random, `${what}: random state`).to.deep.equal(wanted.random);
}

function expectValues(got: Values, wanted: Values, what: string, within: number): void {
  if (wanted.bits.equals(got.bits)) return;
  if (tg.getDefaultDevice() === 'cpu' || within === 0)
    expect.fail(`${what} has other bits: ${difference(wanted.bits, got.bits)}`);
  wanted.numbers.forEach((a, i) => {
    const b = got.numbers[i]!;
    if (!(Math.abs(a - b) <= within * Math.max(1, Math.abs(a))) && !Object.is(a, b))
      expect.fail(`${what}: number ${i} of ${wanted.numbers.length} is ${b} instead of ${a}`);
  });
}

const difference = (a: Buffer, b: Buffer): string => {
  const at = a.findIndex((v, i) => v !== b[i]);
  return `from byte ${at} of ${a.length}: ${a.subarray(at & ~7, (at & ~7) + 8).toString('hex')} became ${b.subarray(at & ~7, (at & ~7) + 8).toString('hex')}`;
};

/** A batch that is a function of its number. */
export function batch(
  k: number,
  shape: readonly number[],
  dtype: 'float32' | 'float64' | 'bfloat16' = 'float32',
): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const data = Float64Array.from({ length: n }, (_, i) =>
    Math.sin(12.9898 * (i + 1) + 78.233 * (k + 1)),
  );
  return tg.tensor(data, { shape, dtype });
}
/** Class numbers that are a function of the batch's. */
export const labels = (k: number, n: number, classes: number): Tensor =>
  tg.tensor(Int32Array.from({ length: n }, (_, i) => (7 * i + 3 * k) % classes));

/** Parameters and an optimizer's arrays and counts, in an order that is always the same. */
export const stateOf = (
  parameters: readonly Tensor[],
  ...optimizers: readonly tg.optim.Optimizer[]
): Tensor[] => [...parameters, ...optimizers.flatMap((o) => Object.values(o.stateDict().tensors))];
