// model.snapshot(): a frozen copy, all of whose tensors are of the same step, however hard a program trains the model.
import { expect } from 'chai';
import { setImmediate } from 'node:timers/promises';
import * as tg from 'tapegrad';
import { losses, nn, optim } from 'tapegrad';
import { makeData, Net } from './workers/fit-setup.js';
import { collect } from './collect.js';

/** Parameters of different sizes, of which each step adds 1 to every element. */
class Counter extends nn.Module {
  readonly parts = [300_000, 1, 4000, 77, 100_000].map((n) => {
    const t = tg.zeros([n]);
    t.requiresGrad = true;
    return t;
  });
  forward(x: tg.Tensor): tg.Tensor {
    return this.parts.reduce((sum, p) => sum.add(p.sum()), x.sum());
  }
}

/** What fn returns, made inside a tidy that does not know of it. */
function madeInTidy<T>(fn: () => T): T {
  const made: T[] = [];
  tg.tidy(() => {
    made.push(fn());
  });
  return made[0]!;
}

describe('snapshot', function () {
  this.timeout(600_000);

  it('has all tensors of one step while a program trains', async () => {
    const model = new Counter();
    const optimizer = new optim.SGD(model.parameters(), { learningRate: 1 });
    const step = tg.compile((x: tg.Tensor) => {
      const loss = model.forward(x).neg();
      optimizer.minimize(loss);
      return loss;
    });
    const stop = new AbortController();
    const run = step.train([tg.zeros([64, 1])], { epochs: 1e9, batchSize: 1, signal: stop.signal });
    const seen: number[] = [];
    for (let k = 0; k < 60; ++k) {
      await setImmediate();
      using frozen = model.snapshot();
      const values = new Set<number>();
      for (const t of frozen.parts) {
        const data = t.dataSync();
        for (const at of [0, data.length >> 1, data.length - 1]) values.add(data[at]!);
      }
      expect([...values].length, [...values].join()).to.equal(1);
      seen.push([...values][0]!);
      const again = frozen.parts[0]!.dataSync()[0];
      expect(again, 'later steps change nothing').to.equal(seen.at(-1));
    }
    stop.abort();
    await run.finished.catch(() => undefined);
    expect(seen).to.deep.equal([...seen].sort((a, b) => a - b));
    expect(new Set(seen).size, 'snapshots of different steps').to.be.greaterThan(5);
    step.dispose();
  });

  it('reads one by one would not: the test can fail', async () => {
    const model = new Counter();
    const optimizer = new optim.SGD(model.parameters(), { learningRate: 1 });
    const step = tg.compile((x: tg.Tensor) => {
      const loss = model.forward(x).neg();
      optimizer.minimize(loss);
      return loss;
    });
    const run = step.train([tg.zeros([64, 1])], { epochs: 1e9, batchSize: 1 });
    let torn = 0;
    for (let k = 0; k < 200 && torn === 0; ++k) {
      await setImmediate();
      const values = model.parts.map((p) => p.dataSync()[0]);
      if (new Set(values).size > 1) ++torn;
    }
    run.abort();
    await run.finished.catch(() => undefined);
    expect(torn).to.equal(1);
    step.dispose();
  });

  it('serves as the model in evaluation mode does, and stays as it is', async () => {
    tg.manualSeed(1);
    const model = new Net();
    const { x, y } = makeData();
    const optimizer = new optim.Adam(model.parameters());
    const answer = (m: Net) => tg.tidy(() => tg.noGrad(() => [...m.forward(x).dataSync()]));
    const frozen = model.snapshot();
    expect(frozen).to.be.instanceOf(Net);
    expect(frozen.training).to.equal(false);
    expect(model.training).to.equal(true);
    expect(frozen.parameters()).to.deep.equal([]);
    expect(
      frozen
        .namedBuffers()
        .map(([name]) => name)
        .sort(),
    ).to.deep.equal(Object.keys(model.stateDict()).sort());
    const before = answer(frozen);
    expect(before).to.deep.equal(answer(model.eval()));
    model.train();
    await tg.fit(model, { data: { x, y }, loss: losses.crossEntropy, optimizer, epochs: 2 })
      .finished;
    expect(answer(frozen)).to.deep.equal(before);
    expect(answer(model.eval())).to.not.deep.equal(before);
    expect(tg.noGrad(() => frozen.forward(x)).requiresGrad).to.equal(false);
    frozen.dispose();
    expect(() => frozen.forward(x)).to.throw(/disposed/);
    expect(answer(model).length).to.equal(before.length);
  });

  it('keeps what is shared shared, and survives a tidy', () => {
    class Tied extends nn.Module {
      readonly first = new nn.Linear(3, 3);
      readonly again = this.first;
      readonly weight = this.first.weight;
      readonly scale = { by: 2 };
      forward(x: tg.Tensor): tg.Tensor {
        return this.again.forward(this.first.forward(x)).mul(this.scale.by);
      }
    }
    const model = new Tied();
    collect();
    const bytes = tg.memory().tensors;
    const frozen = madeInTidy(() => model.snapshot());
    expect(frozen.again).to.equal(frozen.first);
    expect(frozen.weight).to.equal(frozen.first.weight);
    expect(frozen.weight).to.not.equal(model.weight);
    expect(frozen.scale).to.equal(model.scale);
    expect(tg.memory().tensors - bytes).to.equal(2);
    const answer = (m: Tied) => tg.tidy(() => m.forward(tg.ones([1, 3])).toArray());
    expect(answer(frozen)).to.deep.equal(answer(model));
    frozen.dispose();
    expect(tg.memory().tensors - bytes).to.equal(0);
  });

  it('says what is wrong', () => {
    const model = new nn.Linear(2, 2);
    collect();
    const before = tg.memory().tensors;
    model.bias!.dispose();
    expect(() => model.snapshot()).to.throw(/disposed/);
    expect(tg.memory().tensors).to.equal(before - 1);
    const other = new nn.Linear(2, 2);
    const fn = tg.compile((x: tg.Tensor) => other.snapshot().forward(x));
    expect(() => fn.runSync(tg.ones([1, 2]))).to.throw(/not possible inside a function/);
  });
});
