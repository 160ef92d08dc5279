// Parameters in memory that several threads train at once: that it converges, that all of them write, and that the
// memory lives exactly as long as somebody uses it.
import { expect } from 'chai';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import * as tg from 'tapegrad';
import { logistic, loadRows, type Rows } from './workers/logistic.js';
import { collect } from './collect.js';

const FILE = fileURLToPath(new URL('../../test/data/breast_cancer.csv', import.meta.url));
const PROGRAM = new URL('./workers/hogwild.js', import.meta.url);

class Trainer {
  private constructor(readonly worker: Worker) {}
  static async start(token: tg.SharedToken, seed: number): Promise<Trainer> {
    const worker = new Worker(PROGRAM, { workerData: { token, seed, file: FILE } });
    const trainer = new Trainer(worker);
    expect(await trainer.answer()).to.equal('ready');
    return trainer;
  }
  private async answer(): Promise<unknown> {
    const [message] = (await once(this.worker, 'message')) as [unknown]; // rejects on 'error'
    return message;
  }
  ask(what: string, more: object = {}): Promise<unknown> {
    const answered = this.answer();
    this.worker.postMessage({ what, ...more });
    return answered;
  }
  async end(): Promise<void> {
    const exit = once(this.worker, 'exit');
    this.worker.postMessage({ what: 'end' });
    expect(await exit).to.deep.equal([0]);
  }
}

const elements = (model: tg.nn.Module): number[] =>
  model.parameters().flatMap((p) => [...p.dataSync()]);
const zeroed = (rows: Rows): tg.nn.Linear => {
  const model = new tg.nn.Linear(rows.x.shape[1]!, 1, { dtype: 'float64' });
  for (const p of model.parameters()) p.copyFrom(tg.zerosLike(p));
  return model;
};
const lossOf = (model: tg.nn.Linear, rows: Rows): number =>
  tg.noGrad(() => tg.tidy(() => logistic(model, rows).item()));

describe('Hogwild!', function () {
  this.timeout(600_000);
  const STEPS = 1500;
  const RATES = [0.3, 0.1, 0.03, 0.01];

  it('two workers reach the sequential loss on breast_cancer within 2 %, and both write', async () => {
    const rows = loadRows(FILE);
    const sequential = zeroed(rows);
    tg.manualSeed(1);
    const optimizer = new tg.optim.SGD(sequential.parameters());
    for (const learningRate of RATES) {
      optimizer.learningRate = learningRate;
      for (let t = 0; t < STEPS; ++t)
        tg.tidy(() => {
          const at = tg.randint(0, rows.count, [8]);
          optimizer.minimize(() => logistic(sequential, rows, at));
        });
    }
    const wanted = lossOf(sequential, rows);

    const model = zeroed(rows);
    const start = lossOf(model, rows);
    const token = tg.share(model);
    const workers = [await Trainer.start(token, 11), await Trainer.start(token, 12)];
    try {
      // One writes while the other rests: this thread and the other see exactly what it wrote.
      for (const [i, trainer] of workers.entries()) {
        const before = elements(model);
        expect(await trainer.ask('steps', { steps: 5, learningRate: 0.1 })).to.equal(0);
        const after = elements(model);
        after.forEach((v, k) => expect(v).not.to.equal(before[k]));
        expect(await workers[1 - i]!.ask('read')).to.deep.equal(after);
      }
      // Both at once: each finds, again and again, that the other wrote between two of its steps.
      const foreign = [0, 0];
      for (const learningRate of RATES) {
        const order = { steps: STEPS / 2, learningRate };
        const found = await Promise.all(workers.map((w) => w.ask('steps', order)));
        found.forEach((n, i) => (foreign[i]! += n as number));
      }
      for (const n of foreign) expect(n).to.be.above(0);
      const got = lossOf(model, rows);
      expect(start).to.be.above(2 * wanted);
      expect(Math.abs(got - wanted) / wanted, `${got} for ${wanted}`).to.be.below(0.02);
    } finally {
      await Promise.all(workers.map((w) => w.end()));
    }
    model.dispose();
    sequential.dispose();
    expect(() => tg.attach(token)).to.throw('gone');
  });

  it('workers terminated in mid-step leave the memory to the others', async () => {
    const rows = loadRows(FILE);
    const model = zeroed(rows);
    const token = tg.share(model);
    const survivor = await Trainer.start(token, 3);
    for (let i = 0; i < 6; ++i) {
      const trainer = await Trainer.start(token, 20 + i);
      expect(await trainer.ask('forever', { learningRate: 0.01 })).to.equal('on');
      await new Promise((done) => setTimeout(done, 5 * i));
      await trainer.worker.terminate();
      elements(model).forEach((v) => expect(v).to.satisfy(Number.isFinite));
    }
    const before = elements(model);
    await survivor.ask('steps', { steps: 2, learningRate: 0.01 });
    expect(elements(model)).not.to.deep.equal(before);
    // The memory outlives the tensors that shared it, and ends with the last ones.
    const last = elements(model);
    model.dispose();
    expect(await survivor.ask('read')).to.deep.equal(last);
    const other = tg.attach(token);
    await survivor.worker.terminate();
    expect(Object.values(other).flatMap((t) => [...t.dataSync()])).to.deep.equal(last);
    for (const t of Object.values(other)) t.dispose();
    expect(() => tg.attach(token))
      .to.throw(/gone/)
      .with.property('code', 'TG_DISPOSED');
  });
});

describe('share and attach', () => {
  const f64 = (data: number[]): tg.Tensor => tg.tensor(data, { dtype: 'float64' });

  it('tensors over shared memory see each other’s writes; views come along', () => {
    const w = tg.tensor([1, 2, 3, 4], { shape: [2, 2], requiresGrad: true });
    const view = tg.tidy(() => w.detach().reshape([4]).slice({ axis: 0, start: 1, end: 3 }));
    const token = structuredClone(tg.share({ w }));
    const again = tg.share({ w });
    expect(again).to.deep.equal(token);
    const { w: other } = tg.attach(token);
    expect([other!.requiresGrad, other!.shape]).to.deep.equal([true, [2, 2]]);
    other!.copyFrom(tg.tensor([5, 6, 7, 8], { shape: [2, 2] }));
    expect([...w.dataSync(), ...view.dataSync()]).to.deep.equal([5, 6, 7, 8, 6, 7]);
    w.dispose();
    expect([...view.dataSync()]).to.deep.equal([6, 7]);
    const third = tg.attach(token)['w']!;
    third.dispose();
    other!.dispose();
    view.dispose();
    expect(() => tg.attach(token))
      .to.throw(/gone/)
      .with.property('code', 'TG_DISPOSED');
  });

  it('memory is counted, and comes back', () => {
    collect();
    const { bytes, tensors } = tg.memory();
    const w = tg.zeros([1000]);
    const token = tg.share({ w });
    const other = tg.attach(token)['w']!;
    expect(tg.memory().bytes - bytes).to.be.within(8000, 9000);
    w.dispose();
    other.dispose();
    expect(tg.memory().bytes).to.equal(bytes);
    expect(tg.memory().tensors).to.equal(tensors);
  });

  it('refuse what does not fit, and change nothing', () => {
    const w = f64([1, 2, 3]);
    const whole = f64([1, 2, 3, 4]);
    expect(() => tg.share({ w: whole.slice({ axis: 0, start: 1, end: 3 }) })).to.throw(
      RangeError,
      'view',
    );
    expect(() => tg.share({ w: tg.ones([2, 3]).transpose() })).to.throw(RangeError, 'view');
    expect(() => tg.share(w as never)).to.throw(TypeError, 'share');
    expect(() => tg.share({ w: 1 } as never)).to.throw(TypeError, 'share');
    const token = tg.share({ w });
    expect(() => tg.attach(token, { v: f64([1, 2, 3]) })).to.throw('v is not shared');
    expect(() => tg.attach(token, { w: f64([1]) })).to.throw('must be float64 [3]');
    expect(() => tg.attach({ tensors: {} }, { w })).to.throw('w is not shared');
    expect(() => tg.attach({} as never)).to.throw(TypeError, 'token');
    const forged = (more: object): never =>
      ({ tensors: { w: { ...token.tensors['w'], ...more } } }) as never;
    for (const id of [0, -1, 1.5, NaN, 2 ** 60, 1e6])
      expect(() => tg.attach(forged({ id })), `id ${id}`).to.throw(/id|gone/);
    expect(() => tg.attach(forged({ shape: [4] }))).to.throw(RangeError, 'shared tensor is');
    expect(() => tg.attach(forged({ dtype: 'float32' }))).to.throw(RangeError, 'shared tensor is');
    const target = f64([7, 8, 9]);
    expect(() => tg.attach(forged({ id: 1e6 }), { w: target })).to.throw('gone');
    expect([...target.dataSync()]).to.deep.equal([7, 8, 9]);
    tg.attach(token, { w: target });
    expect([...target.dataSync()]).to.deep.equal([1, 2, 3]);
  });
});
