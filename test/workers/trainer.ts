// Worker: trains, and says so; forever, unless told a number of steps. workerData: { seed, steps?, heap? }.
import { parentPort, workerData } from 'node:worker_threads';
import * as tg from 'tapegrad';
import { setup, step, train } from './train.js';

interface Job {
  readonly seed: number;
  readonly steps?: number;
  /** 'heap': fill the JavaScript heap meanwhile; 'exit': end the process; 'throw': fail in a step. */
  readonly end?: 'heap' | 'exit' | 'throw';
}
const { seed, steps, end } = workerData as Job;

if (steps !== undefined) {
  tg.setNumThreads(2);
  parentPort!.postMessage({ losses: train(seed, steps), memory: tg.memory().tensors });
} else {
  const hoard: unknown[] = [];
  const s = setup(seed);
  const forever = (): void => {
    for (let i = 0; i < 50; ++i) {
      step(s);
      // Dropped tensors of some size, so that memory is in motion as well.
      tg.ones([64, 1024]).add(1);
      if (end === 'heap')
        hoard.push(
          Array.from({ length: 20_000 }, (_, n) => ({ n })),
          tg.ones([10]),
        );
      if (end === 'throw' && i === 49) throw new Error('in mid-step');
      if (end === 'exit' && i === 49) process.exit(7);
    }
    setImmediate(forever);
  };
  parentPort!.postMessage('training');
  forever();
}
