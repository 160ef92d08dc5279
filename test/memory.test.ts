// Who owns memory and when it goes: tidy, dispose, views, the tape, the collector, the budget. What needs a
// process of its own (peaks, --expose-gc) runs in workers/memory.js. Counts are exact unless they say ≤.
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';
import { setup, step, train } from './workers/train.js';
import { collect } from './collect.js';

const PROGRAM = fileURLToPath(new URL('./workers/memory.js', import.meta.url));
const MiB = 1 << 20;
/** Sanitizers hold freed memory back, so that only the package's own counts are judged there. */
const sanitized = process.env['ASAN_OPTIONS'] !== undefined;

function child(mode: string, count: number, ...flags: string[]): Record<string, number> {
  const args = [...flags, PROGRAM, mode, String(count)];
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
  });
  expect({ status, signal, stderr }).to.deep.equal({ status: 0, signal: null, stderr: '' });
  return JSON.parse(stdout) as Record<string, number>;
}

let start: tg.MemoryInfo;
const grown = (): { tensors: number; bytes: number } => {
  const now = tg.memory();
  return { tensors: now.tensors - start.tensors, bytes: now.bytes - start.bytes };
};
/** Since then, by all threads of this process: on a machine that is busy, wall time says little. */
const processorMs = (since: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e3;
};
const NOTHING = { tensors: 0, bytes: 0 };

function failure(fn: () => unknown): { code?: string; message: string } {
  try {
    fn();
  } catch (error) {
    return error as { code?: string; message: string };
  }
  throw new Error('nothing was thrown');
}

describe('memory', function () {
  this.timeout(600_000);
  beforeEach(() => {
    collect();
    start = tg.memory();
  });

  describe('tidy', () => {
    it('frees what was made, and memory() is what it was', () => {
      tg.tidy(() => {
        tg.ones([100]).add(1).exp().reshape([10, 10]).sum();
        expect(grown().tensors).to.equal(5);
      });
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('keeps what is returned, also in arrays, objects, maps and cycles', () => {
      const made: tg.Tensor[] = [];
      const result = tg.tidy(() => {
        const [a, b, c, d] = [1, 2, 3, 4].map((v) => tg.full([4], v)) as [
          tg.Tensor,
          tg.Tensor,
          tg.Tensor,
          tg.Tensor,
        ];
        a.add(b);
        made.push(a, b, c, d);
        const cycle: Record<string, unknown> = {
          list: [a, { b }],
          map: new Map([['c', c]]),
          set: new Set([d]),
        };
        cycle['self'] = cycle;
        return cycle;
      });
      expect(grown().tensors).to.equal(4);
      expect(Object.keys(result)).to.deep.equal(['list', 'map', 'set', 'self']);
      expect(made.map((t) => t.dataSync()[0])).to.deep.equal([1, 2, 3, 4]);
      for (const t of made) t.dispose();
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('hands what an inner tidy returns to the outer one', () => {
      tg.tidy(() => {
        const inner = tg.tidy(() => tg.ones([3]).mul(2));
        expect(grown().tensors).to.equal(1);
        expect(inner.toArray()).to.deep.equal([2, 2, 2]);
      });
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('frees everything when the function throws, the inner one too', () => {
      const error = new Error('mine');
      const thrown = failure(() =>
        tg.tidy(() => {
          tg.ones([3]);
          tg.tidy(() => {
            tg.ones([3]).exp();
            throw error;
          });
        }),
      );
      expect(thrown).to.equal(error);
      expect(grown()).to.deep.equal(NOTHING);
      // The scope is left: what is made now belongs to nobody.
      const after = tg.ones([1]);
      expect(after.isDisposed).to.equal(false);
      after.dispose();
    });

    it('frees everything when a getter of the result throws', () => {
      const thrown = failure(() =>
        tg.tidy(() => {
          tg.ones([3]);
          return {
            get mine(): never {
              throw new RangeError('a getter');
            },
          };
        }),
      );
      expect(thrown.message).to.equal('a getter');
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('refuses async functions, frees what they made, and leaves no unhandled rejection', async () => {
      const unhandled: unknown[] = [];
      const note = (e: unknown): void => void unhandled.push(e);
      process.on('unhandledRejection', note);
      const thrown = failure(() =>
        tg.tidy(async () => {
          const t = tg.ones([3]);
          await Promise.resolve();
          t.exp(); // gone by now
        }),
      );
      expect(thrown).to.be.instanceOf(TypeError);
      expect(thrown.message).to.equal(
        'tidy: the function must not be async: what it makes after an await would escape',
      );
      await new Promise(setImmediate);
      process.off('unhandledRejection', note);
      expect(unhandled).to.deep.equal([]);
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('returns large typed arrays without looking at their elements', () => {
      const begin = process.cpuUsage();
      const data = tg.tidy(() => tg.ones([4 * MiB]).dataSync());
      expect(data.length).to.equal(4 * MiB);
      expect(processorMs(begin)).to.be.below(1000);
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('spares what keep() was given', () => {
      const kept = tg.tidy(() => [tg.keep(tg.ones([2]))])[0]!;
      let inside: tg.Tensor | undefined;
      tg.tidy(() => {
        inside = tg.keep(tg.ones([2]));
      });
      expect([kept.isDisposed, inside!.isDisposed]).to.deep.equal([false, false]);
      kept.dispose();
      inside!.dispose();
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('frees a graph that was recorded and never walked', () => {
      tg.tidy(() => {
        const w = tg.randn([8, 8], { requiresGrad: true });
        tg.matmul(w, w).tanh().softmax().sum();
      });
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('around the forward pass, with the loss returned: backward has all it needs', () => {
      const w = tg.tensor([1, 2, 3], { requiresGrad: true });
      const loss = tg.tidy(() => w.square().mul(2).exp().log().sum());
      loss.backward();
      (w.grad!.toArray() as number[]).forEach((g, i) => expect(g).to.be.closeTo(4 * (i + 1), 1e-4));
      for (const t of [loss, w.grad!, w]) t.dispose();
      expect(grown()).to.deep.equal(NOTHING);
    });
  });

  describe('dispose', () => {
    it('frees at once; a second time does nothing', () => {
      const t = tg.ones([1000]);
      expect(grown().bytes).to.be.at.least(4000);
      t.dispose();
      t.dispose();
      t[Symbol.dispose]();
      expect(t.isDisposed).to.equal(true);
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('works through using', () => {
      {
        using t = tg.ones([10]);
        expect(t.size).to.equal(10);
        expect(grown().tensors).to.equal(1);
      }
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('of a tensor leaves its views alive: they share the memory', () => {
      const x = tg.arange(0, 1000, 1, { dtype: 'float32' });
      const { bytes } = grown();
      const views = [x.reshape([10, 100]), x.slice({ axis: 0, start: 500 })];
      expect(grown()).to.deep.equal({ tensors: 3, bytes });
      x.dispose();
      expect(grown()).to.deep.equal({ tensors: 2, bytes });
      expect(views[1]!.dataSync()[0]).to.equal(500);
      views[0]!.dispose();
      expect(views[1]!.dataSync()[499]).to.equal(999);
      views[1]!.dispose();
      expect(grown()).to.deep.equal(NOTHING);
    });
  });

  describe('the tape', () => {
    it('backward frees the intermediate results: exact counts for a step of an MLP', () => {
      const s = setup(1);
      s.optimizer.zeroGrad();
      const ready = tg.memory().tensors;
      const prediction = s.model.forward(s.x);
      // h = linear(x); relu(h), h itself held for relu's gradient or freed; linear again.
      const loss = tg.losses.crossEntropy(prediction, s.y);
      loss.backward();
      // Loss, prediction, and four gradients; nothing else.
      expect(tg.memory().tensors - ready).to.equal(2 + 4);
      expect(prediction.isDisposed).to.equal(false);
      expect(prediction.shape).to.deep.equal([24, 4]);
      expect(prediction.dataSync().every(Number.isFinite)).to.equal(true);
      s.optimizer.step();
      // Adam's two states for each of four parameters.
      expect(tg.memory().tensors - ready).to.equal(2 + 4 + 8);
      s.optimizer.zeroGrad();
      expect(tg.memory().tensors - ready).to.equal(2 + 8);
      for (const t of [loss, prediction, s.optimizer, s.model, s.x, s.y]) t.dispose();
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('retainGraph keeps them, and the next backward frees them', () => {
      const w = tg.tensor([1, 2], { requiresGrad: true });
      const loss = w.exp().square().sum();
      loss.backward({ retainGraph: true });
      const first = w.grad!.toArray() as number[];
      expect(grown().tensors).to.equal(1 + 1 + 1 + 2);
      loss.backward();
      expect(grown().tensors).to.equal(1 + 1 + 1);
      (w.grad!.toArray() as number[]).forEach((g, i) =>
        expect(g).to.be.closeTo(2 * first[i]!, 1e-4),
      );
      for (const t of [loss, w.grad!, w]) t.dispose();
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('a second backward says TG_GRAPH, a change in place TG_MODIFIED', () =>
      tg.tidy(() => {
        const w = tg.tensor([1, 2], { requiresGrad: true });
        const loss = w.square().sum();
        loss.backward();
        expect(failure(() => loss.backward())).to.include({ code: 'TG_GRAPH' });
        const next = w.square().sum();
        w.copyFrom(tg.zeros([2]));
        const error = failure(() => next.backward());
        expect(error.code).to.equal('TG_MODIFIED');
        expect(error.message).to.match(/^backward: a tensor of shape \[2\] that square needs/);
        w.grad?.dispose();
      }));

    it('a failing backward leaves nothing behind', () => {
      const s = tg.tidy(() => {
        const w = tg.tensor([1, 2], { requiresGrad: true });
        const loss = w.square().exp().mul(3).sum();
        w.copyFrom(tg.zeros([2]));
        expect(failure(() => loss.backward()).code).to.equal('TG_MODIFIED');
        expect(w.grad).to.equal(null);
        return 1;
      });
      expect(s).to.equal(1);
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('an intermediate result disposed of before backward: the gradient is right all the same', () => {
      const w = tg.tensor([0.5, -1], { requiresGrad: true });
      const e = w.exp(); // its gradient reads the result
      const q = e.square(); // and this one's the operand
      const loss = q.sum();
      e.dispose();
      q.dispose();
      expect([e.isDisposed, q.isDisposed]).to.deep.equal([true, true]);
      expect(failure(() => e.add(1)).code).to.equal('TG_DISPOSED');
      loss.backward();
      (w.grad!.toArray() as number[]).forEach((g, i) =>
        expect(g).to.be.closeTo(2 * Math.exp(2 * [0.5, -1][i]!), 1e-5),
      );
      for (const t of [loss, w.grad!, w]) t.dispose();
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('disposing of the end frees the whole graph, however deep', () => {
      const w = tg.ones([2], { requiresGrad: true });
      let x = w.exp();
      for (let i = 0; i < 50_000; ++i) {
        const next = x.tanh();
        x.dispose();
        x = next;
      }
      // Every result is kept for its gradient …
      expect(grown().tensors).to.equal(50_002);
      x.dispose();
      // … until nothing leads there any more.
      expect(grown().tensors).to.equal(1);
      w.dispose();
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('two ends share a graph: one disposed of leaves the other its part', () =>
      tg.tidy(() => {
        const w = tg.tensor([3], { requiresGrad: true });
        const shared = w.exp();
        const [a, b] = [shared.square().sum(), shared.mul(2).sum()];
        a.dispose();
        shared.dispose();
        b.backward();
        expect(w.grad!.item()).to.be.closeTo(2 * Math.exp(3), 1e-4);
        w.grad!.dispose();
      }));

    it('gradients with createGraph: dispose of what came out, and all is gone', () => {
      tg.tidy(() => {
        const w = tg.tensor([0.5], { requiresGrad: true });
        const [g] = tg.gradients(w.exp().mul(w).sum(), [w], { createGraph: true });
        const [h] = tg.gradients(g!.sum(), [w]);
        expect(h!.item()).to.be.closeTo((2 + 0.5) * Math.exp(0.5), 1e-5);
      });
      expect(grown()).to.deep.equal(NOTHING);
    });
  });

  describe('training', () => {
    it('that disposes of its loss allocates nothing from the system after a warm-up', () => {
      const s = setup(2);
      const once = (): void => {
        tg.tidy(() => void step(s));
      };
      for (let i = 0; i < 20; ++i) once();
      const warm = tg.memory();
      for (let i = 0; i < 500; ++i) once();
      const now = tg.memory();
      expect(now.systemAllocations).to.equal(warm.systemAllocations);
      expect([now.tensors, now.bytes]).to.deep.equal([warm.tensors, warm.bytes]);
      s.optimizer.zeroGrad();
      for (const t of [s.optimizer, s.model, s.x, s.y]) t.dispose();
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('a whole run returns to where it started', () => {
      const losses = tg.tidy(() => train(3, 10));
      expect(losses.length).to.equal(10);
      expect(grown()).to.deep.equal(NOTHING);
    });

    it('2,000 steps that dispose of nothing stay within 5,000 tensors and 4 MiB', () => {
      const { seen } = child('train', 2000) as unknown as { seen: tg.MemoryInfo[] };
      expect(seen.length).to.equal(20);
      expect(Math.max(...seen.map((m) => m.tensors))).to.be.at.most(5000);
      expect(Math.max(...seen.map((m) => m.peakBytes))).to.be.at.most(4 * MiB);
      // Blocks come from the pool: far fewer than one of the system's per step.
      expect(seen.at(-1)!.systemAllocations).to.be.at.most(5000);
    });
  });

  describe('the collector', () => {
    it('100,000 small tensors dropped in a synchronous loop: at most 20,000 at any time, 32 MiB', () => {
      const { most, resident } = child('drop', 50_000); // two in each turn
      expect(most).to.be.at.most(20_000);
      if (!sanitized) expect(resident).to.be.at.most(32 * MiB);
    });

    it('10,000 tensors of 1 MiB dropped: the peak is at most 256 MiB', () => {
      const { peakBytes, resident } = child('drop-large', 10_000);
      expect(peakBytes).to.be.at.most(256 * MiB);
      if (!sanitized) expect(resident).to.be.at.most(176 * MiB);
    });

    it('frees what it took when the event loop turns', () => {
      const { made, left, bytes } = child('event-loop', 1000, '--expose-gc');
      expect(made).to.equal(1000);
      expect({ left, bytes }).to.deep.equal({ left: 0, bytes: 0 });
    });
  });

  describe('the budget', () => {
    const before = tg.memory.limit;
    afterEach(() => {
      tg.memory.limit = before;
    });

    it('over the limit: TG_OUT_OF_MEMORY, and the process goes on', () => {
      tg.memory.limit = tg.memory().bytes + 8 * MiB;
      const error = failure(() => tg.ones([4 * MiB]));
      expect(error.code).to.equal('TG_OUT_OF_MEMORY');
      expect(error.message).to.match(
        /^full: 16777216 more bytes are needed, \d+ are in use and the limit is \d+: dispose/,
      );
      const t = tg.ones([MiB]);
      expect(t.sum().item()).to.equal(MiB);
      // In the middle of a backward pass, too.
      const w = tg.ones([MiB / 4], { requiresGrad: true });
      const loss = tg.tidy(() => w.exp().sum());
      tg.memory.limit = 6 * MiB + 65_536; // t, w, its exponential; but no MiB for a gradient
      expect(failure(() => loss.backward()).code).to.equal('TG_OUT_OF_MEMORY');
      expect(w.grad).to.equal(null);
      for (const x of [t, w, loss]) x.dispose();
    });

    it('collects garbage before it refuses', () => {
      const { sum, size, peakBytes } = child('garbage', 64);
      expect({ sum, size }).to.deep.equal({ sum: 2 * MiB, size: 12 * MiB });
      expect(peakBytes).to.be.at.most(64 * MiB);
    });

    it('a terabyte, and 2⁵⁰ elements, are refused at once', () => {
      const begin = process.cpuUsage();
      tg.memory.limit = 2 ** 36;
      for (const shape of [
        [2 ** 38],
        [2 ** 20, 2 ** 18],
        [2 ** 50],
        [2 ** 25, 2 ** 25],
        [2 ** 52, 0],
      ]) {
        const error = failure(() => tg.zeros(shape));
        expect(
          error instanceof RangeError || error.code === 'TG_OUT_OF_MEMORY',
          error.message,
        ).to.equal(true);
        expect(error.message).to.match(/^(zeros|full): /);
      }
      const view = tg.ones([1]).broadcastTo([2 ** 40]);
      expect(failure(() => view.dataSync())).to.include({ code: 'TG_OUT_OF_MEMORY' });
      expect(failure(() => view.add(1))).to.include({ code: 'TG_OUT_OF_MEMORY' });
      view.dispose();
      expect(processorMs(begin)).to.be.below(1000);
    });
  });
});
