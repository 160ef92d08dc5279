// Denormals: kernels take them as zeros, whoever computes; JavaScript, on the same thread, keeps them.
// native/test/float_mode_test.cpp looks at the mode itself.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { losses, nn, optim } from 'tapegrad';

const TINY = 2 ** -126; // float32's smallest normal number
const N = 300_000; // really split over threads

/** JavaScript's own arithmetic on numbers that no compiler can know. */
const halves = Float64Array.of(2 ** -1022, 2 ** -1074, Math.fround(2 ** -130));
const computesDenormals = (): boolean => {
  const single = Float32Array.of(2 ** -120);
  single[0]! *= 2 ** -10;
  return halves[0]! / 2 > 0 && halves[1]! * 1 === 5e-324 && single[0] === halves[2];
};

describe('denormals', () => {
  const threads = tg.numThreads();
  afterEach(() => {
    tg.setNumThreads(threads);
  });

  for (const count of [1, 2])
    it(`are zeros to kernels on ${count} threads`, () => {
      tg.setNumThreads(count);
      tg.tidy(() => {
        const tiny = tg.full([N], TINY);
        expect(tiny.mul(0.5).max().item(), 'computed').to.equal(0);
        const given = tg.tensor(new Float32Array(N).fill(TINY / 4));
        expect(given.mul(4).max().item(), 'read').to.equal(0);
        expect(given.sum().item(), 'summed').to.equal(0);
        const a = tg.full([256, 256], TINY);
        expect(
          a
            .matmul(tg.full([256, 256], 0.25))
            .max()
            .item(),
          'each term',
        ).to.equal(0);
      });
    });

  it('stay as they are where nothing is computed', () => {
    const values = Float32Array.of(2 ** -149, -(2 ** -130), 0, 1);
    tg.tidy(() => {
      const x = tg.tensor(values, { shape: [2, 2] });
      expect([...x.dataSync()]).to.deep.equal([...values]);
      expect([...x.transpose().clone().transpose().dataSync()]).to.deep.equal([...values]);
    });
  });

  it('are left alone in JavaScript, after every kind of native call', () => {
    expect(computesDenormals(), 'before').to.equal(true);
    tg.tidy(() => {
      const model = new nn.Sequential(new nn.Linear(64, 512), new nn.ReLU(), new nn.Linear(512, 8));
      const optimizer = new optim.Adam(model.parameters());
      const x = tg.randn([256, 64]);
      const y = tg.randint(0, 8, [256]);
      for (const what of ['one step', 'another step']) {
        losses.crossEntropy(model.forward(x), y).backward();
        expect(computesDenormals(), `backward, ${what}`).to.equal(true);
        tg.clipGradNorm(model.parameters(), 1);
        expect(computesDenormals(), `clipGradNorm, ${what}`).to.equal(true);
        tg.clipGradValue(model.parameters(), 0.5);
        expect(computesDenormals(), `clipGradValue, ${what}`).to.equal(true);
        optimizer.step();
        expect(computesDenormals(), `optimizer, ${what}`).to.equal(true);
      }
      expect(() => tg.matmul(x, x)).to.throw(RangeError);
      expect(computesDenormals(), 'an error').to.equal(true);
    });
  });

  it('that gradients fade into give the same weights on any number of threads', () => {
    const train = (count: number): Buffer => {
      tg.setNumThreads(count);
      return tg.tidy(() => {
        const p = tg.full([N], 1, { requiresGrad: true });
        const optimizer = new optim.Adam([p], { learningRate: 1e-3 });
        for (let step = 0; step < 5; ++step) {
          p.grad = tg.keep(tg.full([N], 2 ** (-58 - 2 * step))); // its square fades
          optimizer.step();
          p.grad.dispose();
        }
        p.grad = null;
        return Buffer.from(Float32Array.from(p.dataSync()).buffer);
      });
    };
    expect(Buffer.compare(train(1), train(2))).to.equal(0);
  });

  it('random numbers end below 0 without a denormal between', () => {
    for (const dtype of ['float32', 'float64', 'bfloat16'] as const)
      for (const high of [0, 1e-310]) {
        const x = tg.rand([1000], { low: -1, high, dtype }).dataSync();
        expect(Math.max(...x)).to.be.below(0);
        expect(Math.min(...x)).to.be.at.least(-1);
      }
  });
});
