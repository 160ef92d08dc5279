// tg.setMatmulPrecision and precision: 'tf32' on a CUDA device, real or emulated: that the setting reaches products and
// convolutions, eager, backward and compiled, how exact they are then, and that 'highest' has the bits it always had.
import { expect } from 'chai';
import { Worker } from 'node:worker_threads';
import * as tg from 'tapegrad';
import { losses, nn, optim, type MatmulPrecision, type Tensor } from 'tapegrad';
import { needsDevice } from './cuda/device.js';

const there = { device: 'cuda' } as const;
const ROUNDING = 2 ** -10; // of a product of two factors, each rounded by up to 2⁻¹¹

function at<T>(precision: MatmulPrecision, fn: () => T): T {
  const before = tg.getMatmulPrecision();
  tg.setMatmulPrecision(precision);
  try {
    return fn();
  } finally {
    tg.setMatmulPrecision(before);
  }
}
const valuesOf = (...tensors: Tensor[]): number[] =>
  tensors.flatMap((t) => [...(t.dataSync() as Float32Array)]);

/** Results in tf32 differ from those in float32, by no more than that the terms' sizes allow. */
function expectRounded(fn: () => Tensor[], sizes: readonly number[]): void {
  const [exact, rounded, again] = (['highest', 'high', 'highest'] as const).map((p) =>
    at(p, () => tg.tidy(() => valuesOf(...fn()))),
  ) as [number[], number[], number[]];
  expect(again).to.deep.equal(exact);
  expect(rounded).to.not.deep.equal(exact);
  expect(sizes.length).to.equal(exact.length);
  // Float32's own rounding of some hundred terms is smaller by far.
  exact.forEach((x, i) =>
    expect(Math.abs(rounded[i]! - x), `element ${i}`).to.be.at.most(1.1 * ROUNDING * sizes[i]!),
  );
}

describe('matmul precision', () => {
  it('is highest at first, and says what it can be', () => {
    expect(tg.getMatmulPrecision()).to.equal('highest');
    for (const bad of ['medium', 'tf32', 1, null, undefined])
      expect(() => tg.setMatmulPrecision(bad as never)).to.throw(
        TypeError,
        /^setMatmulPrecision: precision must be 'highest' or 'high', got/,
      );
    expect(tg.getMatmulPrecision()).to.equal('highest');
    expect(at('high', tg.getMatmulPrecision)).to.equal('high');
  });

  it('changes nothing on the CPU', () => {
    tg.tidy(() => {
      const [x, w] = [tg.randn([40, 30]), tg.randn([30, 20])];
      const step = tg.compile((a: Tensor, b: Tensor) => a.matmul(b), { precision: 'tf32' });
      const exact = valuesOf(x.matmul(w));
      expect(at('high', () => valuesOf(x.matmul(w)))).to.deep.equal(exact);
      expect(valuesOf(step.runSync(x, w))).to.deep.equal(exact);
      at('high', () => step.runSync(x, w).dispose());
      expect(step.versions).to.equal(1);
      step.dispose();
    });
  });

  it('is that of the compiled function while it is being compiled', () => {
    const step = tg.compile((x: Tensor) => {
      tg.setMatmulPrecision('high');
      return x.neg();
    });
    expect(() => step.runSync(tg.ones([2])))
      .to.throw(/^setMatmulPrecision: not in a function that is being compiled; give compile/)
      .with.property('code', 'TG_TRACE');
    expect(tg.getMatmulPrecision()).to.equal('highest');
  });

  it('belongs to the thread', async () => {
    const found = await at('high', async () => {
      const worker = new Worker(
        `import * as tg from 'tapegrad';
         import { parentPort } from 'node:worker_threads';
         parentPort.postMessage(tg.getMatmulPrecision());`,
        { eval: true },
      );
      return new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
    });
    expect(found).to.equal('highest');
  });
});

describe('tf32 on CUDA', function () {
  this.timeout(600_000);
  before(function () {
    needsDevice(this);
  });
  beforeEach(() => {
    tg.manualSeed(11);
  });
  afterEach(() => {
    expect(tg.getMatmulPrecision()).to.equal('highest');
  });

  const absolute = (...tensors: Tensor[]): Tensor[] => tensors.map((t) => t.to('cpu').abs());

  it('rounds factors of products', () => {
    tg.tidy(() => {
      for (const [m, k, n] of [
        [40, 30, 20],
        [130, 65, 140],
      ] as const) {
        const [x, w, b] = [tg.randn([m, k], there), tg.randn([k, n], there), tg.randn([n], there)];
        const [ax, aw] = absolute(x, w) as [Tensor, Tensor];
        const sizes = valuesOf(ax.matmul(aw));
        expectRounded(() => [x.matmul(w)], sizes);
        expectRounded(() => [tg.linear(x, w.transpose(), b)], sizes);
        expectRounded(() => [x.reshape([1, m, k]).matmul(w)], sizes);
      }
    });
  });

  it('leaves other dtypes alone', () => {
    tg.tidy(() => {
      for (const dtype of ['float64', 'bfloat16'] as const) {
        const x = tg.randn([40, 40], there).to(dtype);
        const exact = valuesOf(x.matmul(x));
        expect(at('high', () => valuesOf(x.matmul(x)))).to.deep.equal(exact);
      }
    });
  });

  it('reaches backward passes, as it is set when they run', () => {
    tg.tidy(() => {
      const [x, w] = [tg.randn([40, 30], there), tg.randn([30, 20], there)];
      const g = tg.randn([40, 20], there);
      const [ax, aw, ag] = absolute(x, w, g) as [Tensor, Tensor, Tensor];
      const sizes = valuesOf(ag.matmul(aw.transpose()), ax.transpose().matmul(ag));
      const forward = (): { y: Tensor; leaves: Tensor[] } => {
        const leaves = [x, w].map((t) => tg.detach(t));
        for (const leaf of leaves) leaf.requiresGrad = true;
        return { y: leaves[0]!.matmul(leaves[1]!), leaves };
      };
      expectRounded(() => {
        const { y, leaves } = at('highest', forward);
        y.backward({ gradient: g });
        return leaves.map((leaf) => leaf.grad!);
      }, sizes);
    });
  });

  for (const [what, kernel, padding] of [
    ['3 × 3', 3, 1],
    ['1 × 1', 1, 0],
  ] as const)
    it(`reaches conv2d of ${what} and its gradients`, () => {
      tg.tidy(() => {
        const x = tg.randn([2, 12, 13, 14], there);
        const w = tg.randn([16, 12, kernel, kernel], there);
        const g = tg.randn([2, 16, 13, 14], there);
        const run = (a: Tensor, b: Tensor, c: Tensor): Tensor[] => {
          const leaves = [a, b].map((t) => tg.detach(t));
          for (const leaf of leaves) leaf.requiresGrad = true;
          const y = tg.conv2d(leaves[0]!, leaves[1]!, tg.zeros([16], { device: a.device }), {
            padding: [padding, padding],
          });
          y.backward({ gradient: c });
          return [y, ...leaves.map((leaf) => leaf.grad!)];
        };
        const [ax, aw, ag] = absolute(x, w, g) as [Tensor, Tensor, Tensor];
        expectRounded(() => run(x, w, g), valuesOf(...run(ax, aw, ag)));
      });
    });

  it('compiled functions have the bits of eager ones, whichever way they are told', () => {
    tg.tidy(() => {
      const [x, w] = [tg.randn([40, 30], there), tg.randn([30, 20], there)];
      const bits = (step: { runSync: (a: Tensor, b: Tensor) => Tensor }): number[] =>
        valuesOf(step.runSync(x, w));
      const product = (a: Tensor, b: Tensor): Tensor => a.matmul(b);
      const exact = valuesOf(product(x, w));
      const rounded = at('high', () => valuesOf(product(x, w)));
      expect(rounded).to.not.deep.equal(exact);

      const told = tg.compile(product, { precision: 'tf32' });
      const never = tg.compile(product, { precision: 'float32' });
      const set = tg.compile(product);
      expect(bits(told)).to.deep.equal(rounded);
      at('high', () => expect(bits(never)).to.deep.equal(exact));
      expect(bits(set)).to.deep.equal(exact);
      at('high', () => expect(bits(set)).to.deep.equal(rounded));
      expect(set.versions).to.equal(2);
      expect(bits(set)).to.deep.equal(exact);
      expect([told.versions, never.versions, set.versions]).to.deep.equal([1, 1, 2]);
      for (const step of [told, never, set]) step.dispose();
    });
  });

  /** A classifier with its data, the same in each call. */
  function problem() {
    tg.manualSeed(5);
    const x = tg.randn([120, 12]);
    const y = tg.tidy(() => x.matmul(tg.randn([12, 3])).argmax({ axis: 1 }));
    const model = new nn.Sequential(new nn.Linear(12, 24), new nn.Tanh(), new nn.Linear(24, 12));
    model.to('cuda');
    const optimizer = new optim.SGD(model.parameters(), { learningRate: 0.1 });
    return { x, y, model, optimizer };
  }
  const weightsOf = (model: nn.Module): number[] => valuesOf(...model.parameters());

  it('reaches the whole of a compiled step', () => {
    const train = (options: object, one: MatmulPrecision): number[] => {
      const { x, y, model, optimizer } = problem();
      const step = tg.compile((a: Tensor, b: Tensor) => {
        const loss = losses.crossEntropy(model.forward(a), b);
        optimizer.minimize(loss);
        return loss;
      }, options);
      at(one, () => {
        for (let k = 0; k < 3; ++k) step.runSync(x.to('cuda'), y.to('cuda'));
      });
      step.dispose();
      return weightsOf(model);
    };
    const exact = train({}, 'highest');
    const rounded = train({}, 'high');
    expect(rounded).to.not.deep.equal(exact);
    rounded.forEach((w, i) => expect(w).to.be.closeTo(exact[i]!, 1e-2));
    expect(train({ precision: 'tf32' }, 'highest')).to.deep.equal(rounded);
    expect(train({ precision: 'float32' }, 'high')).to.deep.equal(exact);
  });

  for (const eager of [false, true])
    it(`fit takes it as an option, ${eager ? 'op by op' : 'compiled'}`, async () => {
      const train = async (options: object): Promise<number[]> => {
        const { x, y, model, optimizer } = problem();
        const settings = { optimizer, loss: losses.crossEntropy, eager, seed: 1, batchSize: 30 };
        await tg.fit(model, { data: { x, y }, epochs: 2, ...settings, ...options }).finished;
        return weightsOf(model);
      };
      const exact = await train({});
      const rounded = await train({ precision: 'tf32' });
      expect(rounded).to.not.deep.equal(exact);
      rounded.forEach((w, i) => expect(w).to.be.closeTo(exact[i]!, 1e-2));
      tg.setMatmulPrecision('high');
      try {
        expect(await train({})).to.deep.equal(rounded);
        expect(await train({ precision: 'float32' })).to.deep.equal(exact);
      } finally {
        tg.setMatmulPrecision('highest');
      }
    });
});
