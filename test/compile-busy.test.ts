// What others may do with tensors that a program uses off the event loop: eager writes are refused, reads see the
// last finished step, and other programs wait their turn.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { optim, type Tensor } from 'tapegrad';

const N = 64;
const failure = async (work: () => unknown): Promise<Error & { code?: string }> => {
  try {
    await work();
  } catch (error) {
    return error as Error;
  }
  expect.fail('nothing was thrown');
};
/** Every element of both parameters grows by one in each step. */
function counting() {
  const [a, b] = [0, 1].map(() => tg.keep(tg.zeros([N, N], { requiresGrad: true }))) as [
    Tensor,
    Tensor,
  ];
  const optimizer = new optim.SGD([a, b], { learningRate: 1 });
  const fn = (x: Tensor): Tensor => {
    const loss = a.add(b).mul(x).sum().neg();
    optimizer.minimize(loss);
    return loss;
  };
  const step = tg.compile(fn);
  const data = tg.ones([20_000, 1]);
  const start = (signal?: AbortSignal) =>
    step.train([data], { batchSize: 1, epochs: 1, ...(signal && { signal }) });
  return { a, b, optimizer, fn, step, start };
}
/** Waits until a program has begun to write. */
async function begun(t: Tensor): Promise<void> {
  while (t.dataSync()[0] === 0) await new Promise(setImmediate);
}

describe('a program that runs', function () {
  this.timeout(30_000);

  it('lets nobody write to its parameters', async () => {
    const { a, b, optimizer, fn, start } = counting();
    const run = start();
    await begun(a);
    const other = tg.zeros([N, N]);
    a.grad = tg.keep(tg.ones([N, N]));
    const sgd = new optim.SGD([a]);
    for (const write of [
      () => a.copyFrom(other),
      () =>
        a
          .slice({ axis: 0, start: 1 })
          .detach()
          .copyFrom(tg.zeros([N - 1, N])),
      () => sgd.step(),
    ])
      expect((await failure(write)).code).to.equal('TG_BUSY');
    void [b, optimizer, fn];
    run.abort();
    await failure(() => run.finished);
    a.copyFrom(other);
    expect(a.sum().item()).to.equal(0);
  });

  it('is seen at the end of a step only', async () => {
    const { a, b, start } = counting();
    const run = start();
    await begun(a);
    let ended = false;
    run.finished.then(
      () => (ended = true),
      () => (ended = true),
    );
    let last = 0;
    let looks = 0;
    while (!ended && looks < 300) {
      const seen = a.dataSync();
      expect(new Set(seen).size, 'all elements are of one step').to.equal(1);
      expect(seen[0]).to.be.at.least(last);
      last = seen[0]!;
      const difference = a.sub(b); // one op reads both
      expect(difference.abs().max().item()).to.equal(0);
      difference.dispose();
      ++looks;
      await new Promise(setImmediate);
    }
    expect(looks).to.be.above(3);
    run.abort();
    await run.finished.catch(() => undefined);
  });

  it('is not run a second time, nor another on the same parameters', async () => {
    const { a, step, fn, start } = counting();
    const run = start();
    await begun(a);
    const x = tg.ones([1, 1]);
    const again = tg.compile(fn);
    const reader = tg.compile((y: Tensor) => a.mul(y));
    for (const work of [
      () => step.runSync(x),
      () => step(x),
      () => again.runSync(x),
      () => again(x),
      () => reader.runSync(x),
    ])
      expect((await failure(work)).code).to.equal('TG_BUSY');
    run.abort();
    await failure(() => run.finished);
    for (const each of [step, again, reader]) await each(x);
  });

  it('lets others read what it only reads', async () => {
    const w = tg.ones([3]);
    const [f, g] = [2, 3].map((k) => tg.compile((x: Tensor) => x.mul(w).mul(k).sum()));
    const x = tg.ones([3]);
    const [a, b] = await Promise.all([f!(x), g!(x)]);
    expect([a.item(), b.item()]).to.deep.equal([6, 9]);
  });

  it('is not disturbed by setNumThreads', async () => {
    const { a, start } = counting();
    const before = tg.numThreads();
    const run = start();
    await begun(a);
    try {
      for (const count of [1, 3, 2, 5, 1]) {
        try {
          tg.setNumThreads(count);
        } catch (error) {
          expect(error).to.have.property('code', 'TG_BUSY');
        }
        await new Promise(setImmediate);
      }
    } finally {
      run.abort();
      await failure(() => run.finished);
      tg.setNumThreads(before);
    }
    expect(new Set(a.dataSync()).size).to.equal(1);
  });

  it('ends at a step when it is disposed of, and its run is rejected', async () => {
    const { a, optimizer, step, start } = counting();
    const run = start();
    await begun(a);
    step.dispose();
    expect((await failure(() => run.finished)).code).to.equal('TG_DISPOSED');
    const steps = a.dataSync()[0]!;
    expect(new Set(a.dataSync())).to.deep.equal(new Set([steps]));
    expect(optimizer.steps).to.equal(steps);
    a.copyFrom(tg.zeros([N, N])); // nobody holds it
    expect((await step(tg.ones([1, 1]))).item()).to.equal(-N * N * steps);
  });

  it('keeps what it uses when a parameter is disposed of meanwhile', async () => {
    const { a, step, start } = counting();
    const run = start();
    await begun(a);
    a.dispose();
    run.abort();
    expect(await failure(() => run.finished)).to.have.property('name', 'AbortError');
    expect((await failure(() => step(tg.ones([1, 1])))).code).to.equal('TG_DISPOSED');
  });
});
