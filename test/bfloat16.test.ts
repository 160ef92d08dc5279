// The dtype bfloat16 as users meet it: creation, reading, promotion, products within their error bound,
// gradients, layers, files, and what is refused. Its ops one by one: test/catalogue/bfloat16.ts.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import type { DType } from '#lib/schema.gen.js';
import { storedData } from '#lib/tensor.js';
import { fromData } from '#lib/create.js';
import { generator, toBfloat16 } from './catalogue/harness.js';

const bf16 = { dtype: 'bfloat16' } as const;
const random = (seed: number, n: number): number[] => {
  const next = generator(seed);
  return Array.from({ length: n }, () => toBfloat16(2 * next() - 1));
};

describe('bfloat16', () => {
  let before: number;
  beforeEach(() => {
    before = tg.memory().tensors;
  });
  afterEach(() => {
    tg.manualSeed(1);
    expect(tg.memory().tensors, 'tensors left').to.be.at.most(before);
  });

  it('rounds what it is made of to nearest even, and gives back a Float32Array of the exact values', () => {
    const values = [
      1,
      1 + 2 ** -8,
      1 + 3 * 2 ** -8,
      3.14159,
      3.4e38,
      -Infinity,
      1 + 2 ** -8 + 2 ** -40,
    ];
    for (const data of [values, Float64Array.from(values)])
      tg.tidy(() => {
        const x = tg.tensor(data, bf16);
        expect(x.dtype).to.equal('bfloat16');
        const read = x.dataSync();
        expect(read).to.be.instanceOf(Float32Array);
        expect([...read]).to.deep.equal(values.map(toBfloat16));
        expect(x.toArray()).to.deep.equal(values.map(toBfloat16));
      });
    tg.tidy(() => {
      expect(tg.tensor(NaN, bf16).item()).to.be.NaN;
      expect(tg.tensor([1.5, -2], bf16).toString()).to.equal(
        'tensor([ 1.5000, -2.0000], dtype=bfloat16)',
      );
    });
  });

  it('is made by every creation function', () => {
    tg.tidy(() => {
      for (const t of [
        tg.zeros([3], bf16),
        tg.ones([3], bf16),
        tg.full([3], 0.1, bf16),
        tg.eye(3, 3, bf16),
        tg.arange(0, 3, 1, bf16),
        tg.linspace(0, 1, 3, bf16),
        tg.randn([3], bf16),
        tg.zerosLike(tg.ones([3], bf16)),
      ])
        expect(t.dtype).to.equal('bfloat16');
      expect(tg.full([1], 0.1, bf16).item()).to.equal(toBfloat16(0.1));
      expect([...tg.linspace(0, 1, 4, bf16).dataSync()]).to.deep.equal(
        [0, 1 / 3, 2 / 3, 1].map(toBfloat16),
      );
    });
  });

  it('never rounds random numbers up to their bound', () => {
    for (const [low, high] of [
      [0, 1],
      [-2, -1],
      [-1, 0],
      [5, 5.05],
    ] as const)
      tg.tidy(() => {
        const x = tg.rand([200_000], { ...bf16, low, high }).dataSync();
        let [smallest, largest] = [Infinity, -Infinity];
        for (const v of x) [smallest, largest] = [Math.min(smallest, v), Math.max(largest, v)];
        expect(smallest).to.be.at.least(low);
        expect(largest).to.be.below(high).and.above(low);
      });
    const whole = tg.tidy(() => tg.randint(0, 300, [20_000], bf16).max().item());
    expect(whole).to.equal(298); // the largest below 300 that bfloat16 holds
  });

  it('meets other dtypes as in PyTorch', () => {
    tg.tidy(() => {
      const x = tg.tensor([1, 2], bf16);
      const meets: readonly (readonly [DType, DType])[] = [
        ['bool', 'bfloat16'],
        ['int32', 'bfloat16'],
        ['bfloat16', 'bfloat16'],
        ['float32', 'float32'],
        ['float64', 'float64'],
      ];
      for (const [dtype, result] of meets) {
        const y = tg.ones([2], { dtype });
        expect(tg.mul(x, y).dtype, dtype).to.equal(result);
        expect(tg.mul(y, x).dtype, dtype).to.equal(result);
        expect(tg.concat([x, y]).dtype, dtype).to.equal(result);
      }
      expect(x.mul(2).dtype).to.equal('bfloat16');
      expect(tg.where(tg.tensor([true, false]), 0.1, x).dtype).to.equal('bfloat16');
      expect(x.greater(1).dtype).to.equal('bool');
      // A number keeps its digits: 3 · 0.1 in bfloat16, not 3 · bfloat16(0.1).
      expect(tg.tensor(3, bf16).mul(0.1).item()).to.equal(toBfloat16(3 * Math.fround(0.1)));
    });
  });

  it('products stay within their bound, in all layouts, and have the same bits on any threads', () => {
    const sizes = [0, 1, 2, 3, 7, 8, 17, 33, 50, 67];
    const next = generator(5);
    const pick = (): number => sizes[Math.floor(next() * sizes.length)]!;
    const threads = tg.numThreads();
    for (let round = 0; round < 150; ++round)
      tg.tidy(() => {
        const [m, n] = [pick(), pick()];
        const k = round % 10 === 0 ? 2500 + round : pick();
        const [a, b] = [random(2 * round, m * k), random(2 * round + 1, k * n)];
        const swap = (t: tg.Tensor): tg.Tensor => tg.transpose(tg.clone(tg.transpose(t)));
        const [x, y] = [
          tg.tensor(a, { ...bf16, shape: [m, k] }),
          tg.tensor(b, { ...bf16, shape: [k, n] }),
        ];
        const product = tg.matmul(round & 1 ? swap(x) : x, round & 2 ? swap(y) : y);
        const got = product.dataSync();
        for (let i = 0; i < m; ++i)
          for (let j = 0; j < n; ++j) {
            let [sum, size] = [0, 0];
            for (let p = 0; p < k; ++p) {
              const term = a[i * k + p]! * b[p * n + j]!;
              sum += term;
              size += Math.abs(term);
            }
            const bound = (k + 2) * 2 ** -24 * size;
            const error = Math.abs(got[i * n + j]! - sum);
            expect(error).to.be.at.most(bound + 2 ** -8 * (Math.abs(sum) + bound));
          }
      });
    tg.tidy(() => {
      const [x, y] = [tg.randn([130, 700], bf16), tg.randn([700, 210], bf16)];
      const all = [1, 2, 5].map((count) => {
        tg.setNumThreads(count);
        return storedData(tg.matmul(x, y));
      });
      tg.setNumThreads(threads);
      expect(all[1]).to.deep.equal(all[0]);
      expect(all[2]).to.deep.equal(all[0]);
    });
  });

  it('batches and vectors multiply like matrices, and linear adds its bias before the rounding', () => {
    tg.tidy(() => {
      const [x, y] = [tg.randn([3, 1, 5, 9], bf16), tg.randn([2, 9, 4], bf16)];
      const all = tg.matmul(x, y);
      expect(all.shape).to.deep.equal([3, 2, 5, 4]);
      for (let i = 0; i < 3; ++i)
        for (let j = 0; j < 2; ++j) {
          const at = (t: tg.Tensor, k: number): tg.Tensor =>
            tg.slice(t, { axis: 0, start: k, end: k + 1 }).reshape(t.shape.slice(1));
          const one = tg.matmul(at(x, i).reshape([5, 9]), at(y, j));
          expect(storedData(at(at(all, i), j))).to.deep.equal(storedData(one));
        }
      const [v, w] = [tg.tensor([1, 2, 3], bf16), tg.tensor([4, 5, 6], bf16)];
      expect(tg.matmul(v, w).item()).to.equal(32);
      // 1 + 2⁻⁸ is a tie: rounded before the bias it would be 1, and the sum 2⁻⁸.
      const bias = tg.tensor([-1 + 2 ** -8], bf16);
      const row = tg.linear(
        tg.tensor([[1, 2 ** -8]], bf16),
        tg.tensor([[1, 1]], bf16),
        tg.cast(bias, { dtype: 'bfloat16' }),
      );
      expect(row.item()).to.equal(2 ** -7);
    });
  });

  it('a float32 parameter learns through a cast to bfloat16', () => {
    tg.tidy(() => {
      tg.manualSeed(3);
      const w = tg.keep(tg.randn([4, 8], { requiresGrad: true }));
      const truth = tg.randn([4, 8]);
      const optimizer = new tg.optim.SGD([w], { learningRate: 0.5 });
      const x = tg.randn([64, 8]).to('bfloat16');
      const target = tg.matmul(x.to('float32'), tg.transpose(truth));
      let loss = Infinity;
      for (let step = 0; step < 150; ++step)
        tg.tidy(() => {
          const y = tg.matmul(x, tg.transpose(w.to('bfloat16')));
          expect(y.dtype).to.equal('bfloat16');
          const error = y.to('float32').sub(target).square().mean();
          error.backward();
          expect(w.grad!.dtype).to.equal('float32');
          loss = error.item();
          optimizer.step();
          optimizer.zeroGrad();
        });
      expect(loss).to.be.below(1e-3);
      w.dispose();
    });
  });

  it('gradients that meet are added in float32 and rounded', () => {
    tg.tidy(() => {
      const x = tg.tensor([3], { ...bf16, requiresGrad: true });
      x.mul(1.25).sum().backward();
      x.mul(2.5).sum().backward();
      expect(x.grad!.dtype).to.equal('bfloat16');
      expect(x.grad!.item()).to.equal(3.75);
      x.grad!.dispose();
    });
  });

  it('layers take it, and batchNorm keeps its statistics in float32', () => {
    tg.tidy(() => {
      const layer = new tg.nn.Linear(3, 2, bf16);
      expect(layer.forward(tg.ones([4, 3], bf16)).dtype).to.equal('bfloat16');
      for (const p of layer.parameters()) p.dispose();
      // Mean 100 and deviation 1: a mean in bfloat16 would be off by up to 0.25.
      const data = Array.from({ length: 64 }, (_, i) => toBfloat16(100 + (i % 4)));
      const x = tg.tensor(data, { ...bf16, shape: [64, 1], requiresGrad: true });
      const [one, zero] = [tg.ones([1], bf16), tg.zeros([1], bf16)];
      const y = tg.batchNorm(x, one, zero);
      expect(y.dtype).to.equal('bfloat16');
      const wide = tg.batchNorm(x.detach().to('float32'), one.to('float32'), zero.to('float32'));
      expect(storedData(y)).to.deep.equal(storedData(wide.to('bfloat16')));
      y.square().sum().backward();
      expect(x.grad!.dtype).to.equal('bfloat16');
      x.grad!.dispose();
    });
  });

  it('files keep every bit, payloads of NaN included', () => {
    tg.tidy(() => {
      const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
      const x = fromData(bits, [256, 256], 'bfloat16', 'cpu');
      const { tensors } = tg.io.decodeSafetensors(tg.io.encodeSafetensors({ x, y: tg.ones([1]) }));
      expect(tensors['x']!.dtype).to.equal('bfloat16');
      expect(storedData(tensors['x']!)).to.deep.equal(bits);
    });
  });

  it('optimizers and clipping say that parameters belong in float32', () => {
    tg.tidy(() => {
      const p = tg.ones([2], { ...bf16, requiresGrad: true });
      expect(() => new tg.optim.SGD([p], { learningRate: 0.1 })).to.throw(
        TypeError,
        /SGD: parameter 0 is bfloat16, in which small updates vanish: keep it in float32/,
      );
      p.sum().backward();
      expect(() => tg.clipGradNorm([p], 1)).to.throw(TypeError, /float32 or float64/);
      p.grad!.dispose();
    });
  });
});
