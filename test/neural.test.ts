// What the catalogue cannot say of the neural-network ops: those made of several ops, running statistics,
// modules, the same bits for every number of threads, and a small convolutional network that learns.
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import * as tg from 'tapegrad';
import { nn, type Tensor } from 'tapegrad';
import { checkComposed, checkJacobian, checkSecond, type Subject } from './catalogue/gradients.js';
import { bits, expectClose, make, sample, traced, type NDArray } from './catalogue/harness.js';
import { collect } from './collect.js';

let seed = 500;
const input = (...shape: number[]): NDArray => ({
  shape,
  data: sample(
    ++seed,
    shape.reduce((a, b) => a * b, 1),
    [-2, 2],
    'float64',
  ),
});
const tensor = (a: NDArray, requiresGrad = false): Tensor =>
  make(a.data, a.shape, 'float64', requiresGrad);
const numbers = (t: Tensor): number[] => [...t.dataSync()];
const mean = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
const derivatives = (what: string, f: Subject, ...inputs: NDArray[]): void => {
  checkJacobian(f, inputs, what);
  checkComposed(f, inputs, what);
  checkSecond(f, inputs, what);
};

describe('neural functions', function () {
  this.timeout(600_000);

  describe('batchNorm', () => {
    it('has all derivatives in training', () => {
      for (const shape of [
        [5, 3],
        [2, 3, 2, 2],
        [4, 1, 1, 1],
      ])
        derivatives(
          `batchNorm of [${shape.join(', ')}]`,
          ([x, w, b]) => tg.batchNorm(x!, w!, b!, { training: true, eps: 0.01 }),
          input(...shape),
          input(shape[1]!),
          input(shape[1]!),
        );
    });
    it('has all derivatives in evaluation', () => {
      const [runningMean, runningVar] = [tensor(input(3)), tensor(input(3)).square().add(0.5)];
      for (const shape of [
        [4, 3],
        [2, 3, 2, 2],
      ])
        derivatives(
          `batchNorm of [${shape.join(', ')}]`,
          ([x, w, b]) => tg.batchNorm(x!, w!, b!, { training: false, runningMean, runningVar }),
          input(...shape),
          input(3),
          input(3),
        );
    });
    it('gives single gradients, too', () => {
      const [x, w, b] = [input(4, 3), input(3), input(3)];
      for (const training of [true, false])
        for (let i = 0; i < 3; ++i) {
          const all = [x, w, b].map((a) => tensor(a, true));
          const one = [x, w, b].map((a, k) => tensor(a, k === i));
          const running = {
            runningMean: tg.zeros([3], { dtype: 'float64' }),
            runningVar: tg.ones([3], { dtype: 'float64' }),
          };
          const f = (t: Tensor[]): Tensor =>
            tg.batchNorm(t[0]!, t[1]!, t[2]!, training ? { training } : { training, ...running });
          const gradient = tensor(input(4, 3));
          const [g] = tg.gradients(f(one), [one[i]!], { gradient });
          const wanted = tg.gradients(f(all), all, { gradient })[i]!;
          expectClose(g!, { shape: wanted.shape, data: numbers(wanted) }, 1e-13, 1e-14);
        }
    });
    it('moves the running statistics, with the unbiased variance', () => {
      const x = input(6, 2, 3, 1);
      const [runningMean, runningVar] = [
        make([1, 2], [2], 'float64'),
        make([3, 4], [2], 'float64'),
      ];
      const one = make([1, 1], [2], 'float64');
      tg.batchNorm(tensor(x), one, one, {
        training: true,
        momentum: 0.25,
        runningMean,
        runningVar,
      });
      [0, 1].forEach((c) => {
        const v = x.data.filter((_, i) => Math.floor(i / 3) % 2 === c);
        const m = mean(v);
        const variance = v.reduce((a, b) => a + (b - m) ** 2, 0) / (v.length - 1);
        expect(numbers(runningMean)[c]).to.be.closeTo(0.75 * (1 + c) + 0.25 * m, 1e-14);
        expect(numbers(runningVar)[c]).to.be.closeTo(0.75 * (3 + c) + 0.25 * variance, 1e-14);
      });
    });
    it('keeps its precision where the mean is large', () => {
      const n = 4096;
      const data = sample(9, n, [-1, 1], 'float64').map((v) => Math.fround(1000 + v));
      const x = make(data, [n, 1], 'float32');
      const y = tg.batchNorm(x, tg.ones([1]), tg.zeros([1]), { training: true });
      const m = mean(data);
      const s = Math.sqrt(mean(data.map((v) => (v - m) ** 2)) + 1e-5);
      numbers(y).forEach((v, i) => expect(v).to.be.closeTo((data[i]! - m) / s, 1e-4));
    });
    it('refuses what does not fit, before anything is written', () => {
      const [w, b] = [tg.ones([3]), tg.zeros([3])];
      const running = { runningMean: tg.zeros([3]), runningVar: tg.ones([3]) };
      const wrong: [() => unknown, RegExp][] = [
        [
          () => tg.batchNorm(tg.ones([1, 3]), w, b, { training: true, ...running }),
          /batchNorm: .*more than one value.*\[1, 3\]/,
        ],
        [() => tg.batchNorm(tg.ones([4, 2]), w, b, running), /batchNorm: weight .*2 channels/],
        [() => tg.batchNorm(tg.ones([4, 3]), w, tg.ones([2]), running), /batchNorm: bias/],
        [() => tg.batchNorm(tg.ones([3]), w, b), /batchNorm: x .*\[3\]/],
        [() => tg.batchNorm(tg.ones([4, 3]), w, b, { training: false }), /running.* missing/],
        [() => tg.batchNorm(tg.ones([4, 3]), w, b, { runningMean: w }), /together/],
        [
          () => tg.batchNorm(tg.ones([4, 3]), w, b, { ...running, runningVar: tg.ones([4]) }),
          /runningVar/,
        ],
        [() => tg.batchNorm(tg.ones([4, 3]), w, b, { eps: -1 }), /eps/],
        [() => tg.batchNorm(tg.ones([4, 3]), w, b, { momentum: NaN }), /momentum/],
      ];
      for (const [f, message] of wrong) expect(f).to.throw(message);
      expect(numbers(running.runningMean)).to.deep.equal([0, 0, 0]);
    });
  });

  describe('embedding', () => {
    it('has all derivatives, and adds where an index comes twice', () => {
      const index = tg.tensor(Int32Array.of(3, 0, 3, 1), { shape: [2, 2] });
      derivatives('embedding', ([w]) => tg.embedding(w!, index), input(4, 3));
      const w = tensor(input(4, 3), true);
      tg.embedding(w, index).sum().backward();
      expect(numbers(w.grad!)).to.deep.equal([1, 1, 1, 1, 1, 1, 0, 0, 0, 2, 2, 2]);
    });
    it('takes indices of any shape', () => {
      const w = tensor(input(4, 3));
      for (const shape of [[], [0], [1, 2, 0], [2, 1, 3]]) {
        const index = tg.zeros(shape, { dtype: 'int32' });
        expect(tg.embedding(w, index).shape).to.deep.equal([...shape, 3]);
      }
    });
    it('refuses bad indices', () => {
      const w = tg.ones([4, 3]);
      const at = (...v: number[]): Tensor => tg.tensor(Int32Array.from(v));
      expect(() => tg.embedding(w, at(0, 4))).to.throw(RangeError, '4');
      expect(() => tg.embedding(w, at(-5))).to.throw(RangeError, '-5');
      expect(() => tg.embedding(w, tg.ones([2]))).to.throw(TypeError, 'int32');
      expect(() => tg.embedding(tg.ones([4]), at(0))).to.throw(RangeError, '[entries, width]');
    });
  });

  describe('dropout', () => {
    it('scales what it keeps, and keeps 1 - p', () => {
      tg.manualSeed(3);
      for (const p of [0.1, 0.5, 0.9]) {
        const y = numbers(tg.dropout(tg.ones([100, 1000]), { p }));
        const kept = y.filter((v) => v !== 0);
        for (const v of kept) if (v !== Math.fround(1 / (1 - p))) expect.fail(`kept ${v}`);
        // Five standard deviations of a binomial.
        expect(kept.length / y.length).to.be.closeTo(
          1 - p,
          5 * Math.sqrt((p * (1 - p)) / y.length),
        );
      }
    });
    it('is the same after the same seed, other masks follow, and dtypes and layouts agree', () => {
      const x = tg.rand([37, 53], { low: 1, high: 2 });
      const masks = (t: Tensor): string[] => {
        tg.manualSeed(11);
        return [0, 1].map(() =>
          numbers(tg.dropout(t))
            .map((v) => Number(v !== 0))
            .join(''),
        );
      };
      const [a, b] = masks(x);
      expect(a).to.not.equal(b);
      expect(masks(x)).to.deep.equal([a, b]);
      expect(masks(x.to('float64'))).to.deep.equal([a, b]);
      expect(masks(x.T.clone().T)).to.deep.equal([a, b]);
    });
    it('has all derivatives: the mask of the forward pass', () => {
      derivatives(
        'dropout',
        ([x]) => {
          tg.manualSeed(5);
          return tg.dropout(x!, { p: 0.4 });
        },
        input(4, 5),
      );
    });
    it('is nothing in evaluation or with p = 0, and all with p = 1', () => {
      const x = tg.ones([3]);
      expect(tg.dropout(x, { training: false })).to.equal(x);
      expect(tg.dropout(x, { p: 0 })).to.equal(x);
      expect(numbers(tg.dropout(x, { p: 1 }))).to.deep.equal([0, 0, 0]);
      for (const p of [-0.1, 1.1, NaN, '1' as never])
        expect(() => tg.dropout(x, { p })).to.throw(/dropout: p must be/);
    });
  });

  describe('maxout', () => {
    it('is the largest of linear pieces, with all derivatives', () => {
      const [x, w, b] = [input(3, 2), input(2, 4, 2), input(2, 4)];
      derivatives('maxout', ([p, q, r]) => tg.maxout(p!, q!, r!), x, w, b);
      const y = tg.maxout(tensor(x), tensor(w), tensor(b));
      expect(y.shape).to.deep.equal([3, 4]);
      numbers(y).forEach((v, i) => {
        const [r, o] = [Math.floor(i / 4), i % 4];
        const pieces = [0, 1].map(
          (k) =>
            x.data[2 * r]! * w.data[(k * 4 + o) * 2]! +
            x.data[2 * r + 1]! * w.data[(k * 4 + o) * 2 + 1]! +
            b.data[k * 4 + o]!,
        );
        expect(v).to.be.closeTo(Math.max(...pieces), 1e-14);
      });
    });
    it('refuses shapes that do not fit', () => {
      const [x, w, b] = [tg.ones([3, 2]), tg.ones([2, 4, 2]), tg.ones([2, 4])];
      expect(() => tg.maxout(x, tg.ones([4, 2]), b)).to.throw(RangeError, 'maxout: weight');
      expect(() => tg.maxout(x, w, tg.ones([4]))).to.throw(RangeError, 'maxout: bias');
      expect(() => tg.maxout(tg.ones([3]), w, b)).to.throw(RangeError, '[3] x [2, 4, 2]');
    });
  });

  it('the gradient of conv2d by x gathers where that pays, and scatters elsewhere', () => {
    const variants = (x: number[], w: number[], options: object): string[] => {
      const leaf = tg.randn(x, { requiresGrad: true });
      const y = tg.conv2d(leaf, tg.randn(w), tg.zeros([w[0]!]), options);
      return traced(() => tg.gradients(y.sum(), [leaf]))
        .kernels.filter(({ kernel }) => kernel === 'conv2dInput')
        .map(({ variant }) => variant);
    };
    const padded = { padding: 1 };
    tg.tidy(() => {
      expect(variants([40, 64, 5, 5], [3, 64, 3, 3], padded)).to.deep.equal(['columns']);
      expect(variants([40, 64, 5, 5], [3, 64, 3, 3], { stride: 2 })).to.deep.equal(['scatter']);
      expect(variants([40, 8, 5, 5], [3, 8, 3, 3], padded)).to.deep.equal(['scatter']);
      expect(variants([1, 64, 5, 5], [3, 64, 3, 3], padded)).to.deep.equal(['scatter']);
    });
  });

  it('gives the same bits for 1, 2 and 5 threads', () => {
    const before = tg.numThreads();
    const x = tg.randn([9, 12, 31, 29]);
    const wide = tg.randn([2, 64, 40, 40]);
    const rows = tg.randn([700, 130]);
    const cases: Record<string, () => Tensor[]> = {
      conv2d: () =>
        grads(
          (a, w, b) => tg.conv2d(a, w, b, { padding: 1 }),
          x,
          tg.randn([20, 12, 3, 3]),
          tg.randn([20]),
        ),
      'conv2d of one channel': () =>
        grads(
          (a, w, b) => tg.conv2d(a, w, b, { stride: 2 }),
          tg.randn([20, 1, 28, 28]),
          tg.randn([8, 1, 5, 5]),
          tg.randn([8]),
        ),
      'conv2d in groups': () =>
        grads(
          (a, w, b) => tg.conv2d(a, w, b, { groups: 4 }),
          wide,
          tg.randn([32, 16, 3, 3]),
          tg.randn([32]),
        ),
      'conv2d 1×1': () =>
        grads((a, w, b) => tg.conv2d(a, w, b), wide, tg.randn([48, 64, 1, 1]), tg.randn([48])),
      'conv2d back to many channels': () =>
        grads(
          (a, w, b) => tg.conv2d(a, w, b, { padding: 1 }),
          tg.randn([12, 64, 14, 14]),
          tg.randn([70, 64, 3, 3]),
          tg.randn([70]),
        ),
      maxPool2d: () => grads((a) => tg.maxPool2d(a, { kernelSize: 3, stride: 2, padding: 1 }), x),
      avgPool2d: () => grads((a) => tg.avgPool2d(a, 2), x),
      batchNorm: () => grads((a, w, b) => tg.batchNorm(a, w, b), x, tg.randn([12]), tg.randn([12])),
      'batchNorm of rows': () =>
        grads((a, w, b) => tg.batchNorm(a, w, b), rows, tg.randn([130]), tg.randn([130])),
      layerNorm: () =>
        grads((a, w, b) => tg.layerNorm(a, w, b), rows, tg.randn([130]), tg.randn([130])),
      dropout: () => grads((a) => tg.dropout(a), x),
    };
    function grads(f: (...t: Tensor[]) => Tensor, ...given: Tensor[]): Tensor[] {
      const leaves = given.map((t) => {
        const leaf = t.detach();
        leaf.requiresGrad = true;
        return leaf;
      });
      const y = f(...leaves);
      const gradient = tg.randn(y.shape);
      return [y, ...tg.gradients(y, leaves, { gradient }).map((g) => g!)];
    }
    try {
      for (const [name, run] of Object.entries(cases)) {
        let wanted: Buffer[] | null = null;
        for (const threads of [1, 2, 5]) {
          tg.setNumThreads(threads);
          tg.manualSeed(77);
          const got = tg.tidy(() => run().map(bits));
          wanted ??= got;
          got.forEach((b, i) => {
            if (!b.equals(wanted![i]!)) expect.fail(`${name}: result ${i} with ${threads} threads`);
          });
        }
      }
    } finally {
      tg.setNumThreads(before);
    }
  });
});

describe('neural modules', function () {
  this.timeout(600_000);

  it('start as PyTorch does', () => {
    tg.manualSeed(1);
    const within = (t: Tensor, limit: number): void => {
      const v = numbers(t);
      expect(Math.max(...v.map(Math.abs))).to.be.at.most(limit);
      if (v.length > 50) expect(Math.max(...v.map(Math.abs))).to.be.above(0.9 * limit);
    };
    const conv = new nn.Conv2d(6, 8, [3, 2], { groups: 2 });
    expect(conv.weight.shape).to.deep.equal([8, 3, 3, 2]);
    within(conv.weight, 1 / Math.sqrt(18));
    within(conv.bias!, 1 / Math.sqrt(18));
    const maxout = new nn.Maxout(16, 5, 3);
    expect([maxout.weight.shape, maxout.bias.shape]).to.deep.equal([
      [3, 5, 16],
      [3, 5],
    ]);
    within(maxout.weight, 0.25);
    const table = numbers(new nn.Embedding(100, 50).weight);
    expect(mean(table)).to.be.closeTo(0, 0.08);
    expect(mean(table.map((v) => v * v))).to.be.closeTo(1, 0.1);
    for (const m of [new nn.BatchNorm1d(2), new nn.LayerNorm([2])]) {
      expect(numbers(m.weight)).to.deep.equal([1, 1]);
      expect(numbers(m.bias)).to.deep.equal([0, 0]);
    }
  });

  it('have the parameters and buffers that they should', () => {
    const names = (m: nn.Module): string[][] => [
      m.namedParameters().map(([n]) => n),
      m.namedBuffers().map(([n]) => n),
    ];
    expect(names(new nn.Conv2d(1, 1, 1))).to.deep.equal([['weight', 'bias'], []]);
    expect(names(new nn.Conv2d(1, 1, 1, { bias: false }))).to.deep.equal([['weight'], []]);
    expect(names(new nn.BatchNorm2d(3))).to.deep.equal([
      ['weight', 'bias'],
      ['runningMean', 'runningVar', 'numBatches'],
    ]);
    expect(names(new nn.LayerNorm(3))).to.deep.equal([['weight', 'bias'], []]);
    expect(names(new nn.Embedding(3, 2))).to.deep.equal([['weight'], []]);
    for (const m of [new nn.Dropout(), new nn.MaxPool2d(2), new nn.AvgPool2d(2)])
      expect(names(m)).to.deep.equal([[], []]);
  });

  it('compute what their functions compute', () => {
    const x = tg.randn([2, 4, 6, 6]);
    const same = (a: Tensor, b: Tensor): void => {
      expect(a.shape).to.deep.equal(b.shape);
      expect(bits(a).equals(bits(b))).to.equal(true);
    };
    const conv = new nn.Conv2d(4, 2, 3, { stride: 2, padding: 1, dilation: [1, 2], groups: 2 });
    const options = { stride: 2, padding: 1, dilation: [1, 2], groups: 2 } as const;
    same(conv.forward(x), tg.conv2d(x, conv.weight, conv.bias!, options));
    const plain = new nn.Conv2d(4, 2, 3, { bias: false });
    const wanted = numbers(tg.conv2d(x, plain.weight, tg.zeros([2])));
    expectClose(plain.forward(x), { shape: [2, 2, 4, 4], data: wanted }, 1e-6, 1e-6);
    same(new nn.MaxPool2d(2).forward(x), tg.maxPool2d(x, { kernelSize: 2, stride: 2 }));
    same(
      new nn.AvgPool2d(3, { stride: 1, padding: 1 }).forward(x),
      tg.avgPool2d(x, { kernelSize: 3, stride: 1, padding: 1 }),
    );
    const layer = new nn.LayerNorm([6, 6], { eps: 0.1 });
    same(layer.forward(x), tg.layerNorm(x, layer.weight, layer.bias, 0.1));
    const table = new nn.Embedding(5, 3);
    const index = tg.tensor(Int32Array.of(4, 1), { shape: [1, 2] });
    same(table.forward(index), tg.embedding(table.weight, index));
  });

  it('BatchNorm follows the batches in training and uses them in evaluation', () => {
    for (const momentum of [0.1, null]) {
      const norm = new nn.BatchNorm1d(1, { dtype: 'float64', momentum });
      const batches = [
        [1, 3],
        [4, 8],
        [0, 2],
      ];
      let [m, v] = [0, 1];
      batches.forEach((b, i) => {
        const y = norm.forward(make(b, [2, 1], 'float64'));
        expect(numbers(y)[1]).to.be.closeTo(1, 1e-4);
        const rate = momentum ?? 1 / (i + 1);
        m += rate * (mean(b) - m);
        v += rate * ((b[1]! - b[0]!) ** 2 / 2 - v);
      });
      expect(norm.numBatches.item()).to.equal(3);
      expect(norm.runningMean.item()).to.be.closeTo(m, 1e-14);
      expect(norm.runningVar.item()).to.be.closeTo(v, 1e-14);
      norm.eval();
      const y = norm.forward(make([2.5], [1, 1], 'float64'));
      expect(y.item()).to.be.closeTo((2.5 - m) / Math.sqrt(v + 1e-5), 1e-12);
      expect(norm.numBatches.item()).to.equal(3);
      const copy = new nn.BatchNorm1d(1, { dtype: 'float64' }).loadStateDict(norm.stateDict());
      expect(
        copy
          .eval()
          .forward(make([2.5], [1, 1], 'float64'))
          .item(),
      ).to.equal(y.item());
    }
  });

  it('BatchNorm and Dropout inside a network switch with it, and leave no memory behind', () => {
    const net = new nn.Sequential(
      new nn.Conv2d(1, 2, 3),
      new nn.BatchNorm2d(2),
      new nn.Dropout(0.5),
      new nn.Flatten(),
    );
    const x = tg.randn([4, 1, 5, 5]);
    const step = (): void => {
      tg.tidy(() => {
        net.forward(x).square().sum().backward();
        net.zeroGrad();
      });
    };
    step();
    collect();
    const { tensors } = tg.memory();
    for (let i = 0; i < 5; ++i) step();
    expect(tg.memory().tensors).to.equal(tensors);
    net.eval();
    expect(bits(net.forward(x)).equals(bits(net.forward(x)))).to.equal(true);
    net.train();
    expect(bits(net.forward(x)).equals(bits(net.forward(x)))).to.equal(false);
  });

  it('refuse what cannot be', () => {
    const wrong: [() => unknown, RegExp][] = [
      [() => new nn.Conv2d(3, 4, 3, { groups: 2 }), /Conv2d: groups 2 must divide inChannels 3/],
      [() => new nn.Conv2d(3, 4, 0), /Conv2d: kernelSize/],
      [() => new nn.Conv2d(3, 4, 3, { stride: 0 }), /Conv2d: stride/],
      [() => new nn.Conv2d(0, 4, 3), /Conv2d: inChannels/],
      [() => new nn.Conv2d(3, 4, 3, { dtype: 'int32' }), /Conv2d: dtype/],
      [() => new nn.Conv2d(3, 4, 3).forward(tg.ones([1, 3, 2, 2])), /larger than the padded input/],
      [() => new nn.MaxPool2d([1, 2, 3] as never), /MaxPool2d: kernelSize/],
      [() => new nn.AvgPool2d(2, { padding: -1 }), /AvgPool2d: padding/],
      [
        () => new nn.BatchNorm2d(3).forward(tg.ones([2, 3])),
        /BatchNorm2d: x must have 4 dimensions/,
      ],
      [() => new nn.BatchNorm1d(3).forward(tg.ones([1, 3])), /more than one value/],
      [() => new nn.BatchNorm1d(0), /BatchNorm1d: numFeatures/],
      [() => new nn.LayerNorm([]), /LayerNorm: normalizedShape/],
      [() => new nn.Embedding(2, 0), /Embedding: width/],
      [() => new nn.Dropout(2), /Dropout: p/],
      [() => new nn.Maxout(2, 2, 0), /Maxout: pieces/],
    ];
    for (const [f, message] of wrong) expect(f).to.throw(message);
  });

  it('a small convolutional network learns to read digits', () => {
    const rows = readFileSync(new URL('../../examples/data/digits.csv', import.meta.url), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(',').map(Number));
    const [train, test] = [rows.slice(0, 1024), rows.slice(1024, 1408)];
    const images = (part: number[][]): Tensor =>
      tg.tensor(Float32Array.from(part.flatMap((r) => r.slice(0, 64).map((v) => v / 16))), {
        shape: [part.length, 1, 8, 8],
      });
    const labels = (part: number[][]): Tensor => tg.tensor(Int32Array.from(part, (r) => r[64]!));
    tg.manualSeed(42);
    const net = new nn.Sequential(
      new nn.Conv2d(1, 16, 3, { padding: 1, bias: false }),
      new nn.BatchNorm2d(16),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Conv2d(16, 32, 3, { padding: 1 }),
      new nn.ReLU(),
      new nn.AvgPool2d(2),
      new nn.Flatten(),
      new nn.Dropout(0.2),
      new nn.Maxout(128, 10, 2),
    );
    const optimizer = new tg.optim.Adam(net.parameters(), { learningRate: 5e-3 });
    const size = 64;
    const accuracy = (part: number[][]): number =>
      tg.tidy(() =>
        tg.noGrad(() => {
          const right = net.eval().forward(images(part)).argmax({ axis: 1 }).equal(labels(part));
          net.train();
          return right.to('float32').mean().item();
        }),
      );
    for (let epoch = 0; epoch < 4; ++epoch) {
      const order = tg.permutation(train.length);
      for (let at = 0; at < train.length; at += size)
        tg.tidy(() => {
          const part = [...order.subarray(at, at + size)].map((i) => train[i]!);
          optimizer.minimize(tg.losses.crossEntropy(net.forward(images(part)), labels(part)));
        });
    }
    expect(accuracy(train), 'training accuracy').to.be.above(0.95);
    expect(accuracy(test), 'test accuracy').to.be.above(0.9);
    net.dispose();
    optimizer.dispose();
  });
});
