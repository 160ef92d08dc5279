// Splits, scaling, whitening, one-hot rows and augmentation: scikit-learn's numbers (test/golden/data.json, by
// scripts/golden-sklearn.py), definitions written out in another way, and what is refused.
import { expect } from 'chai';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import * as tg from 'tapegrad';
import { data, type Tensor } from 'tapegrad';
import { uniforms } from '#lib/random.js';
import { keyOf, type Purpose } from '#lib/data/keys.js';
import { sample } from './catalogue/harness.js';
import { collect } from './collect.js';

const read = (path: string): string =>
  readFileSync(new URL(`../../test/${path}`, import.meta.url), 'utf8');
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const any = (v: unknown): never => v as never;
const numbers = (t: Tensor | null): number[] => [...t!.dataSync()];
const rows = (t: Tensor | null): number[][] => t!.toArray() as number[][];

interface Golden {
  sizes: {
    n: number;
    testSize: number | null;
    trainSize: number | null;
    sizes: [number, number] | null;
  }[];
  strata: { counts: number[]; testSize: number; parts: [number[], number[]] }[];
  wine: Record<'mean' | 'deviation' | 'variances', number[]> &
    Record<'standardized' | 'components' | 'whitened' | 'restored', number[][]>;
}
const golden = JSON.parse(read('golden/data.json')) as Golden;

function allClose(got: number[][], wanted: number[][], tolerance: number): void {
  expect(got.length).to.equal(wanted.length);
  got.forEach((row, i) => {
    row.forEach((v, j) => {
      const w = wanted[i]![j]!;
      if (!(Math.abs(v - w) <= tolerance * Math.max(1, Math.abs(w))))
        expect.fail(`[${i}][${j}]: ${v}, expected ${w}`);
    });
  });
}

describe('trainTestSplit', () => {
  it('has the sizes of scikit-learn, and refuses what it refuses', () => {
    for (const { n, testSize, trainSize, sizes } of golden.sizes) {
      const options = {
        ...(testSize !== null && { testSize }),
        ...(trainSize !== null && { trainSize }),
      };
      const split = () => {
        const { trainIndices, testIndices } = data.trainTestSplit(tg.arange(n), options);
        return [trainIndices.length, testIndices.length];
      };
      const what = JSON.stringify({ n, ...options });
      if (sizes === null) expect(split, what).to.throw(RangeError, 'trainTestSplit: ');
      else expect(split(), what).to.deep.equal(sizes);
    }
  });

  it('has the strata of scikit-learn', () => {
    for (const { counts, testSize, parts } of golden.strata) {
      const y = counts.flatMap((count, c) => new Array<number>(count).fill(c));
      const { train, test } = data.trainTestSplit(Int32Array.from(y), {
        testSize,
        stratify: y,
        seed: 1,
      });
      const count = (t: Tensor) => counts.map((_, c) => numbers(t).filter((v) => v === c).length);
      expect([count(train), count(test)]).to.deep.equal(parts);
    }
  });

  it('takes every example once, stratified or not, whatever the sizes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 8, maxLength: 90 }),
        fc.double({ min: 0.1, max: 0.9, noNaN: true }),
        fc.nat(),
        fc.boolean(),
        (labels, testSize, seed, stratify) => {
          // Every class twice, and room for each in both parts.
          const y = [...labels, 0, 1, 2, 3, 0, 1, 2, 3, ...labels, ...labels, ...labels];
          const options = { testSize, seed, ...(stratify && { stratify: y }) };
          const part = data.trainTestSplit(
            { x: tg.arange(y.length), y: Int32Array.from(y) },
            options,
          );
          const all = [...part.trainIndices, ...part.testIndices];
          expect(all.sort((a, b) => a - b)).to.deep.equal(upTo(y.length));
          expect(part.testIndices.length).to.equal(Math.ceil(testSize * y.length));
          for (const [set, indices] of [
            [part.train, part.trainIndices],
            [part.test, part.testIndices],
          ] as const) {
            expect(numbers(set.x)).to.deep.equal([...indices]);
            expect(numbers(set.y)).to.deep.equal([...indices].map((i) => y[i]));
          }
          if (stratify)
            for (const c of [0, 1, 2, 3]) {
              const share = (y.filter((v) => v === c).length / y.length) * part.testIndices.length;
              const got = numbers(part.test.y).filter((v) => v === c).length;
              expect(Math.abs(got - share)).to.be.below(2); // rounded once for either part
            }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('the seed decides; without shuffle the order stays', () => {
    const split = (seed: number) => [...data.trainTestSplit(tg.arange(40), { seed }).testIndices];
    expect(split(3)).to.deep.equal(split(3));
    expect(split(3)).to.not.deep.equal(split(4));
    const [train, test] = ['train', 'test'].map((part) =>
      numbers(data.trainTestSplit(tg.arange(10), { shuffle: false })[part as 'train']),
    );
    expect([train, test]).to.deep.equal([upTo(7), [7, 8, 9]]);
    expect(tg.trainTestSplit).to.equal(data.trainTestSplit);
    // A loader with the same seed shuffles in another way than the split did.
    const order = new data.DataLoader(tg.arange(40), { shuffle: true, seed: 3 }).order(0);
    expect([...order.subarray(0, 10)]).to.not.deep.equal(split(3));
  });

  const x = tg.ones([10, 2]);
  const MISTAKES: readonly (readonly [() => unknown, string])[] = [
    [
      () => data.trainTestSplit(any(10)),
      'trainTestSplit: data must be a Tensor, a typed array or { data: typed array, shape }, or a tuple or record of them, got the number 10',
    ],
    [
      () => data.trainTestSplit({ x, y: tg.ones([9]) }),
      'trainTestSplit: data.x has 10 examples, but data.y has 9 (shapes [10, 2], [9])',
    ],
    [
      () => data.trainTestSplit(x, { testSize: 10 }),
      'trainTestSplit: testSize must be a share in (0, 1) or a number of examples below 10, got the number 10',
    ],
    [
      () => data.trainTestSplit(x, { testSize: 0 }),
      'trainTestSplit: testSize must be a finite number > 0, got the number 0',
    ],
    [
      () => data.trainTestSplit(x, { testSize: 0.8, trainSize: 0.5 }),
      'trainTestSplit: trainSize and testSize make 5 + 8 examples, but there are 10',
    ],
    [
      () => data.trainTestSplit(x, { testSize: 0.95 }),
      'trainTestSplit: of 10 examples 0 are left to train and 10 to test; both need one at least',
    ],
    [
      () => data.trainTestSplit(x, { stratify: [1, 2] }),
      'trainTestSplit: stratify must have one entry per example, 10, got 2',
    ],
    [
      () => data.trainTestSplit(x, { stratify: [5, 0, 0, 0, 0, 0, 0, 0, 0, 0] }),
      'trainTestSplit: class 5 has one member only; to stratify, each class needs two at least',
    ],
    [
      () => data.trainTestSplit(x, { testSize: 4, stratify: [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] }),
      'trainTestSplit: testSize gives 4 examples for 5 classes; to stratify, each class needs one',
    ],
    [
      () => data.trainTestSplit(x, { shuffle: false, stratify: upTo(10).map(() => 1) }),
      'trainTestSplit: stratify needs shuffle',
    ],
    [
      () => data.trainTestSplit(x, any({ test_size: 0.2 })),
      'trainTestSplit: unknown option "test_size"; known: testSize, trainSize, seed, shuffle, stratify',
    ],
    [
      () => data.oneHot([0, 3], 3),
      'oneHot: labels[1] must be an integer ≥ 0 and ≤ 2, got the number 3',
    ],
    [
      () => new data.Standardizer().transform(x),
      'Standardizer.transform: nothing was fitted yet; call fit(x) with the training set first',
    ],
    [
      () => new data.Standardizer().fit(tg.tensor([1, NaN])),
      'Standardizer.fit: x holds NaN or infinite numbers',
    ],
    [
      () => new data.Standardizer().fit(tg.arange(3)),
      "Standardizer.fit: x must be float32 or float64, got int32; x.to('float32') converts it",
    ],
    [
      () => new data.Pca().fit(tg.ones([3])),
      'Pca.fit: x must be [n, features] with n ≥ 2 and at most 1024 features, got [3]',
    ],
    [
      () => new data.Pca({ components: 3 }).fit(tg.randn([9, 2])),
      'Pca.fit: 3 components were asked for, 9 examples of 2 features have 2',
    ],
    [
      () => new data.Pca().fit(x),
      'Pca.fit: direction 2 of 2 has no variance to divide by; ask for fewer components, or give an epsilon',
    ],
    [
      () => new data.Pca().fit(tg.tensor([[1], [NaN]])),
      'Pca.fit: x holds NaN or infinite numbers, or its variance overflows',
    ],
    [
      () => data.randomFlip(x),
      'randomFlip: x must be images [n, height, width] or [n, channels, height, width], got [10, 2]',
    ],
    [
      () => data.randomFlip(tg.ones([1, 2, 2]), { probability: 2 }),
      'randomFlip: probability must be a finite number ≥ 0 and ≤ 1, got the number 2',
    ],
    [
      () => data.randomRotate(tg.ones([1, 2, 2]), any({})),
      'randomRotate: degrees must be a finite number ≥ 0 and ≤ 360, got undefined',
    ],
    [
      () => data.randomShift(tg.ones([1, 2, 2]), { pixels: any([1]) }),
      'randomShift: pixels must be a number or a pair [rows, columns], got an array',
    ],
    [
      () => data.randomErase(tg.ones([1, 2, 2]), { rows: 3 }),
      'randomErase: rows must be an integer ≥ 0 and ≤ 2, got the number 3',
    ],
    [
      () => data.randomNoise(tg.ones([2]), { deviation: -1 }),
      'randomNoise: deviation must be a finite number ≥ 0, got the number -1',
    ],
    [
      () => data.randomElastic(tg.ones([1, 2, 2]), { alpha: 1, sigma: 0 }),
      'randomElastic: sigma must be a finite number > 0 and ≤ 1024, got the number 0',
    ],
  ];
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
});

describe('scaling', () => {
  const wine = read('data/wine.csv')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(',').slice(0, -1).map(Number));
  const pick = (parity: number): Tensor =>
    tg.tensor(
      wine.filter((_, i) => i % 2 === parity),
      { dtype: 'float64' },
    );
  const fit = pick(0);
  const rest = pick(1);

  it('Standardizer is scikit-learn’s StandardScaler on wine, and takes itself back', () => {
    const scaler = new data.Standardizer().fit(fit);
    allClose([numbers(scaler.mean)], [golden.wine.mean], 1e-12);
    allClose([numbers(scaler.deviation)], [golden.wine.deviation], 1e-12);
    const z = scaler.transform(rest);
    allClose(rows(z).slice(0, 6), golden.wine.standardized, 1e-12);
    allClose(rows(scaler.inverse(z)), rows(rest), 1e-12);
    const copy = new data.Standardizer();
    copy.loadStateDict(scaler.stateDict());
    scaler.dispose();
    expect(numbers(copy.transform(rest))).to.deep.equal(numbers(z));
  });

  it('Standardizer: other axes, constants, float32, switches', () => {
    const images = tg.tensor(sample(1, 120, [-3, 9], 'float32')).reshape([5, 4, 6]);
    const all = new data.Standardizer({ axis: null });
    const z = numbers(all.fit(images).transform(images));
    const mean = z.reduce((a, b) => a + b, 0) / 120;
    expect(mean).to.be.closeTo(0, 1e-6);
    expect(z.reduce((s, v) => s + v * v, 0) / 120).to.be.closeTo(1, 1e-5);
    expect(all.mean!.shape).to.deep.equal([1, 1, 1]);
    // 0.1 summed up a thousand times is not 100 exactly: rounding is no deviation.
    const constant = tg.full([1000, 1], 0.1, { dtype: 'float64' });
    const scaler = new data.Standardizer().fit(constant);
    expect(numbers(scaler.deviation)).to.deep.equal([1]);
    for (const v of numbers(scaler.transform(constant))) expect(Math.abs(v)).to.be.below(1e-14);
    const pair = tg.tensor([[1], [3]]);
    expect(
      numbers(new data.Standardizer({ center: false }).fit(pair).transform(pair)),
    ).to.deep.equal([1, 3]);
    expect(
      numbers(new data.Standardizer({ scale: false }).fit(pair).transform(pair)),
    ).to.deep.equal([-1, 1]);
  });

  it('Pca is scikit-learn’s with whitening on wine', () => {
    const pca = new data.Pca({ components: 5 }).fit(fit);
    allClose([numbers(pca.variances)], [golden.wine.variances], 1e-10);
    allClose(rows(pca.components), golden.wine.components, 1e-8);
    const z = pca.transform(rest);
    allClose(rows(z).slice(0, 6), golden.wine.whitened, 1e-8);
    allClose(rows(pca.inverse(z)).slice(0, 6), golden.wine.restored, 1e-9);
  });

  it('whitened data has the identity as covariance, decorrelated data a diagonal one', () => {
    const x = tg.tensor(sample(3, 400, [-1, 1], 'float64'), { dtype: 'float64' }).reshape([100, 4]);
    const mixed = x.matmul(
      tg.tensor(
        [
          [1, 2, 0, 1],
          [0, 1, 3, 0],
          [0, 0, 1, 1],
          [2, 0, 0, 1],
        ],
        { dtype: 'float64' },
      ),
    );
    for (const whiten of [true, false]) {
      const pca = new data.Pca({ whiten }).fit(mixed);
      const z = pca.transform(mixed);
      const covariance = rows(z.T.matmul(z).div(99));
      const variances = numbers(pca.variances);
      const wanted = variances.map((v, i) =>
        variances.map((_, j) => (i !== j ? 0 : whiten ? 1 : v)),
      );
      allClose(covariance, wanted, 1e-9);
      allClose(rows(pca.inverse(z)), rows(mixed), 1e-9);
    }
  });

  it('epsilon tames what has no variance; all outlive a tidy and leave nothing else', () => {
    const flat = tg.tensor([
      [1, 0],
      [2, 0],
      [3, 0],
    ]);
    collect();
    const before = tg.memory().tensors;
    const pca = tg.tidy(() => new data.Pca({ epsilon: 0.01 }).fit(flat));
    const scaler = tg.tidy(() => new data.Standardizer().fit(flat));
    const z = pca.transform(flat);
    expect(numbers(z)[4]).to.be.closeTo(1 / Math.sqrt(1.01), 1e-6);
    expect(numbers(z)[5]).to.equal(0);
    z.dispose();
    scaler.transform(flat).dispose();
    pca.dispose();
    scaler.dispose();
    expect(tg.memory().tensors).to.equal(before);
  });

  it('oneHot', () => {
    const hot = data.oneHot([2, 0, 1]);
    expect([hot.dtype, hot.toArray()]).to.deep.equal([
      'float32',
      [
        [0, 0, 1],
        [1, 0, 0],
        [0, 1, 0],
      ],
    ]);
    expect(data.oneHot(tg.tensor(Int32Array.of(1)), 4).toArray()).to.deep.equal([[0, 1, 0, 0]]);
  });
});

describe('augmentation', () => {
  const [n, channels, height, width] = [3, 2, 6, 5];
  const size = height * width;
  const values = sample(5, n * channels * size, [-1, 1], 'float64');
  const x = tg.tensor(values, { dtype: 'float64' }).reshape([n, channels, height, width]);
  const pixel = (i: number, c: number, r: number, q: number, fill: number): number =>
    r >= 0 && r < height && q >= 0 && q < width
      ? values[(i * channels + c) * size + r * width + q]!
      : fill;
  const each = (of: (i: number, c: number, r: number, q: number) => number): number[] =>
    upTo(n * channels * size).map((p) => {
      const plane = Math.floor(p / size);
      return of(
        Math.floor(plane / channels),
        plane % channels,
        Math.floor((p % size) / width),
        p % width,
      );
    });
  const draws = (purpose: Purpose, count: number, seed: number): Float64Array =>
    uniforms(count, keyOf(purpose, seed));
  const near = (got: Tensor, wanted: number[]): void => {
    expect(got.shape).to.deep.equal(x.shape);
    allClose([numbers(got)], [wanted], 1e-12);
  };
  /** Bilinear interpolation, by the two rows first. */
  const between = (i: number, c: number, y: number, q: number, fill: number): number => {
    const [r0, q0] = [Math.floor(y), Math.floor(q)];
    const along = (r: number): number =>
      pixel(i, c, r, q0, fill) * (q0 + 1 - q) + pixel(i, c, r, q0 + 1, fill) * (q - q0);
    return along(r0) * (r0 + 1 - y) + along(r0 + 1) * (y - r0);
  };

  it('flip, with its probability', () => {
    near(
      data.randomFlip(x, { probability: 1 }),
      each((i, c, r, q) => pixel(i, c, r, width - 1 - q, 0)),
    );
    near(
      data.randomFlip(x, { probability: 1, vertical: true }),
      each((i, c, r, q) => pixel(i, c, height - 1 - r, q, 0)),
    );
    near(data.randomFlip(x, { probability: 0 }), values);
    const many = data.randomFlip(tg.tensor([[0, 1]]).broadcastTo([4000, 1, 2]), {
      seed: 1,
      probability: 0.3,
    });
    const flipped = numbers(many).filter((v, k) => k % 2 === 0 && v === 1).length;
    expect(flipped).to.be.closeTo(1200, 5 * Math.sqrt(4000 * 0.21));
  });

  it('shift by whole pixels, filled from outside', () => {
    const u = draws('shift', 2 * n, 7);
    const step = (v: number, most: number): number => Math.floor(v * (2 * most + 1)) - most;
    const moved = data.randomShift(x, { pixels: [2, 1], seed: 7, fill: 9 });
    near(
      moved,
      each((i, c, r, q) => pixel(i, c, r - step(u[2 * i]!, 2), q - step(u[2 * i + 1]!, 1), 9)),
    );
    const steps = new Set<string>();
    const dot = tg
      .zeros([1, 5, 5])
      .copyFrom(tg.tensor(upTo(25).map((v) => Number(v === 12))).reshape([1, 5, 5]));
    for (let seed = 0; seed < 300; ++seed)
      steps.add(String(numbers(data.randomShift(dot, { pixels: 1, seed })).indexOf(1)));
    expect(steps.size).to.equal(9);
    near(data.randomShift(x, { pixels: 0 }), values);
  });

  it('rotate about the centre, counterclockwise where the angle is positive', () => {
    const u = draws('rotate', n, 4);
    const rotated = data.randomRotate(x, { degrees: 30, seed: 4, fill: 2 });
    const wanted = each((i, c, r, q) => {
      const angle = ((2 * u[i]! - 1) * 30 * Math.PI) / 180;
      // Polar coordinates with the axis of rows turned up.
      const [up, right] = [(height - 1) / 2 - r, q - (width - 1) / 2];
      const from = Math.atan2(up, right) - angle;
      const radius = Math.hypot(up, right);
      return between(
        i,
        c,
        (height - 1) / 2 - radius * Math.sin(from),
        (width - 1) / 2 + radius * Math.cos(from),
        2,
      );
    });
    near(rotated, wanted);
    near(data.randomRotate(x, { degrees: 0 }), values);
  });

  it('erase rows and columns, in all channels', () => {
    const erased = data.randomErase(x, { rows: 2, columns: 1, seed: 3, fill: 7 });
    const got = numbers(erased);
    for (let i = 0; i < n; ++i) {
      const at = (c: number, r: number, q: number): number =>
        got[(i * channels + c) * size + r * width + q]!;
      const gone = (c: number) => ({
        rows: upTo(height).filter((r) => upTo(width).every((q) => at(c, r, q) === 7)),
        columns: upTo(width).filter((q) => upTo(height).every((r) => at(c, r, q) === 7)),
      });
      expect([gone(0).rows.length, gone(0).columns.length]).to.deep.equal([2, 1]);
      expect(gone(1)).to.deep.equal(gone(0));
    }
    const kept = got.filter((v, p) => v === values[p]).length;
    expect(kept).to.equal(n * channels * (height - 2) * (width - 1));
    near(data.randomErase(x, {}), values);
    // Rows and columns are drawn independently: every cross occurs.
    const crosses = upTo(300).map((seed) => {
      const grid = numbers(data.randomErase(tg.ones([1, 4, 4]), { rows: 1, columns: 1, seed }));
      return grid.join('');
    });
    expect(new Set(crosses).size).to.equal(16);
  });

  it('noise is normal', () => {
    const z = data.randomNoise(tg.full([20_000], 5, { dtype: 'float64' }), {
      deviation: 2,
      seed: 1,
    });
    expect(z.mean().item()).to.be.closeTo(5, 5 * (2 / Math.sqrt(20_000)));
    expect(z.variance().item()).to.be.closeTo(4, 5 * 4 * Math.sqrt(2 / 20_000));
  });

  it('elastic: a smoothed field, written out as a two-dimensional sum', () => {
    const [alpha, sigma, seed] = [3, 0.8, 6];
    const u = draws('elastic', 2 * n * size, seed);
    const reach = Math.ceil(3 * sigma);
    const gauss = (d: number): number =>
      Math.abs(d) > reach ? 0 : Math.exp(-(d * d) / (2 * sigma * sigma));
    let whole = 0;
    for (let d = -reach; d <= reach; ++d) whole += gauss(d);
    const field = (k: number, r: number, q: number): number => {
      let sum = 0;
      for (let a = 0; a < height; ++a)
        for (let b = 0; b < width; ++b)
          sum += gauss(a - r) * gauss(b - q) * (2 * u[k * size + a * width + b]! - 1);
      return (alpha * sum) / whole ** 2;
    };
    near(
      data.randomElastic(x, { alpha, sigma, seed }),
      each((i, c, r, q) => between(i, c, r + field(2 * i, r, q), q + field(2 * i + 1, r, q), 0)),
    );
    near(data.randomElastic(x, { alpha: 0, sigma }), values);
  });

  it('the same for a seed; from manualSeed without one; dtype, shape and the graph stay', () => {
    const gray = tg.tensor(sample(9, 64, [0, 1], 'float32')).reshape([4, 4, 4]);
    gray.requiresGrad = true;
    const all: Record<string, (seed?: number) => Tensor> = {
      flip: (seed) => data.randomFlip(gray, { seed }),
      rotate: (seed) => data.randomRotate(gray, { degrees: 90, seed }),
      shift: (seed) => data.randomShift(gray, { pixels: 2, seed }),
      erase: (seed) => data.randomErase(gray, { rows: 1, seed }),
      noise: (seed) => data.randomNoise(gray, { deviation: 1, seed }),
      elastic: (seed) => data.randomElastic(gray, { alpha: 5, sigma: 1, seed }),
    };
    for (const [name, change] of Object.entries(all)) {
      const first = change(1);
      expect([first.dtype, first.shape, first.requiresGrad], name).to.deep.equal([
        'float32',
        [4, 4, 4],
        false,
      ]);
      expect(numbers(change(1)), name).to.deep.equal(numbers(first));
      expect(
        upTo(8).some((s) => String(numbers(change(s))) !== String(numbers(first))),
        name,
      ).to.equal(true);
      tg.manualSeed(8);
      const some = numbers(change());
      const next = upTo(8).map(() => String(numbers(change())));
      expect(new Set([String(some), ...next]).size, name).to.be.above(1);
      tg.manualSeed(8);
      expect(numbers(change()), name).to.deep.equal(some);
    }
  });
});
