// The training loop: forward, backward, step, for one batch after the other.
import { setImmediate } from 'node:timers/promises';
import * as tg from 'tapegrad';
import { type Examples, select } from './data.js';
import type { Classifier } from './model.js';

export interface TrainingOptions {
  loss: (logits: tg.Tensor, target: tg.Tensor) => tg.Tensor;
  optimizer: tg.optim.Optimizer;
  batchSize: number;
  onBatch: (examplesDone: number, loss: number) => void;
}

/** Goes once through the set, in a new random order. Returns the examples trained on per second. */
export async function trainEpoch(
  model: Classifier,
  set: Examples,
  options: TrainingOptions,
): Promise<number> {
  const { loss, optimizer, batchSize, onBatch } = options;
  const started = performance.now();
  const order = tg.permutation(set.count);
  for (let at = 0; at < set.count; at += batchSize) {
    const batch = select(set, order.subarray(at, at + batchSize));
    const value = tg.tidy(() => {
      const x = tg.tensor(batch.x, { shape: [batch.count, batch.features] });
      const y = tg.tensor(batch.y);
      const error = loss(model.forward(x), y);
      optimizer.zeroGrad();
      error.backward();
      optimizer.step();
      return error.item();
    });
    onBatch(at + batch.count, value);
    await setImmediate(); // lets Ctrl-C, timers and, in a server, requests through
  }
  return set.count / ((performance.now() - started) / 1000);
}
