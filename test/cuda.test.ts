// Tensors on a CUDA device, real or emulated: moving them, making them, reading them, their memory, modules and
// optimizers there. What ops compute is compared in cuda-catalogue.test.ts, what fails in cuda-errors.test.ts.
import { expect } from 'chai';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { native } from '#lib/native.js';
import * as tg from 'tapegrad';
import type { DType, Tensor } from 'tapegrad';
import { bits } from './catalogue/harness.js';
import { needsDevice } from './cuda/device.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const DTYPES: readonly DType[] = ['float32', 'float64', 'int32', 'bool', 'bfloat16'];
const there = { device: 'cuda' } as const;
const used = (): { tensors: number; bytes: number } => {
  const { tensors, bytes } = tg.memory(there);
  return { tensors, bytes };
};

describe('CUDA tensors', function () {
  this.timeout(600_000);
  before(function () {
    needsDevice(this);
  });
  afterEach(() => {
    tg.setDefaultDevice('cpu');
  });

  describe('to', () => {
    for (const dtype of DTYPES)
      it(`brings ${dtype} there and back with the same bits, whatever the layout`, () => {
        tg.tidy(() => {
          const x = tg.randint(-9, 9, [4, 6, 5]).to(dtype);
          for (const t of [
            x,
            x.permute([2, 0, 1]),
            x.slice({ axis: 1, start: 1, step: 2 }),
            x.slice({ axis: 0, start: 2 }).reshape([2, 30]),
            tg.broadcastTo(x.slice({ axis: 0, start: 0, end: 1 }), { shape: [3, 6, 5] }),
            x.slice({ axis: 0, start: 4 }),
            x.sum().to(dtype),
          ]) {
            const moved = t.to('cuda');
            expect([moved.device, moved.dtype]).to.deep.equal(['cuda', dtype]);
            expect(moved.shape).to.deep.equal(t.shape);
            expect(bits(moved).equals(bits(t)), 'read there').to.equal(true);
            const back = moved.to('cpu');
            expect(back.device).to.equal('cpu');
            expect(bits(back).equals(bits(t)), 'moved back').to.equal(true);
            const turned = moved.permute([...moved.shape.keys()].reverse());
            expect(bits(turned).equals(bits(t.permute([...t.shape.keys()].reverse())))).to.equal(
              true,
            );
          }
        });
      });

    it('gives the tensor itself where nothing is to change, and changes dtype and device at once', () => {
      tg.tidy(() => {
        const x = tg.ones([2], there);
        expect(x.to('cuda')).to.equal(x);
        expect(x.to({ device: 'cuda', dtype: 'float32' })).to.equal(x);
        expect(x.to('float64').device).to.equal('cuda');
        const both = x.to({ device: 'cpu', dtype: 'int32' });
        expect([both.device, both.dtype, both.toArray()]).to.deep.equal(['cpu', 'int32', [1, 1]]);
      });
    });

    it('sends gradients back to where the source is', () => {
      tg.tidy(() => {
        for (const [from, to] of [
          ['cpu', 'cuda'],
          ['cuda', 'cpu'],
        ] as const) {
          const x = tg.tensor([1, -2, 3], { device: from, requiresGrad: true });
          x.to(to).square().mul(3).sum().backward();
          expect(x.grad!.device).to.equal(from);
          expect(x.grad!.toArray()).to.deep.equal([6, -12, 18]);
          x.grad!.dispose();
        }
      });
    });

    it('has gradients of gradients', () => {
      tg.tidy(() => {
        const x = tg.tensor([1, -2, 3], { dtype: 'float64', requiresGrad: true });
        const y = x.to('cuda').pow(3).sum();
        const [first] = tg.gradients(y, [x], { createGraph: true });
        const [second] = tg.gradients(first!.to('cuda').square().sum(), [x]);
        // (3x²)², by x; powers are right but for the last digits
        const values = Array.from(second!.dataSync(), (v) => Number(v.toPrecision(12)));
        expect([second!.device, values]).to.deep.equal(['cpu', [36, -288, 972]]);
      });
    });
  });

  describe('creation', () => {
    it('takes a device, and follows the default one', () => {
      tg.tidy(() => {
        const make = (options?: { device: 'cuda' }): Tensor[] => [
          tg.tensor([1, 2], options),
          tg.tensor([1.001, 2], { dtype: 'bfloat16', ...options }),
          tg.zeros([2], options),
          tg.full([2], 3, options),
          tg.arange(0, 4, 1, options),
          tg.linspace(0, 1, 3, options),
          tg.eye(2, 3, options),
          tg.rand([5], options),
          tg.randn([5], options),
          tg.randint(0, 9, [5], options),
        ];
        tg.manualSeed(1);
        const here = make();
        tg.manualSeed(1);
        const given = make(there);
        tg.setDefaultDevice('cuda');
        expect(tg.getDefaultDevice()).to.equal('cuda');
        tg.manualSeed(1);
        const chosen = make();
        here.forEach((t, i) => {
          expect([t.device, given[i]!.device, chosen[i]!.device]).to.deep.equal([
            'cpu',
            'cuda',
            'cuda',
          ]);
          expect(bits(given[i]!).equals(bits(t)), `tensor ${i}`).to.equal(true);
          expect(bits(chosen[i]!).equals(bits(t)), `tensor ${i}`).to.equal(true);
        });
        // What follows an operand does so whatever the default is.
        expect(tg.zerosLike(here[0]!).device).to.equal('cpu');
        tg.setDefaultDevice('cpu');
        expect(tg.onesLike(given[0]!).device).to.equal('cuda');
      });
    });

    it('prints its device', () => {
      expect(String(tg.ones([2], there))).to.equal('tensor([1., 1.], device=cuda)');
    });
  });

  describe('data()', () => {
    it('gives the values of now, whatever becomes of the tensor meanwhile', async () => {
      const x = tg.arange(0, 100_000, 1, { dtype: 'float32', ...there });
      const promises = [
        x.data(),
        x.permute([0]).data(),
        x.slice({ axis: 0, start: 0, step: 2 }).data(),
      ];
      x.copyFrom(tg.zeros([100_000], there));
      x.dispose();
      for (let i = 0; i < 10; ++i) tg.full([100_000], i, there).dispose();
      const [whole, same, half] = await Promise.all(promises);
      expect(whole!.every((v, i) => v === i)).to.equal(true);
      expect(same!.every((v, i) => v === i)).to.equal(true);
      expect(half!.every((v, i) => v === 2 * i)).to.equal(true);
    });

    it('gives every dtype, and nothing of an empty tensor', async () => {
      for (const dtype of DTYPES) {
        const x = tg.tensor([0, 1, 2], { dtype, ...there });
        expect(await x.data()).to.deep.equal(x.dataSync());
        expect((await tg.zeros([0, 3], { dtype, ...there }).data()).length).to.equal(0);
      }
    });

    it('keeps many copies apart', async () => {
      const read = await Promise.all(
        Array.from({ length: 200 }, (_, i) => tg.full([i], i, there).data()),
      );
      read.forEach((data, i) => {
        expect(data.length).to.equal(i);
        expect(data.every((v) => v === i)).to.equal(true);
      });
    });
  });

  describe('memory', () => {
    it('is counted by device, and what ops make goes when it is disposed of', () => {
      collect();
      native.sweep();
      const [before, host] = [used(), tg.memory().tensors];
      const x = tg.ones([1000], there);
      expect(used().tensors).to.equal(before.tensors + 1);
      expect(used().bytes).to.be.within(before.bytes + 4000, before.bytes + 5000);
      expect(tg.memory().tensors).to.equal(host);
      x.dispose();
      expect(used()).to.deep.equal(before);
    });

    it('does not grow over 10,000 ops', () => {
      collect();
      native.sweep();
      const start = used();
      const w = tg.randn([8, 8], { requiresGrad: true, ...there });
      const x = tg.randn([8, 8], there);
      const step = (): void => {
        tg.tidy(() => {
          const loss = tg.matmul(x, w).add(1).tanh().square().mul(w).sigmoid();
          loss.backward({ gradient: tg.onesLike(loss) });
        });
        w.grad!.dispose();
        w.grad = null;
      };
      for (let i = 0; i < 5; ++i) step();
      const warm = tg.memory(there);
      for (let i = 0; i < 600; ++i) step(); // 17 ops each, views apart
      const end = tg.memory(there);
      expect([end.tensors, end.bytes]).to.deep.equal([warm.tensors, warm.bytes]);
      expect(end.systemAllocations).to.equal(warm.systemAllocations);
      for (const t of [w, x]) t.dispose();
      expect(used()).to.deep.equal(start);
    });

    it('of dropped tensors comes back when it is needed', () => {
      collect();
      native.sweep();
      const limit = tg.cuda.memoryLimit;
      try {
        tg.cuda.memoryLimit = used().bytes + (8 << 20);
        for (let i = 0; i < 64; ++i) tg.zeros([1 << 18], there);
      } finally {
        tg.cuda.memoryLimit = limit;
      }
      expect(tg.cuda.memoryLimit).to.equal(limit);
    });
  });

  describe('modules and optimizers', () => {
    class Net extends tg.nn.Module {
      hidden = new tg.nn.Linear(4, 6, { bias: false }); // the norm takes a bias away
      norm = new tg.nn.BatchNorm1d(6);
      drop = new tg.nn.Dropout(0.25);
      out = new tg.nn.Linear(6, 3);
      forward(x: Tensor): Tensor {
        return this.out.forward(
          this.drop.forward(this.norm.forward(this.hidden.forward(x)).relu()),
        );
      }
    }
    const train = (model: Net, optimizer: tg.optim.Optimizer, steps: number): number[] => {
      const { device } = model.hidden.weight;
      const [x, y] = [
        tg.tensor(
          Array.from({ length: 40 }, (_, i) => Math.sin(i)),
          { shape: [10, 4], device },
        ),
        tg.tensor(
          Int32Array.from({ length: 10 }, (_, i) => i % 3),
          { device },
        ),
      ];
      return Array.from({ length: steps }, () =>
        tg.tidy(() => {
          const loss = tg.losses.crossEntropy(model.forward(x), y);
          optimizer.zeroGrad();
          loss.backward();
          tg.clipGradNorm(model.parameters(), 0.5);
          tg.clipGradValue(model.parameters(), 0.2);
          optimizer.step();
          return loss.item();
        }),
      );
    };
    const made = (): Net => {
      tg.manualSeed(5);
      return new Net();
    };

    it('train there as here: batch norm, dropout, clipping, Adam', () => {
      const [here, moved] = [made(), made()];
      const weights = moved.hidden.weight;
      const optimizers = [here, moved].map((m) => new tg.optim.Adam(m.parameters()));
      expect(moved.to('cuda')).to.equal(moved);
      expect(moved.hidden.weight).to.equal(weights);
      for (const [, t] of [...moved.namedParameters(), ...moved.namedBuffers()])
        expect(t.device).to.equal('cuda');
      const [a, b] = [here, moved].map((m, i) => {
        tg.manualSeed(9);
        return train(m, optimizers[i]!, 8);
      });
      a!.forEach((v, i) => {
        expect(b![i]).to.be.closeTo(v, 2e-4 * Math.abs(v));
      });
      const after = Object.entries(here.stateDict());
      const state = moved.stateDict();
      for (const [name, t] of after)
        t.dataSync().forEach((v, i) => {
          expect(state[name]!.dataSync()[i], name).to.be.closeTo(v, 1e-3 * (Math.abs(v) + 0.1));
        });
    });

    it('go through files, snapshots and state dictionaries', () => {
      const model = made().to('cuda');
      const bytes = tg.io.encodeSafetensors(model);
      const { tensors } = tg.io.decodeSafetensors(bytes);
      expect(Object.values(tensors).map((t) => t.device)).to.not.include('cuda');
      tg.manualSeed(77);
      const other = new Net().to('cuda').loadStateDict(tensors);
      expect(bits(other.out.weight).equals(bits(model.out.weight))).to.equal(true);
      expect(other.out.weight.device).to.equal('cuda');
      const frozen = model.snapshot();
      expect(frozen.out.weight.device).to.equal('cuda');
      expect(bits(frozen.out.weight).equals(bits(model.out.weight))).to.equal(true);
      const optimizer = new tg.optim.Adam(model.parameters());
      train(model, optimizer, 2);
      const again = new tg.optim.Adam(model.parameters()).loadStateDict(optimizer.stateDict());
      expect(again.steps).to.equal(2);
      expect(bits(frozen.out.weight).equals(bits(model.out.weight))).to.equal(false);
    });

    it('move back, gradients too, and refuse a step whose state stayed behind', () => {
      const model = made().to('cuda');
      const optimizer = new tg.optim.Adam(model.parameters());
      train(model, optimizer, 1);
      expect(model.out.weight.grad!.device).to.equal('cuda');
      model.to('cpu');
      expect([model.out.weight.device, model.out.weight.grad!.device]).to.deep.equal([
        'cpu',
        'cpu',
      ]);
      expect(() => {
        optimizer.step();
      }).to.throw(
        TypeError,
        'adam: a parameter is on cpu, but its state is on cuda: move the model before the first step, or make a new optimizer for it',
      );
      train(model, new tg.optim.Adam(model.parameters()), 1);
    });

    it('do not run backward through what was recorded before they moved', () => {
      const model = made();
      const loss = model
        .forward(tg.ones([2, 4]))
        .square()
        .sum();
      model.to('cuda');
      expect(() => {
        loss.backward();
      }).to.throw(/was changed in place/);
    });
  });
});
