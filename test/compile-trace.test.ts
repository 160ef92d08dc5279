// What is recorded, when it is recorded again, and what cannot be: a function that fails while it is recorded
// changes nothing outside.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { nn, optim, type Tensor } from 'tapegrad';
import { valueBits } from './catalogue/harness.js';
import { batch, expectSame, stateOf } from './compile/tools.js';

const any = (v: unknown): never => v as never;
const values = (t: Tensor): number[] => [...t.dataSync()];
const code = (name: string) => ({ code: name });
async function failure(work: () => unknown): Promise<{ code?: string; message: string }> {
  try {
    await work();
  } catch (error) {
    return error as Error;
  }
  expect.fail('nothing was thrown');
}
const leaf = (k: number, ...shape: number[]): Tensor => {
  const t = tg.keep(batch(k, shape));
  t.requiresGrad = true;
  return t;
};

describe('recording a function', () => {
  it('arguments and results in arrays and objects, an argument and a parameter among the results', () =>
    expectSame(() => {
      const w = leaf(1, 3);
      return {
        fn: ({ a, list: [b, c] }: { a: Tensor; list: [Tensor, Tensor] }) => ({
          sum: a.add(b),
          same: [a, w, a.mul(w), c],
          view: b.reshape([3, 1]),
        }),
        args: (k) => [{ a: batch(k, [3]), list: [batch(k + 5, [3]), batch(k + 9, [3, 2]).T] }],
      };
    }));

  it('views of inputs as arguments', () =>
    expectSame(() => ({
      fn: (x: Tensor) => [x.T.matmul(x), x.slice({ axis: 1, start: 1 }).exp()],
      args: (k) => [batch(k, [4, 6]).T.slice({ axis: 0, start: 1, end: 5, step: 2 })],
    })));

  it('other dtypes', async () => {
    for (const dtype of ['float64', 'bfloat16'] as const)
      await expectSame(() => ({
        fn: (x: Tensor) => [x.mul(2).add(x).relu(), x.to('float32').sum(), x.T.matmul(x)],
        args: (k) => [batch(k, [5, 3], dtype)],
      }));
    await expectSame(() => ({
      fn: (x: Tensor) => [x.add(x), x.to('bool').to('float32'), x.equal(2)],
      args: (k) => [tg.tensor(Int32Array.of(k, 2, -3))],
    }));
  });

  it('second derivatives', () =>
    expectSame(() => {
      const w = leaf(2, 4);
      return {
        fn: (x: Tensor, v: Tensor) => {
          const [g] = tg.gradients(x.mul(w).tanh().sum(), [w], { createGraph: true });
          const [hv] = tg.gradients(g!.mul(v).sum(), [w], { retainGraph: true });
          return [g!, hv];
        },
        args: (k) => [batch(k, [4]), batch(k + 3, [4])],
      };
    }));

  it('tidy, noGrad, and intermediate results that are disposed of', () =>
    expectSame(() => ({
      fn: (x: Tensor) => {
        const y = tg.tidy(() => tg.noGrad(() => x.exp().add(x.sin())));
        const z = x.mul(3);
        const w = z.sub(1);
        z.dispose();
        return [y, w];
      },
      args: (k) => [batch(k, [7])],
    })));

  it('again for other shapes, dtypes, requiresGrad, and structures', () => {
    let traces = 0;
    const step = tg.compile((x: unknown) => {
      ++traces;
      return Array.isArray(x) ? (x[0] as Tensor).mul(2) : (x as Tensor).mul(3);
    });
    const ones = tg.ones([2]);
    const run = (x: unknown): number[] => values(step.runSync(x));
    expect(run(ones)).to.deep.equal([3, 3]);
    expect(run(tg.tensor([2, 3]))).to.deep.equal([6, 9]);
    expect(traces).to.equal(1);
    expect(run(tg.ones([1]))).to.deep.equal([3]);
    expect(run(tg.ones([2], { dtype: 'float64' }))).to.deep.equal([3, 3]);
    expect(run(tg.ones([2], { requiresGrad: true }))).to.deep.equal([3, 3]);
    expect(traces).to.equal(4);
    expect(run([ones])).to.deep.equal([2, 2]);
    expect(traces).to.equal(5);
    expect(step.versions).to.equal(5);
  });

  it('again for other strings and flags among the arguments', () => {
    const step = tg.compile((x: Tensor, how: string, twice: boolean) => {
      const y = how === 'exp' ? x.exp() : x.neg();
      return twice ? y.mul(2) : y;
    });
    expect(values(step.runSync(tg.zeros([1]), 'exp', false))).to.deep.equal([1]);
    expect(values(step.runSync(tg.ones([1]), 'neg', false))).to.deep.equal([-1]);
    expect(values(step.runSync(tg.ones([1]), 'neg', true))).to.deep.equal([-2]);
  });

  it('keeps as many versions as it was told', () => {
    const step = tg.compile((x: Tensor) => x.add(1), { cacheSize: 2 });
    for (let n = 1; n <= 5; ++n) expect(step.runSync(tg.zeros([n])).size).to.equal(n);
    expect(step.versions).to.equal(2);
    expect(step.runSync(tg.zeros([1])).size).to.equal(1);
    expect(() => tg.compile((x: Tensor) => x, { cacheSize: 0 })).to.throw(RangeError, 'cacheSize');
  });

  it('again when a module changes between training and evaluation', () => {
    const drop = new nn.Dropout(0.5);
    const step = tg.compile((x: Tensor) => drop.forward(x));
    const x = tg.ones([64]);
    expect(values(step.runSync(x))).to.include(0);
    drop.eval();
    expect(values(step.runSync(x))).to.not.include(0);
    drop.train();
    expect(values(step.runSync(x))).to.include(0);
  });

  it('follows loadStateDict of model and optimizer', () =>
    expectSame(
      () => {
        const model = new nn.Linear(3, 2);
        const optimizer = new optim.Adam(model.parameters(), { learningRate: 0.1 });
        const saved = { model: model.stateDict(), optimizer: null as unknown };
        return {
          fn: (x: Tensor) => {
            const loss = model.forward(x).square().mean();
            optimizer.minimize(loss);
            return loss;
          },
          args: (k) => {
            if (k === 2) saved.optimizer = optimizer.stateDict();
            if (k === 4) {
              model.loadStateDict(saved.model);
              optimizer.loadStateDict(saved.optimizer as never);
            }
            return [batch(k, [4, 3])];
          },
          state: () => stateOf([...model.parameters()], optimizer),
          counts: () => optimizer.steps,
        };
      },
      { calls: 7 },
    ));

  it('follows parameters that are shared or attached', () => {
    const [w, other] = [tg.tensor([1, 2]), tg.tensor([5, 6])];
    const step = tg.compile((x: Tensor) => x.mul(w));
    const x = tg.ones([2]);
    expect(values(step.runSync(x))).to.deep.equal([1, 2]);
    tg.share({ w });
    expect(values(step.runSync(x))).to.deep.equal([1, 2]);
    tg.attach(tg.share({ w: other }), { w });
    expect(values(step.runSync(x))).to.deep.equal([5, 6]);
  });

  it('says that a parameter, a constant or an optimizer is gone', async () => {
    const w = tg.ones([2]);
    const step = tg.compile((x: Tensor) => x.mul(w));
    step.runSync(tg.ones([2]));
    w.dispose();
    expect(await failure(() => step.runSync(tg.ones([2])))).to.include(code('TG_DISPOSED'));
    expect(await failure(() => step(tg.ones([2])))).to.include(code('TG_DISPOSED'));
  });

  it('goes on after an optimizer was disposed of, as the eager step does', () =>
    expectSame(
      () => {
        const w = leaf(3, 3);
        const optimizer = new optim.Adam([w], { learningRate: 0.1 });
        return {
          fn: (x: Tensor) => {
            const loss = x.mul(w).square().sum();
            optimizer.minimize(loss);
            return loss;
          },
          args: (k) => {
            if (k === 2) optimizer.dispose();
            return [batch(k, [3])];
          },
          state: () => [w],
        };
      },
      { calls: 4 },
    ));
});

describe('what cannot be recorded', () => {
  const w = leaf(4, 3);
  const inner = tg.compile((x: Tensor) => x.mul(2));
  inner.runSync(tg.ones([3]));
  const constant = tg.ones([3]);
  const REFUSED: readonly [string, (x: Tensor) => unknown, RegExp][] = [
    ['item', (x) => x.sum().item(), /compiled/],
    ['dataSync', (x) => x.dataSync(), /compiled/],
    ['toString', (x) => x.toString(), /compiled/],
    ['a compiled function', (x) => inner.runSync(x), /compiled/],
    ['a compiled function of something else', () => inner.runSync(constant), /compiled/],
    ['compile', (x) => tg.compile((y: Tensor) => y.add(1)).runSync(x), /compiled/],
    ['manualSeed', (x) => (tg.manualSeed(1), x), /manualSeed/],
    ['manualSeed before random numbers', () => (tg.manualSeed(1), tg.rand([2])), /manualSeed/],
    ['setRandomState', (x) => (tg.setRandomState({ seed: 3, stream: 0 }), x), /setRandomState/],
    ['a promise', async (x) => Promise.resolve(x), /async/],
    ['its own error', () => expect.fail('own'), /own/],
    [
      'too many operations',
      (x) => Array.from({ length: 70_000 }).reduce<Tensor>((t) => t.add(1), x),
      /65536/,
    ],
  ];
  for (const [name, spoil, message] of REFUSED)
    it(`${name}: an error, and nothing outside has changed`, () => {
      const optimizer = new optim.Adam([w], { learningRate: (t) => 0.1 / (t + 1) });
      for (const before of ['no gradient', 'a gradient']) {
        w.grad?.dispose();
        w.grad = before === 'no gradient' ? null : tg.keep(tg.ones([3]));
        const seen = () => ({
          w: valueBits(w),
          grad: w.grad && values(w.grad),
          steps: optimizer.steps,
          random: tg.randomState(),
          numbers: optimizer.stateDict().numbers.steps,
        });
        const wanted = seen();
        const { tensors } = tg.memory();
        const step = tg.compile((x: Tensor) => {
          tg.rand([2]).add(1);
          optimizer.minimize(x.mul(w).sum());
          return [spoil(x), x.mul(w)][0];
        });
        const accumulate = tg.compile((x: Tensor) => {
          x.mul(w).sum().backward();
          return [spoil(x), x][0];
        });
        const x = tg.ones([3]);
        for (const each of [step, accumulate]) expect(() => each.runSync(x)).to.throw(message);
        expect(seen()).to.deep.equal(wanted);
        expect(tg.memory().tensors).to.be.at.most(tensors + 1); // x
      }
      // And it can be done better.
      const good = tg.compile((x: Tensor) => {
        const loss = x.mul(w).sum();
        optimizer.minimize(loss);
        return loss;
      });
      expect(good.runSync(tg.ones([3])).size).to.equal(1);
      expect(optimizer.steps).to.equal(1);
    });

  it('arguments that are no tensors', async () => {
    const step = tg.compile((x: unknown) => (tg.isTensor(x) ? x.add(1) : tg.ones([1])));
    const cycle: unknown[] = [];
    cycle.push(cycle);
    let wide: unknown[] = [tg.ones([1])];
    for (let i = 0; i < 30; ++i) wide = [wide, wide];
    expect((await failure(() => step.runSync(1))).message).to.match(/number 1/);
    expect(await failure(() => step.runSync(cycle))).to.include(code('TG_TRACE'));
    expect(await failure(() => step(cycle))).to.include(code('TG_TRACE'));
    expect(await failure(() => step.runSync(wide))).to.include(code('TG_TRACE'));
    const gone = tg.ones([1]);
    gone.dispose();
    expect(await failure(() => step.runSync(gone))).to.include(code('TG_DISPOSED'));
    expect(() => tg.compile(any(1))).to.throw(TypeError, 'fn');
    expect(values(step.runSync(tg.ones([1])))).to.deep.equal([2]);
  });
});
