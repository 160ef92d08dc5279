// The child process of event-loop: an HTTP server that trains four networks (784-256-128-10, batches of 128, Adam) with
// the library named by its argument, and watches its event loop. Says its port, and when told `enough` what it saw.
import { once } from 'node:events';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Tensor as TfTensor, Tensor2D } from '@tensorflow/tfjs-core';
import type { Tensor } from 'tapegrad';

/** Times between two turns of a timer of 1 ms, in ms. */
export interface Served {
  delay: { p50: number; p99: number; max: number };
  /** Of all networks together. */
  stepsPerSecond: number;
}

const SIZES = [784, 256, 128, 10];
const BATCH = 128;
const EXAMPLES = 60_000;
const NETWORKS = 4;
let steps = 0;

async function tapegrad(): Promise<void> {
  const tg = await import('tapegrad');
  const { losses, nn, optim } = tg;
  const x = tg.keep(tg.rand([EXAMPLES, SIZES[0]!]));
  const y = tg.keep(tg.randint(0, 10, [EXAMPLES]));
  for (let i = 0; i < NETWORKS; ++i) {
    const layers = SIZES.slice(1).flatMap((out, l) => [
      new nn.Linear(SIZES[l]!, out),
      new nn.ReLU(),
    ]);
    const model = new nn.Sequential(...layers.slice(0, -1));
    const optimizer = new optim.Adam(model.parameters(), { learningRate: 1e-4 });
    const step = tg.compile((x: Tensor, y: Tensor) => {
      const loss = losses.crossEntropy(model.forward(x), y);
      optimizer.minimize(loss);
      return loss;
    });
    void (async () => {
      let before = 0;
      const options = { epochs: 1e6, batchSize: BATCH, reportEvery: 20 };
      for await (const report of step.train([x, y], options)) {
        steps += report.step - before;
        before = report.step;
      }
    })();
  }
}

/** The event loop has its turn after every step. */
async function tfjs(backend: string): Promise<void> {
  const tf = await import('@tensorflow/tfjs-core');
  await import('@tensorflow/tfjs-backend-cpu');
  await import('@tensorflow/tfjs-backend-wasm');
  await import('@tensorflow/tfjs-layers'); // for what its bundle registers: the gradients of the ops
  console.warn = () => undefined; // it advertises tfjs-node at each start
  if (!(await tf.setBackend(backend))) throw new Error(`the ${backend} backend does not start`);
  const x = tf.randomUniform([BATCH, SIZES[0]!]);
  const labels = tf.oneHot(tf.randomUniform([BATCH], 0, 10, 'int32'), 10);
  for (let i = 0; i < NETWORKS; ++i) {
    const layers = SIZES.slice(1).map((out, l) => ({
      w: tf.variable(tf.randomUniform([SIZES[l]!, out], -0.05, 0.05)),
      b: tf.variable(tf.zeros([out])),
    }));
    const optimizer = tf.train.adam(1e-4);
    void (async () => {
      for (;;) {
        optimizer.minimize(() => {
          let h: TfTensor = x;
          for (const [l, { w, b }] of layers.entries())
            h = tf.add(tf.matMul(l === 0 ? h : tf.relu(h), w as Tensor2D), b);
          return tf.losses.softmaxCrossEntropy(labels, h);
        });
        ++steps;
        await setImmediate();
      }
    })();
  }
}

const library = process.argv[2] ?? '';
if (library === 'tapegrad') await tapegrad();
else if (library.startsWith('tfjs-')) await tfjs(library.slice('tfjs-'.length));

const server = http.createServer((_, response) => response.end('hello\n')).listen(0);
await once(server, 'listening');
await sleep(500); // programs are compiled, code is warm
const monitor = monitorEventLoopDelay({ resolution: 1 });
monitor.enable();
const [stepsBefore, start] = [steps, performance.now()];
process.send!((server.address() as AddressInfo).port);
process.on('message', () => {
  monitor.disable();
  const ms = (ns: number): number => ns / 1e6;
  process.send!({
    delay: {
      p50: ms(monitor.percentile(50)),
      p99: ms(monitor.percentile(99)),
      max: ms(monitor.max),
    },
    stepsPerSecond: ((steps - stepsBefore) / (performance.now() - start)) * 1e3,
  } satisfies Served);
});
