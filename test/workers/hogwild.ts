// Worker: logistic regression on parameters that others train, too. workerData: { token, worker, seed } and a
// Float64Array on shared memory where it counts; messages say what to do next.
import { parentPort, workerData } from 'node:worker_threads';
import * as tg from 'tapegrad';
import { logistic, loadRows } from './logistic.js';

interface Job {
  readonly token: tg.SharedToken;
  readonly seed: number;
  readonly file: string;
}
interface Order {
  /** Steps to make; 'read': answer with the parameters; 'end'. */
  readonly what: 'steps' | 'read' | 'forever' | 'end';
  readonly steps?: number;
  readonly learningRate?: number;
}
const { token, seed, file } = workerData as Job;

tg.setNumThreads(1);
tg.manualSeed(seed);
const rows = loadRows(file);
const model = new tg.nn.Linear(rows.x.shape[1]!, 1, { dtype: 'float64' });
tg.attach(token, model);
const optimizer = new tg.optim.SGD(model.parameters());
const elements = (): number[] => model.parameters().flatMap((p) => [...p.dataSync()]);

/** Steps, and how many of them found that somebody else had written since the one before. */
function steps(count: number): number {
  let foreign = 0;
  let mine = elements();
  for (let i = 0; i < count; ++i) {
    const now = elements();
    if (now.some((v, k) => v !== mine[k])) ++foreign;
    tg.tidy(() => {
      const at = tg.randint(0, rows.count, [8]);
      optimizer.minimize(() => logistic(model, rows, at));
    });
    mine = elements();
  }
  return foreign;
}

parentPort!.on('message', ({ what, steps: count = 0, learningRate = 0 }: Order) => {
  optimizer.learningRate = learningRate;
  if (what === 'end') {
    parentPort!.close();
  } else if (what === 'read') {
    parentPort!.postMessage(elements());
  } else if (what === 'steps') {
    parentPort!.postMessage(steps(count));
  } else {
    parentPort!.postMessage('on');
    for (;;) steps(50); // until terminate()
  }
});
parentPort!.postMessage('ready');
