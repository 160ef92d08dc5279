// Samplers: what their orders promise, for any data, seed and epoch; and that a run that learns from reports goes on
// exactly.
import { expect } from 'chai';
import fc from 'fast-check';
import * as tg from 'tapegrad';
import { data } from 'tapegrad';

const { DataLoader, classBalanced, largestErrorFirst, random, sequential, weighted } = data;
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const sorted = (order: Iterable<number>): number[] => [...order].sort((a, b) => a - b);
const seedAndEpoch = [fc.nat(), fc.nat({ max: 1000 })] as const;
const labelled = fc.array(fc.integer({ min: -2, max: 4 }), { minLength: 1, maxLength: 80 });
const any = (v: unknown): never => v as never;

/** How often each value occurs. */
function tally(values: Iterable<number>): Map<number, number> {
  const counts = new Map<number, number>();
  for (const v of values) counts.set(v, (counts.get(v) ?? 0) + 1);
  return counts;
}
const span = (counts: Iterable<number>): number => Math.max(...counts) - Math.min(...counts);

describe('samplers', () => {
  it('sequential and random are permutations; random ones are spread evenly', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), ...seedAndEpoch, (n, seed, epoch) => {
        expect([...sequential().order(n, seed, epoch)]).to.deep.equal(upTo(n));
        expect(sorted(random().order(n, seed, epoch))).to.deep.equal(upTo(n));
      }),
    );
    // Each of the 6 orders of 3 in 6,000 epochs: 1,000 ± 5 standard deviations.
    const orders = upTo(6000).map((epoch) => Number([...random().order(3, 1, epoch)].join('')));
    const counts = tally(orders);
    expect(counts.size).to.equal(6);
    for (const count of counts.values()) expect(count).to.be.within(855, 1145);
  });

  it('classBalanced: classes equally often, their members too, neighbours of different classes', () => {
    fc.assert(
      fc.property(
        labelled,
        fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined }),
        ...seedAndEpoch,
        (labels, samples, seed, epoch) => {
          const sampler = classBalanced(labels, samples === undefined ? {} : { samples });
          const order = [...sampler.order(labels.length, seed, epoch)];
          expect(order).to.have.lengthOf(samples ?? labels.length);
          expect(sampler.count(labels.length)).to.equal(order.length);
          const shown = order.map((i) => labels[i]!);
          const classes = new Set(labels);
          const counts = tally(shown);
          expect(span([...classes].map((c) => counts.get(c) ?? 0))).to.be.at.most(1);
          const times = tally(order);
          for (const c of classes) {
            const members = upTo(labels.length).filter((i) => labels[i] === c);
            expect(span(members.map((i) => times.get(i) ?? 0))).to.be.at.most(1);
          }
          if (classes.size > 1)
            shown.slice(1).forEach((label, i) => {
              expect(label).to.not.equal(shown[i]);
            });
          expect([...sampler.order(labels.length, seed, epoch)]).to.deep.equal(order);
        },
      ),
    );
    const sampler = classBalanced([0, 0, 0, 0, 1, 1]);
    expect(new Set(upTo(20).map((e) => String(sampler.order(6, 1, e)))).size).to.be.above(5);
  });

  it('weighted with replacement: in proportion, never of weight 0', () => {
    const weights = [1, 0, 3, 6];
    const order = weighted(weights, { samples: 100_000 }).order(4, 3, 0);
    const counts = tally(order);
    // Within five standard deviations of a binomial count.
    weights.forEach((w, i) => {
      const p = w / 10;
      expect(counts.get(i) ?? 0).to.be.closeTo(1e5 * p, 5 * Math.sqrt(1e5 * p * (1 - p)));
    });
    const huge = weighted(Float64Array.of(1e308, 1e308), { samples: 1000 }).order(2, 3, 0);
    expect(tally(huge).get(0)).to.be.within(400, 600);
  });

  it('weighted without replacement: different ones; the first in proportion', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1 }),
        ...seedAndEpoch,
        (weights, seed, epoch) => {
          const positive = upTo(weights.length).filter((i) => weights[i]! > 0);
          fc.pre(positive.length > 0);
          const sampler = weighted(weights, { samples: positive.length, replacement: false });
          expect(sorted(sampler.order(weights.length, seed, epoch))).to.deep.equal(positive);
        },
      ),
    );
    const sampler = weighted([1, 3, 6], { samples: 2, replacement: false });
    const orders = upTo(10_000).map((epoch) => sampler.order(3, 1, epoch));
    const first = tally(orders.map((o) => o[0]!));
    [0.1, 0.3, 0.6].forEach((p, i) => {
      expect(first.get(i)).to.be.closeTo(1e4 * p, 5 * Math.sqrt(1e4 * p * (1 - p)));
    });
    // Then 0 follows 2 with probability 1 / (1 + 3).
    const after = orders.filter((o) => o[0] === 2);
    const zero = after.filter((o) => o[1] === 0).length;
    expect(zero).to.be.closeTo(after.length / 4, 5 * Math.sqrt((after.length * 3) / 16));
  });

  it('largestErrorFirst: unknown ones first, then by error; a permutation for any reports', () => {
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.integer({ min: -3, max: 3 })), { minLength: 1, maxLength: 60 }),
        ...seedAndEpoch,
        (errors, seed, epoch) => {
          const n = errors.length;
          const loader = new DataLoader(tg.arange(n), { sampler: largestErrorFirst(), seed });
          const known = upTo(n).filter((i) => errors[i] !== null);
          if (known.length > 0)
            loader.report(
              known,
              known.map((i) => errors[i]!),
            );
          const order = [...loader.order(epoch)];
          expect(sorted(order)).to.deep.equal(upTo(n));
          const shown = order.map((i) => errors[i] ?? Infinity);
          expect(shown).to.deep.equal([...shown].sort((a, b) => (a > b ? -1 : a < b ? 1 : 0)));
        },
      ),
    );
  });

  it('largestErrorFirst: reports count from the next epoch on, and a resumed run goes on exactly', () => {
    const y = tg.arange(12);
    const make = () =>
      new DataLoader({ y }, { sampler: largestErrorFirst({ samples: 8 }), batchSize: 3, seed: 2 });
    const errorOf = (i: number, epoch: number): number => ((i * 7 + epoch * 5) % 12) / 12;
    /** Goes to the end of the epoch; returns what each batch held. */
    const run = (loader: ReturnType<typeof make>, states: data.LoaderState[]): number[][] => {
      const seen: number[][] = [];
      for (const batch of loader) {
        const indices = loader.indices!;
        expect([...batch.y.dataSync()]).to.deep.equal([...indices]);
        seen.push([...indices]);
        const { epoch } = loader.state();
        loader.report(
          indices,
          Float32Array.from(indices, (i) => errorOf(i, epoch)),
        );
        states.push(JSON.parse(JSON.stringify(loader.state())) as data.LoaderState);
      }
      return seen;
    };
    const whole = make();
    const order = whole.order(0);
    const states: data.LoaderState[] = [];
    const epochs = upTo(4).map(() => run(whole, states));
    expect(epochs[0]!.flat()).to.deep.equal([...order]); // though errors were reported meanwhile
    expect(
      epochs[1]!
        .flat()
        .slice(0, 4)
        .every((i) => !order.includes(i)),
      'unseen first',
    ).to.equal(true);
    for (const [k, state] of states.entries()) {
      const resumed = make();
      resumed.load(state);
      const rest: number[][] = [];
      while (resumed.state().epoch < 4) rest.push(...run(resumed, []));
      expect(rest).to.deep.equal(epochs.flat().slice(k + 1));
    }
  });

  const MISTAKES: readonly (readonly [() => unknown, string])[] = [
    [
      () => classBalanced(any('abc')),
      'classBalanced: labels must be a Tensor, a typed array or an array of numbers, got the string "abc"',
    ],
    [() => classBalanced([]), 'classBalanced: labels is empty'],
    [
      () => classBalanced([0, NaN]),
      'classBalanced: labels[1] must be a finite number, got the number NaN',
    ],
    [
      () => classBalanced([0, 1], { samples: 0 }),
      'classBalanced: samples must be an integer ≥ 1 and ≤ 2147483647, got the number 0',
    ],
    [
      () => new DataLoader(tg.ones([3]), { sampler: classBalanced([0, 1]) }),
      'classBalanced: there are 2 labels for 3 examples',
    ],
    [
      () => weighted([1, -1]),
      'weighted: weights[1] must be a finite number ≥ 0, got the number -1',
    ],
    [() => weighted([0, 0]), 'weighted: no weight is positive'],
    [
      () => weighted([1, 0, 1], { replacement: false }),
      'weighted: 3 samples without replacement need as many positive weights, there are 2',
    ],
    [() => weighted(tg.ones([2, 2])), 'weighted: weights must be 1-d, got shape [2, 2]'],
    [
      () => errorsOn(3).report([0, 1], [1]),
      'DataLoader.report: errors must have one entry per example, 2, got 1',
    ],
    [
      () => errorsOn(3).report([0, 3], [1, 2]),
      'DataLoader.report: indices[1] must be an integer ≥ 0 and ≤ 2, got the number 3',
    ],
    [
      () => errorsOn(3).report([0, 1], [1, NaN]),
      'DataLoader.report: errors[1] must be a finite number, got the number NaN',
    ],
    [
      () => errorsOn(3).load({ epoch: 0, position: 0, sampler: [1] }),
      'largestErrorFirst: the state must be null or an array of 3 errors, got an array',
    ],
  ];
  const errorsOn = (n: number) => new DataLoader(tg.ones([n]), { sampler: largestErrorFirst() });
  for (const [mistake, message] of MISTAKES)
    it(message.slice(0, 90), () => {
      let error: unknown;
      try {
        mistake();
      } catch (e) {
        error = e;
      }
      expect((error as Error | undefined)?.message).to.equal(message);
    });
  it('one largestErrorFirst for two datasets', () => {
    const sampler = largestErrorFirst();
    new DataLoader(tg.ones([3]), { sampler }).report([0], [1]);
    expect(() => new DataLoader(tg.ones([4]), { sampler }).order(0)).to.throw(
      RangeError,
      'make one for each loader',
    );
  });
});
