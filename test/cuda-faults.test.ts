// Operands that only their numbers make wrong, on a CUDA device: a call that has some returns, nothing waits for it,
// and the error comes with the next wait, in the CPU's words. Until then nothing that exists is written.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { losses, nn, optim, type Tensor } from 'tapegrad';
import { apply } from '#lib/apply.js';
import { OPS } from '#lib/schema.gen.js';
import { child } from './cuda/child.js';
import { emulated, needsDevice } from './cuda/device.js';

const LATER = ' (an earlier call on cuda; CUDA_LAUNCH_BLOCKING=1 has the call itself throw)';
const ints = (...values: number[]): Tensor => tg.tensor(Int32Array.from(values));

function failureOf(fn: () => unknown): Error & { code?: string } {
  try {
    fn();
  } catch (error) {
    return error as Error;
  }
  expect.fail('nothing was thrown');
}

interface Case {
  /** On operands of the device where `at` puts them. */
  run: (at: (t: Tensor) => Tensor, numbers: readonly number[]) => Tensor;
  good: readonly number[];
  bad: readonly number[];
  says: string;
}
const LOGITS = [0.5, -1, 2, 1, 0, 3, -2, 0.25, 1.5, 1, 1, 1];
const logits = (): Tensor => tg.tensor(LOGITS, { shape: [4, 3] });
const CASES: Record<string, Case> = {
  'crossEntropy of classes': {
    run: (at, classes) => losses.crossEntropy(at(logits()), at(ints(...classes))),
    good: [0, 1, 2, 0],
    bad: [0, -7, 3, 0],
    says: 'crossEntropy: target[1] is -7, but there are 3 classes',
  },
  'crossEntropy of probabilities': {
    run: (at, p) => losses.crossEntropy(at(logits()), at(tg.tensor([...p], { shape: [4, 3] }))),
    good: [1, 0, 0, 0.5, 0.5, 0, 0, 0, 1, 1, 0, 0],
    bad: [1, 0, 0, 0.5, 0.5, 0, 0, -0.25, 1, -1, 0, 0],
    says: 'crossEntropy: target[2, 1] is -0.25, no probability',
  },
  'the gradient of crossEntropy': {
    run: (at, classes) =>
      apply(OPS.crossEntropyBackward, [at(tg.ones([4])), at(logits()), at(ints(...classes))], null),
    good: [0, 1, 2, 0],
    bad: [0, 1, 2, 3],
    says: 'crossEntropy: target[3] is 3, but there are 3 classes',
  },
  'crossEntropy with ignoreIndex': {
    run: (at, classes) =>
      losses.crossEntropy(at(logits()), at(ints(...classes)), { ignoreIndex: -100 }),
    good: [0, -100, 2, -100],
    bad: [0, -100, -1, 5],
    says: 'indexSelect: index[2] is -1, but axis 0 has size 3',
  },
  indexSelect: {
    run: (at, index) => tg.indexSelect(at(logits()), at(ints(...index)), { axis: 1 }),
    good: [2, 2, 0, 1],
    bad: [2, 99, 0, -1],
    says: 'indexSelect: index[1] is 99, but axis 1 has size 3',
  },
  'indexSelect of int32': {
    run: (at, index) => tg.indexSelect(at(ints(5, 6, 7)), at(ints(...index))),
    good: [2, 0],
    bad: [0, -2147483648],
    says: 'indexSelect: index[1] is -2147483648, but axis 0 has size 3',
  },
  'indexSelect of nothing': {
    run: (at, index) => tg.indexSelect(at(tg.zeros([3, 0])), at(ints(...index))),
    good: [2, 0],
    bad: [0, 3],
    says: 'indexSelect: index[1] is 3, but axis 0 has size 3',
  },
  indexAdd: {
    run: (at, index) => apply(OPS.indexAdd, [at(logits()), at(ints(...index))], [0, 5]),
    good: [4, 4, 0, 1],
    bad: [4, 5, 0, 5],
    says: 'indexAdd: index[1] is 5, but axis 0 has size 5',
  },
};
const here = (t: Tensor): Tensor => t;
const there = (t: Tensor): Tensor => t.to('cuda');
const counts = (): number[] => {
  const { tensors, bytes } = tg.memory({ device: 'cuda' });
  return [tensors, bytes];
};
/** Something wrong that nobody has heard of. */
const fault = (row = 9): void => {
  tg.tidy(() => void tg.indexSelect(there(tg.ones([4, 2])), there(ints(0, row))));
};
const SAYS = 'indexSelect: index[1] is 9, but axis 0 has size 4';

describe('operands wrong by their numbers, on CUDA', function () {
  this.timeout(600_000);
  before(function () {
    needsDevice(this);
  });
  afterEach(() => {
    tg.cuda.synchronize(); // nothing is left to be told
  });

  for (const [name, { run, good, bad, says }] of Object.entries(CASES))
    it(`${name}: told at the next wait, once`, () => {
      tg.cuda.synchronize();
      const before = counts();
      tg.tidy(() => {
        const result = run(there, bad);
        const other = there(tg.ones([1]));
        const failure = failureOf(() => other.item());
        expect(failure).to.be.instanceOf(RangeError).with.property('code', 'TG_RANGE');
        expect(failure.message).to.equal(says + LATER);
        if (!name.includes('ignoreIndex'))
          expect(failureOf(() => run(here, bad)).message).to.equal(says);
        result.dataSync(); // it is cleared
        const [want, got] = [run(here, good).dataSync(), run(there, good).dataSync()];
        for (const [i, w] of want.entries()) expect(got[i]).to.be.closeTo(w, 1e-5);
      });
      expect(counts()).to.deep.equal(before);
    });

  const x = (): Tensor => there(tg.ones([2]));
  const WAITS: Record<string, () => unknown> = {
    'item()': () => there(tg.tensor(1)).item(),
    "to('cpu')": () => x().to('cpu'),
    'cuda.synchronize()': () => {
      tg.cuda.synchronize();
    },
    'copyFrom, to the CPU': () => tg.zeros([2]).copyFrom(x()),
    "Module.to('cpu')": () => new nn.Linear(2, 2).to('cuda').to('cpu'),
    clipGradNorm: () => {
      const w = tg.ones([2], { requiresGrad: true, device: 'cuda' });
      w.grad = x();
      tg.clipGradNorm([w], 1);
    },
    'a compiled step': () => tg.compile((t: Tensor) => t.add(1)).runSync(x()),
  };
  for (const [name, wait] of Object.entries(WAITS))
    it(`told by ${name}`, () => {
      tg.tidy(() => {
        fault();
        expect(failureOf(wait).message).to.equal(SAYS + LATER);
        wait();
      });
    });

  it('told by await data() that was called afterwards, and by the first one only', async () => {
    const t = x();
    const early = t.data();
    fault();
    const [late, last] = [t.data(), t.data()];
    expect([...(await early)]).to.deep.equal([1, 1]);
    expect(
      await late.then(
        () => '',
        (e: unknown) => (e as Error).message,
      ),
    ).to.equal(SAYS + LATER);
    expect([...(await last)]).to.deep.equal([1, 1]);
    fault(7);
    const after = t.data();
    expect(() => t.dataSync()).to.throw(RangeError, 'index[1] is 7');
    expect([...(await after)]).to.deep.equal([1, 1]);
    expect([...(await t.data())]).to.deep.equal([1, 1]);
  });

  it('the first in program order, and then none', () => {
    for (const [a, b] of [
      [9, 5],
      [5, 9],
    ] as const) {
      fault(1);
      fault(a);
      fault(b);
      expect(() => {
        tg.cuda.synchronize();
      }).to.throw(RangeError, `index[1] is ${a}, but`);
      tg.cuda.synchronize();
    }
  });

  it('told though nobody waits, when thousands of calls were made', () => {
    fault();
    const failure = failureOf(() => {
      for (let i = 0; i < 3000; ++i) fault(1);
    });
    expect(failure.message).to.equal(SAYS + LATER);
    for (let i = 0; i < 3000; ++i) fault(1);
    fault(8);
    expect(() => {
      tg.cuda.synchronize();
    }).to.throw(RangeError, 'index[1] is 8, but');
  });

  it('keep parameters, statistics and averages as they were, until it is told', () => {
    const train = (batches: readonly (readonly number[])[]) => {
      tg.manualSeed(3);
      const model = new nn.Sequential(new nn.BatchNorm1d(3), new nn.Linear(3, 3)).to('cuda');
      const optimizer = new optim.Adam(model.parameters(), { learningRate: 0.1 });
      const average = there(tg.zeros([3, 3]));
      const step = (classes: readonly number[]): void => {
        tg.tidy(() => {
          optimizer.zeroGrad();
          losses.crossEntropy(there(logits()), there(ints(...classes)));
          losses.crossEntropy(model.forward(there(logits())), there(ints(...classes))).backward();
          optimizer.step();
          average.copyFrom(model.parameters()[0]!.add(average));
        });
      };
      for (const batch of batches) step(batch);
      const state = (): number[][] =>
        [...Object.values(model.stateDict()), average].map((t) => [...t.dataSync()]);
      return { step, state };
    };
    const good = [0, 1, 2, 0];
    const expected = train([good]).state();
    const { step, state } = train([good, [0, 1, 2, 3], good, good]);
    expect(state).to.throw(RangeError, 'target[3] is 3, but there are 3 classes');
    expect(state()).to.deep.equal(expected);
    step(good);
    expect(state()).not.to.deep.equal(expected);
    for (const n of state().flat()) expect(n).to.be.finite;
  });

  describe('compiled', () => {
    const build = (device: tg.Device) => {
      tg.manualSeed(4);
      const model = new nn.Sequential(new nn.BatchNorm1d(3), new nn.Linear(3, 3)).to(device);
      const optimizer = new optim.Adam(model.parameters(), { learningRate: 0.1 });
      const step = tg.compile(
        (a: Tensor, classes: Tensor, rows: Tensor) => {
          const scores = model.forward(a);
          const loss = losses.crossEntropy(tg.indexSelect(scores, rows), classes);
          optimizer.minimize(loss);
          return loss;
        },
        { device },
      );
      // Batch norm's statistics are written before the loss is known: 'ignore' keeps no copy of them.
      const state = (all = true): number[][] =>
        Object.entries(model.stateDict())
          .filter(([name]) => all || !/running|num/.test(name))
          .map(([, t]) => [...t.dataSync()]);
      return { step, state };
    };
    const good = (): [Tensor, Tensor, Tensor] => [logits(), ints(0, 1, 2, 0), ints(3, 2, 1, 0)];

    for (const onNaN of ['ignore', 'throw', 'skip'] as const)
      it(`with onNaN '${onNaN}': the CPU's error, and nothing has changed`, async () => {
        const { step, state } = build('cuda');
        const cpu = build('cpu');
        for (const each of [step, cpu.step]) each.runSync(...good());
        const kept = state(onNaN !== 'ignore');
        for (const [classes, rows, says] of [
          [[0, 3, -1, 0], [0, 1, 2, 3], 'crossEntropy: target[1] is 3, but there are 3 classes'],
          [[0, 1, 2, 0], [3, 2, 1, 4], 'indexSelect: index[3] is 4, but axis 0 has size 4'],
          // Two of them: what comes first in the program.
          [[0, 3, 2, 0], [3, 2, -1, 0], 'indexSelect: index[2] is -1, but axis 0 has size 4'],
        ] as const) {
          const bad = (): [Tensor, Tensor, Tensor] => [logits(), ints(...classes), ints(...rows)];
          for (const each of [step, cpu.step]) {
            const failure = failureOf(() => each.runSync(...bad(), { onNaN }));
            expect(failure.message).to.equal(says);
            expect(failure.code).to.equal('TG_RANGE');
          }
          const rejected = await step(...bad(), { onNaN }).then(
            () => null,
            (e: unknown) => e as Error,
          );
          expect(rejected?.message).to.equal(says);
          expect(state(onNaN !== 'ignore')).to.deep.equal(kept);
          for (const n of state().flat()) expect(n).to.be.finite;
        }
        expect(step.runSync(...good()).item()).to.be.finite;
        expect(state(onNaN !== 'ignore')).not.to.deep.equal(kept);
      });

    it('in the middle of an epoch: the steps before it count', async () => {
      const { step, state } = build('cuda');
      const rows = ints(0, 1, 2, 3);
      const batches = (n: number, bad: number) =>
        Array.from(
          { length: n },
          (_, k) => [logits(), ints(0, 1, 2, k === bad ? 7 : 0), rows] as [Tensor, Tensor, Tensor],
        );
      const failure = await step.train(batches(5, 2), { epochs: 1 }).finished.then(
        () => null,
        (e: unknown) => e as Error,
      );
      expect(failure?.message).to.equal('crossEntropy: target[3] is 7, but there are 3 classes');
      const after = build('cuda');
      await after.step.train(batches(2, -1), { epochs: 1 }).finished;
      expect(state()).to.deep.equal(after.state());
    });

    it('in what is computed once: when it is compiled', () => {
      const [table, index] = [there(logits()), there(ints(1, 4))];
      const step = tg.compile((a: Tensor) => a.add(tg.indexSelect(table, index)));
      for (let i = 0; i < 2; ++i)
        expect(() => step.runSync(there(tg.ones([2, 3]))))
          .to.throw('indexSelect: index[1] is 4, but axis 0 has size 4')
          .with.property('code', 'TG_RANGE');
    });
  });

  describe('in processes of their own', () => {
    before(function () {
      if (!emulated) this.skip();
    });

    it('no wait in a training step', () => {
      const { failures, value, read } = child('waits', {}) as {
        failures: unknown[];
        value: number;
        read: { code: string } | null;
      };
      expect(failures).to.deep.equal([null, null]);
      expect(value).to.be.finite;
      expect(read?.code, 'a wait that is found').to.equal('TG_DEVICE');
    });

    it('thrown by the call itself where launches wait', () => {
      const { failure, tensors, synchronized } = child('blocking', {
        CUDA_LAUNCH_BLOCKING: '1',
      }) as { failure: Error; tensors: number; synchronized: unknown };
      expect(failure.name).to.equal('RangeError');
      expect(failure.message).to.equal('crossEntropy: target[1] is 7, but there are 3 classes');
      expect(tensors).to.equal(2);
      expect(synchronized).to.equal(null);
    });

    it('a record for each thread', () => {
      const { theirs, ours, after } = child('threads', {}) as {
        theirs: (Error | null)[];
        ours: Error;
        after: unknown;
      };
      expect(theirs.map((e) => e?.message)).to.deep.equal([
        undefined,
        `indexSelect: index[0] is -3, but axis 0 has size 4${LATER}`,
        undefined,
      ]);
      expect(ours.message).to.equal(`indexSelect: index[0] is 5, but axis 0 has size 4${LATER}`);
      expect(after).to.equal(null);
    });

    it('threads and processes that end with faults under way', () => {
      child('endings', { TAPEGRAD_EMULATION_GUARD: '1' });
    });
  });
});
