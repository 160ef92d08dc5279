// Child process for the leak checker: trains in the main thread and in a worker, with errors in between, and
// ends in an orderly way. What nobody points at then was leaked. Prints one line of JSON.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import * as tg from 'tapegrad';
import { train } from '../workers/train.js';

const worker = new Worker(new URL('../workers/trainer.js', import.meta.url), {
  workerData: { seed: 2, steps: 20 },
});
const answer = once(worker, 'message') as Promise<[{ losses: number[] }]>;
const exit = once(worker, 'exit');
const losses = train(1, 20);
for (const mistake of [
  () => tg.ones([2]).add(tg.ones([3])),
  () => tg.zeros([2 ** 50]),
  () => tg.concat([]),
]) {
  try {
    mistake();
    losses.length = 0;
  } catch {
    // As it should be.
  }
}
// Garbage, views and a graph that nobody walks are left for the end.
const w = tg.ones([100], { requiresGrad: true });
const left = [w.exp().reshape([10, 10]), tg.randn([1000])];
const [{ losses: others }] = await answer;
await exit;
console.log(JSON.stringify({ worked: losses.length + others.length, left: left.length }));
