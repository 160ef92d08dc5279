// Child process: calls everything public with hostile arguments and receivers, `calls` times, and prints one
// line of JSON. Arguments: calls, seed. Runs in an empty folder, for it calls what writes files.
import * as fs from 'node:fs';
import * as tg from 'tapegrad';
import { KINDS, OwnError, VALUES, type Kind } from './kinds.js';
import { leaves, targets, type Target } from './targets.js';

const calls = Number(process.argv[2]);
let state = Number(process.argv[3]);
/** A small generator (xorshift32) for the choice of cases. */
function below(n: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % n;
}

const BUDGET = 64 << 20;
/** Holds the call under way: what the parent reports if this process is killed by it. */
const log = fs.openSync('call.txt', 'w');
const SLOW_MS = Number(process.argv[4] ?? 1000);
const violations = new Map<string, string>();
const outcomes = { worked: 0, refused: 0, own: 0, slowest: 0, slowestCall: '' };
const counted = { targets: 0, kinds: KINDS.length, calls: 0 };
const pending: Promise<unknown>[] = [];

function report(what: string, detail: string): void {
  if (violations.size < 60) violations.set(what, detail);
}

function judge(target: Target, what: string, error: unknown, foreign: boolean): void {
  if (error instanceof OwnError) {
    ++outcomes.own;
    return;
  }
  ++outcomes.refused;
  if (!(error instanceof Error)) return report(`${what}: threw no Error`, String(error));
  const code = (error as { code?: unknown }).code;
  const coded = typeof code === 'string' && code.startsWith('TG_');
  if (!(error instanceof TypeError || error instanceof RangeError || coded))
    return report(`${what}: wrong kind of error`, `${error.name}: ${error.message}`);
  // A method of a class of layers on anything else may fail where it likes, but of tensors we know better.
  if (foreign && !target.name.startsWith('Tensor.')) return;
  // V8's own words, or those of a getter that a look-alike inherits.
  if (
    /proxy that has been revoked|detached ArrayBuffer|^Tensor\.\w+: this must be/.test(
      error.message,
    )
  )
    return;
  if (
    !target.names.some((name) => error.message.includes(name)) &&
    !coded &&
    !error.stack?.includes('kinds.js:')
  )
    report(
      `${what}: does not name the op`,
      `${error.message} ${error.stack?.split('\n')[1] ?? ''}`,
    );
}

/** Classes whose objects own tensors until they are disposed of. */
const HOLDERS = [tg.data.DataLoader, tg.data.Standardizer, tg.data.Pca];

/** Frees what a call made for keeps: parameters, gradients, states. */
function free(value: unknown, depth = 0): void {
  if (tg.isTensor(value)) {
    if (tg.isTensor(value.grad)) value.grad.dispose();
    value.grad = null;
    value.dispose();
  } else if (value instanceof tg.nn.Module || value instanceof tg.optim.Optimizer) {
    if (value instanceof tg.optim.Optimizer) value.parameters.forEach((p) => free(p));
    value.dispose();
  } else if (HOLDERS.some((holder) => value instanceof holder)) {
    (value as Disposable)[Symbol.dispose]();
  } else if (Array.isArray(value) && value.length < 100 && depth < 3) {
    value.forEach((v) => free(v, depth + 1));
  }
}

function once(target: Target, hostile: Kind, position: number): void {
  const what = `${target.name}(…${position}: ${hostile.name})`;
  tg.tidy(() => {
    const args = target.template();
    let self = target.receiver();
    const victim = args.find(tg.isTensor) ?? (tg.isTensor(self) ? self : tg.ones([2, 3]));
    const trash = [...args.flat(), self, victim];
    let foreign = false;
    if (position < 0) {
      self = hostile.make(victim);
      foreign = !target.name.startsWith('Tensor.') || !tg.isTensor(self);
      trash.push(self);
    } else {
      while (args.length <= position) args.push(undefined);
      args[position] = hostile.make(victim);
      // Now and then a second one, or a receiver that is gone.
      if (below(8) === 0) args[below(args.length)] = VALUES[below(VALUES.length)]!.make(victim);
      if (target.isMethod && below(6) === 0) free(self);
      trash.push(...args);
    }
    fs.writeSync(log, what.padEnd(200), 0);
    const start = performance.now();
    const before = process.cpuUsage();
    try {
      const result = target.call(self, args);
      ++outcomes.worked;
      if (result instanceof Promise)
        pending.push(result.catch((e: unknown) => judge(target, what, e, foreign)));
      else trash.push(result);
    } catch (error) {
      judge(target, what, error, foreign);
    }
    const ms = performance.now() - start;
    if (ms > outcomes.slowest) Object.assign(outcomes, { slowest: ms, slowestCall: what });
    if (ms > SLOW_MS) {
      // Of processor time: on a machine that is busy, any call may take long.
      const { user, system } = process.cpuUsage(before);
      if (user + system > SLOW_MS * 1e3) report(`${what}: slow`, `${ms.toFixed(0)} ms`);
    }
    trash.push(...leaves.splice(0));
    for (const v of trash) {
      try {
        free(v);
      } catch {
        // A revoked Proxy cannot even be asked what it is.
      }
    }
  });
  ++counted.calls;
}

async function main(): Promise<void> {
  const all = targets();
  counted.targets = all.length;
  tg.setNumThreads(2);
  const threads = tg.numThreads();
  const cases: [Target, Kind, number][] = [];
  while (counted.calls < calls) {
    if (cases.length === 0) {
      // Every target × position × kind once, in an order of chance; then again.
      for (const target of all) {
        const positions = target.template().length;
        for (const hostile of KINDS) {
          for (let p = 0; p <= positions; ++p) cases.push([target, hostile, p]);
          if (target.isMethod) cases.push([target, hostile, -1]);
        }
      }
      for (let i = cases.length - 1; i > 0; --i) {
        const j = below(i + 1);
        [cases[i], cases[j]] = [cases[j]!, cases[i]!];
      }
    }
    tg.memory.limit = BUDGET;
    const before = tg.memory().tensors;
    const batch = cases.splice(-50);
    for (const [target, hostile, position] of batch) {
      const live = tg.memory().tensors;
      const begun = pending.length;
      once(target, hostile, position);
      tg.memory.limit = BUDGET;
      const grown = tg.memory().tensors - live;
      // What goes on in the background has its data.
      if (grown > 0 && pending.length === begun)
        report(
          `${target.name}(…${position}: ${hostile.name}): leaves tensors after tidy`,
          `${grown}`,
        );
    }
    tg.setNumThreads(threads);
    await Promise.all(pending.splice(0));
    if (tg.memory().tensors > before) tg.memory();
    await new Promise(setImmediate);
  }
  console.log(JSON.stringify({ ...counted, ...outcomes, violations: [...violations] }));
}

process.on('unhandledRejection', (reason) => {
  if (!(reason instanceof OwnError)) report('unhandled rejection', String(reason));
});
await main();
