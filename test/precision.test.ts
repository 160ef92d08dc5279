// Mixed precision: what autocast computes in which dtype, eager and compiled, and that training with it gets there.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { losses, nn, optim } from 'tapegrad';

/** ‖got - wanted‖ / ‖wanted‖: single elements may differ more, where rounding carries a unit past a kink. */
function distance(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let difference = 0;
  let length = 0;
  for (let i = 0; i < wanted.length; ++i) {
    difference += (got[i]! - wanted[i]!) ** 2;
    length += wanted[i]! ** 2;
  }
  return Math.sqrt(difference / length);
}

describe('autocast', () => {
  it('rounds operands of products, and raises what needs precision', () => {
    const x = tg.randn([4, 8]);
    const w = tg.randn([8, 3]);
    tg.autocast(() => {
      const product = x.matmul(w);
      expect(product.dtype).to.equal('bfloat16');
      expect(product.relu().dtype).to.equal('bfloat16');
      expect(product.sum().dtype).to.equal('float32');
      expect(product.softmax().dtype).to.equal('float32');
      expect(losses.meanSquaredError(product, tg.zeros([4, 3])).dtype).to.equal('float32');
      expect(x.add(1).dtype).to.equal('float32');
    });
    expect(x.matmul(w).dtype).to.equal('float32');
  });

  it('leaves float64 as it is', () => {
    const x = tg.randn([2, 2], { dtype: 'float64' });
    expect(tg.autocast(() => x.matmul(x)).dtype).to.equal('float64');
  });

  it('ends with the function, even if that throws', () => {
    expect(() =>
      tg.autocast(() => {
        throw new Error('stop');
      }),
    ).to.throw('stop');
    expect(tg.ones([2, 2]).matmul(tg.ones([2, 2])).dtype).to.equal('float32');
  });

  it('refuses what is no function, and async ones', () => {
    expect(() => tg.autocast(1 as never)).to.throw(TypeError, /autocast: fn must be a function/);
    expect(() => tg.autocast(() => Promise.resolve(1))).to.throw(TypeError, /must not be async/);
    const x = tg.ones([2, 2]);
    x.dispose();
    expect(() => tg.autocast(() => x.matmul(tg.ones([2, 2]))))
      .to.throw(/^matmul/)
      .with.property('code', 'TG_DISPOSED');
  });

  it('gives gradients to parameters in their own dtype, near those of float32', () => {
    tg.manualSeed(3);
    const model = new nn.Sequential(new nn.Linear(16, 32), new nn.ReLU(), new nn.Linear(32, 4));
    const x = tg.randn([64, 16]);
    const y = tg.randint(0, 4, [64]);
    const gradients = (run: (fn: () => tg.Tensor) => tg.Tensor): Float32Array[] => {
      for (const p of model.parameters()) p.grad = null;
      run(() => losses.crossEntropy(model.forward(x), y)).backward();
      return model.parameters().map((p) => {
        expect(p.grad!.dtype).to.equal('float32');
        return p.grad!.dataSync() as Float32Array;
      });
    };
    const exact = gradients((fn) => fn());
    gradients(tg.autocast).forEach((g, i) => {
      expect(distance(g, exact[i]!)).to.be.below(0.1);
      expect([...g]).to.not.deep.equal([...exact[i]!]);
    });
  });
});

describe('mixed precision', () => {
  function problem(seed: number) {
    tg.manualSeed(seed);
    const x = tg.randn([256, 8]);
    const y = tg.tidy(() => x.matmul(tg.randn([8, 3])).argmax({ axis: 1 }));
    const model = new nn.Sequential(new nn.Linear(8, 32), new nn.Tanh(), new nn.Linear(32, 3));
    const optimizer = new optim.Adam(model.parameters(), { learningRate: 0.01 });
    return { x, y, model, optimizer };
  }

  it('compiled: the bits of eager autocast', () => {
    const run = (compiled: boolean): number[] => {
      const { x, y, model, optimizer } = problem(1);
      const loss = (): tg.Tensor => losses.crossEntropy(model.forward(x), y);
      const step = tg.compile(
        () => {
          const l = loss();
          optimizer.minimize(l);
          return l;
        },
        { precision: 'bfloat16' },
      );
      for (let i = 0; i < 5; ++i) {
        if (compiled) step.runSync();
        else optimizer.minimize(tg.autocast(loss));
      }
      return model.parameters().flatMap((p) => [...p.dataSync()]);
    };
    expect(run(true)).to.deep.equal(run(false));
  });

  it('compile takes its own precision, not that around it', () => {
    const x = tg.ones([2, 2]);
    const step = tg.compile((t: tg.Tensor) => t.matmul(t));
    expect(tg.autocast(() => step.runSync(x)).dtype).to.equal('float32');
  });

  for (const eager of [false, true])
    it(`fit learns with it, ${eager ? 'op by op' : 'compiled'}, with any scale of the loss`, async () => {
      const train = async (options: object) => {
        const { x, y, model, optimizer } = problem(2);
        const { validation } = await tg.fit(model, {
          ...{ data: { x, y }, loss: losses.crossEntropy, optimizer, eager, seed: 1 },
          ...{ epochs: 30, batchSize: 64, validation: { x, y } },
          ...options,
        }).finished;
        return { accuracy: validation!.accuracy!, weights: [...model.parameters()[0]!.dataSync()] };
      };
      const full = await train({});
      const mixed = await train({ precision: 'bfloat16' });
      const scaled = await train({ precision: 'bfloat16', lossScale: 1024 });
      expect(full.accuracy).to.be.above(0.9);
      expect(mixed.accuracy).to.be.above(0.9);
      expect(mixed.weights).to.not.deep.equal(full.weights);
      // A power of two changes no bit until something would be lost without it.
      expect(distance(scaled.weights, mixed.weights)).to.be.below(0.02);
    });

  it('says what is wrong', () => {
    const { x, y, model, optimizer } = problem(4);
    expect(() => tg.compile((t: tg.Tensor) => t, { precision: 'half' as never })).to.throw(
      TypeError,
      /compile: precision must be 'float32', 'tf32' or 'bfloat16'/,
    );
    const fit = (options: object) =>
      tg.fit(model, { data: { x, y }, loss: losses.crossEntropy, optimizer, ...options });
    expect(() => fit({ precision: 16 })).to.throw(TypeError, /fit: precision must be/);
    expect(() => fit({ lossScale: 0 })).to.throw(RangeError, /fit: lossScale/);
    expect(() => fit({ lossScale: '2' })).to.throw(TypeError, /fit: lossScale/);
  });
});
