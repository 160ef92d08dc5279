// How long the event loop is held up while four networks are trained in the process of an HTTP server:
// node build-ts/bench/event-loop/index.js [seconds]. Each library serves in a process of its own (server.ts) and is
// asked from this one.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import * as http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Served } from './server.js';

const SERVER = fileURLToPath(new URL('./server.js', import.meta.url));
const LIBRARIES = ['nothing', 'tapegrad', 'tfjs-wasm', 'tfjs-cpu'];
const CLIENTS = 2;

const answer = async (server: ChildProcess): Promise<unknown> =>
  ((await once(server, 'message')) as unknown[])[0];

/** Asks again and again over one connection; how long each answer took, in ms. */
async function ask(port: number, until: number, agent: http.Agent): Promise<number[]> {
  const waits: number[] = [];
  while (performance.now() < until) {
    const start = performance.now();
    const request = http.get({ port, agent });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    response.resume();
    await once(response, 'end');
    waits.push(performance.now() - start);
    await sleep(1);
  }
  return waits;
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN;

async function measure(library: string, seconds: number): Promise<string[]> {
  const server = fork(SERVER, [library]);
  try {
    const port = (await answer(server)) as number;
    const agent = new http.Agent({ keepAlive: true });
    const until = performance.now() + seconds * 1e3;
    const all = await Promise.all(Array.from({ length: CLIENTS }, () => ask(port, until, agent)));
    agent.destroy();
    server.send('enough');
    const { delay, stepsPerSecond } = (await answer(server)) as Served;
    const waits = all.flat().sort((a, b) => a - b);
    return [
      library,
      ...[delay.p50, delay.p99, delay.max].map((ms) => ms.toFixed(1)),
      (waits.length / seconds).toFixed(0),
      ...[0.5, 0.99].map((q) => quantile(waits, q).toFixed(1)),
      stepsPerSecond.toFixed(0),
    ];
  } finally {
    server.kill();
  }
}

const seconds = Number(process.argv[2] ?? 5);
const line = (cells: readonly string[]): void => {
  console.log(`| ${cells.join(' | ')} |`);
};
line([
  ...[
    'trained by',
    'delay p50 (ms)',
    'p99',
    'max',
    'requests/s',
    'answer p50 (ms)',
    'p99',
    'steps/s',
  ],
]);
line(['---', ...Array<string>(7).fill('---:')]);
for (const library of LIBRARIES) line(await measure(library, seconds));
