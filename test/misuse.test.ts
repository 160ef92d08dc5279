// Misuse throws, says what was wrong, and never crashes: everything public and the addon itself are called
// with hostile arguments in child processes, normally and with sanitizers; then the messages of common mistakes.
import { expect } from 'chai';
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const ROOT = at('../../');
const SANITIZED = join(ROOT, 'build-sanitize/Release/tapegrad.node');
const wanted = process.env['TAPEGRAD_ADDON'];
const ADDON =
  wanted ??
  [join(ROOT, 'build/Release/tapegrad.node'), join(ROOT, 'build-cmake/Release/tapegrad.node')].find(
    (p) => fs.existsSync(p),
  )!;

interface Result {
  calls: number;
  worked: number;
  refused: number;
  targets: number;
  functions: number;
  violations: [string, string][];
  wrong: string[];
  spares: boolean;
}

/** Runs a program of misuse/ in an empty folder, and returns what it printed. */
async function misuse(
  program: string,
  args: (string | number)[],
  env: NodeJS.ProcessEnv,
): Promise<Result> {
  const box = fs.mkdtempSync(join(tmpdir(), 'misuse-'));
  try {
    // Hostile calls compile many shapes, which is worth a warning each time.
    const flags = ['--disable-warning=TG_SHAPES', at(`./misuse/${program}.js`)];
    const child = spawn(process.execPath, [...flags, ...args.map(String)], {
      cwd: box,
      env: { ...process.env, ...env },
      timeout: 590_000,
      killSignal: 'SIGABRT',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (s: Buffer) => (stdout += s.toString()));
    child.stderr.on('data', (s: Buffer) => (stderr += s.toString()));
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
      child.on('close', (c, s) => {
        resolve([c, s]);
      }),
    );
    const log = join(box, 'call.txt');
    const last = fs.existsSync(log) ? fs.readFileSync(log, 'utf8').trim() : '';
    const during = code === 0 ? '' : `, last call ${last}`;
    expect({ code, signal, stderr: stderr.slice(0, 4000) + during }).to.deep.equal({
      code: 0,
      signal: null,
      stderr: '',
    });
    return JSON.parse(stdout) as Result;
  } finally {
    fs.rmSync(box, { recursive: true, force: true });
  }
}

/** The environment under which a program runs with sanitizers, or why it cannot. */
function sanitizerEnvironment(leaks: boolean): NodeJS.ProcessEnv | string {
  if (process.platform !== 'linux') return 'sanitizers: written for Linux';
  if (!fs.existsSync(SANITIZED)) return 'sanitizers: no build-sanitize/ (npm run build:sanitize)';
  if (fs.statSync(SANITIZED).mtimeMs < fs.statSync(ADDON).mtimeMs)
    return 'sanitizers: build-sanitize/ is older than the addon (npm run build:sanitize)';
  const library = (name: string): string =>
    execFileSync(process.env['CXX'] ?? 'g++', [`-print-file-name=${name}`], {
      encoding: 'utf8',
    }).trim();
  return {
    TAPEGRAD_ADDON: SANITIZED,
    LD_PRELOAD: `${library('libasan.so')}:${library('libstdc++.so')}`,
    ASAN_OPTIONS: `detect_leaks=${leaks ? 1 : 0}:handle_segv=2:allocator_may_return_null=1`,
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  };
}
/** For `this.skip()`: prints the reason, as mocha does not. */
function sanitizers(test: Mocha.Context, leaks = false): NodeJS.ProcessEnv {
  const env = sanitizerEnvironment(leaks);
  if (typeof env !== 'string') return env;
  test.test!.title += ` (skipped: ${env})`;
  test.skip();
}

function check({ violations, calls }: Result, least: number): void {
  expect(violations.map((v) => v.join(' | '))).to.deep.equal([]);
  expect(calls).to.be.at.least(least);
}

describe('misuse', function () {
  this.timeout(600_000);

  it('10,000 hostile calls of everything public', async () => {
    const result = await misuse('public', [10_000, 1], {});
    check(result, 10_000);
    // Neither is everything refused nor does everything pass, or this would show nothing.
    expect(result.targets).to.be.above(200);
    expect(result.worked).to.be.above(2000);
    expect(result.refused).to.be.above(2000);
  });

  it('20,000 hostile calls of the addon itself', async () => {
    const result = await misuse('native', [ADDON, 20_000, 1], {});
    expect(result.wrong).to.deep.equal([]);
    expect(result.spares, 'operands of a call are not freed during it').to.equal(true);
    expect(result.functions).to.be.at.least(22);
    expect(result.worked).to.be.above(2000);
    expect(result.refused).to.be.above(2000);
  });

  it('100,000 hostile calls of everything public with sanitizers', async function () {
    const env = sanitizers(this);
    // A slow call is slower there; two at once use both cores.
    const runs = await Promise.all(
      [1, 2].map((seed) => misuse('public', [50_000, seed * 7919, 5000], env)),
    );
    for (const result of runs) check(result, 50_000);
  });

  it('60,000 hostile calls of the addon itself with sanitizers', async function () {
    const env = sanitizers(this);
    const runs = await Promise.all(
      [1, 2].map((seed) => misuse('native', [SANITIZED, 30_000, seed * 104_729], env)),
    );
    for (const { wrong } of runs) expect(wrong).to.deep.equal([]);
  });

  it('training leaks nothing', async function () {
    const env = sanitizers(this, true);
    const { worked } = await misuse('leaks', [], env);
    expect(worked).to.equal(40);
  });
});

// ---- messages

const x = tg.ones([2, 3]);
const y = tg.ones([4]);
const gone = tg.ones([2, 3]);
gone.dispose();
const ints = tg.tensor([1, 2], { dtype: 'int32' });
const w = tg.ones([2, 3], { requiresGrad: true });
const after =
  'was used after it was disposed of (by dispose, using or tidy, or as an intermediate result freed by backward: see retainGraph)';
const fake = Object.create(tg.Tensor.prototype) as tg.Tensor;
const linear = new tg.nn.Linear(3, 4);
const any = (v: unknown): never => v as never;

/** What people do, and exactly what they are told. */
const MISTAKES: readonly (readonly [() => unknown, string])[] = [
  [() => x.add(y), 'add: shapes do not broadcast: [2, 3] x [4]'],
  [() => tg.matmul(x, x), 'matmul: inner dimensions differ: [2, 3] x [2, 3]'],
  [() => tg.matmul(x, tg.tensor(1)), 'matmul: both need at least one dimension: [2, 3] x []'],
  [() => tg.add(any(1), any(2)), 'add: at least one of x, y must be a Tensor'],
  [() => x.add(any('1')), `add: y must be a Tensor or a number, got the string "1"`],
  [() => x.add(any(undefined)), 'add: y must be a Tensor or a number, got undefined'],
  [
    () => x.add(any([1, 2, 3])),
    'add: y must be a Tensor or a number, got an array (no real Tensor: a look-alike, a Proxy or an array; see tg.tensor)',
  ],
  [
    () => x.add(any(new Proxy(x, {}))),
    'add: y must be a Tensor or a number, got an object (no real Tensor: a look-alike, a Proxy or an array; see tg.tensor)',
  ],
  [() => x.add(gone), `add: y ${after}`],
  [() => gone.sum(), `sum: x ${after}`],
  [() => gone.dataSync(), `dataSync: this tensor ${after}`],
  [
    () => gone.shape.length && gone.item(),
    'item: the tensor must have one element, but its shape is [2, 3]; use dataSync() or toArray()',
  ],
  [
    () => x.item(),
    'item: the tensor must have one element, but its shape is [2, 3]; use dataSync() or toArray()',
  ],
  [() => x.sum(2), 'sum: axis must be an integer in -2 … 1 for a tensor of 2 dimensions, got 2'],
  [
    () => x.sum(any('0')),
    `sum: axis must be an integer, an array of integers or null, got the string "0"`,
  ],
  [() => x.sum(any({ axes: 0 })), `sum: unknown option "axes"; known: axis, keepDims`],
  [() => x.sum({ axis: [0, 0] }), 'sum: axis names axis 0 twice'],
  [() => x.sum({ keepDims: any(1) }), 'sum: keepDims must be a boolean, got the number 1'],
  [() => x.reshape([4, 2]), 'reshape: the numbers of elements differ: [2, 3] x [4, 2]'],
  [() => x.reshape([-1, -1]), 'reshape: only one size of shape may be -1'],
  [() => x.reshape(any(6)), 'reshape: shape must be an array of integers, got the number 6'],
  [() => x.permute([0]), 'permute: axes must list each of the 2 axes of [2, 3] once, got 1'],
  [() => x.squeeze(5), 'squeeze: axis must be an integer ≥ -2 and ≤ 1, got the number 5'],
  [() => y.transpose(), 'transpose: x must have at least 2 dimensions, got shape [4]'],
  [() => x.slice({ axis: 0, start: 1.5 }), 'slice: start must be an integer, got 1.5'],
  [() => x.broadcastTo([2, 4]), 'broadcastTo: cannot broadcast: [2, 3] x [2, 4]'],
  [() => tg.concat([]), 'concat: the list of tensors is empty'],
  [() => tg.concat([x, y]), 'concat: shapes differ outside the axis: [2, 3] x [4]'],
  [() => tg.stack([x, y]), 'stack: shapes differ: [2, 3] and [4]'],
  [
    () => tg.tensor([[1, 2], [3]]),
    'tensor: the data is ragged: at depth 1, 1 entries where 2 were expected',
  ],
  [
    () => tg.tensor(any('1,2')),
    `tensor: data must be numbers, booleans, nested arrays of them, or a typed array, got the string "1,2"`,
  ],
  [
    () => tg.tensor(any({ length: 2 })),
    'tensor: data must be numbers, booleans, nested arrays of them, or a typed array, got an object',
  ],
  [
    () => tg.tensor([1, 2, 3], { shape: [2, 2] }),
    'tensor: shape [2, 2] needs 4 elements, but the data has 3',
  ],
  [
    () => tg.tensor([1], { dtype: any('float16') }),
    `tensor: dtype must be one of float32, float64, int32, bool, bfloat16, got the string "float16"`,
  ],
  [
    () => tg.tensor([1], any({ requireGrad: true })),
    `tensor: unknown option "requireGrad"; known: dtype, device, requiresGrad, shape`,
  ],
  [
    () => tg.tensor(new Float32Array(new SharedArrayBuffer(8))),
    'tensor: the data is in a SharedArrayBuffer, which others may change meanwhile; pass a copy (data.slice())',
  ],
  [
    () => tg.tensor(any(new BigInt64Array(2))),
    'tensor: BigInt64Array data cannot be stored exactly; convert it first',
  ],
  [() => tg.zeros(any(3)), 'zeros: shape must be an array of sizes, got the number 3'],
  [() => tg.zeros([2, -1]), 'zeros: shape[1] must be an integer ≥ 0, got the number -1'],
  [
    () => tg.zeros([2 ** 30, 2 ** 30]),
    'zeros: shape [1073741824, 1073741824] has too many elements',
  ],
  [
    () => tg.ones([1], { device: any('gpu') }),
    `ones: device must be 'cpu' or 'cuda', got the string "gpu"`,
  ],
  [() => tg.arange(0, 10, -1), 'arange: a step of -1 never leads from 0 to 10'],
  [
    () => tg.randint(5, 5, [2]),
    'randint: high must be an integer > 5 and ≤ 2147483648, got the number 5',
  ],
  [
    () => tg.manualSeed(-1),
    'manualSeed: seed must be an integer ≥ 0 and ≤ 9007199254740991, got the number -1',
  ],
  [
    () => (ints.requiresGrad = true),
    'requiresGrad: only float tensors (bfloat16, float32, float64) have gradients, got int32',
  ],
  [
    () => tg.ones([2], { dtype: 'int32', requiresGrad: true }),
    'requiresGrad: only float tensors (bfloat16, float32, float64) have gradients, got int32',
  ],
  [
    () => x.backward(),
    'backward: the tensor does not depend on any tensor with requiresGrad (was it computed inside noGrad, or detached?)',
  ],
  [
    () => w.mul(2).backward(),
    'backward: only a scalar has a gradient by itself, and the shape is [2, 3]; reduce it with sum() or mean(), or pass { gradient }',
  ],
  [
    () => w.sum().backward(any({ retain: true })),
    `backward: unknown option "retain"; known: retainGraph, createGraph, gradient`,
  ],
  [
    () => w.mul(2).backward({ gradient: y }),
    'backward: the gradient must be float32 [2, 3] like the tensor, got float32 [4]',
  ],
  [
    () => tg.noGrad(() => w.sum()).backward(),
    'backward: the tensor does not depend on any tensor with requiresGrad (was it computed inside noGrad, or detached?)',
  ],
  [() => tg.indexSelect(x, y), 'indexSelect: index must be int32, got float32'],
  [() => tg.where(any(1), x, x), 'where: condition must be a Tensor, got the number 1'],
  [
    () => x.to(any('float16')),
    `to: dtype must be one of float32, float64, int32, bool, bfloat16, got the string "float16"`,
  ],
  [() => x.to(any({ device: 'gpu' })), `to: device must be 'cpu' or 'cuda', got the string "gpu"`],
  [() => fake.shape, 'Tensor.shape: this must be a Tensor, got an object'],
  [
    () => tg.Tensor.prototype.add.call(any({}), x),
    'add: x must be a Tensor or a number, got an object (no real Tensor: a look-alike, a Proxy or an array; see tg.tensor)',
  ],
  [
    () => new tg.Tensor(any(1)),
    'Tensor: use tg.tensor(…), tg.zeros(…) and their kin to make a tensor',
  ],
  [
    () => tg.losses.crossEntropy(x, tg.tensor([0, 7], { dtype: 'int32' })),
    'crossEntropy: target[1] is 7, but there are 3 classes',
  ],
  [
    () => tg.losses.crossEntropy(x, tg.tensor([0, 1, 2], { dtype: 'int32' })),
    'crossEntropy: class indices must have one entry per row of logits [n, classes]: [2, 3] x [3]',
  ],
  [
    () => tg.losses.meanSquaredError(x, x, { reduction: any('avg') }),
    `meanSquaredError: reduction must be 'mean', 'sum' or 'none', got the string "avg"`,
  ],
  [() => linear.forward(y), 'linear: x [..., in] does not fit weight [out, in]: [4] x [4, 3]'],
  [() => new tg.nn.Linear(3, 0), 'Linear: outFeatures must be an integer ≥ 1, got the number 0'],
  [
    () => new tg.nn.Sequential(any(tg.relu)),
    'Sequential: layer 0 must be a Module, got a function',
  ],
  [
    () => linear.loadStateDict({ weight: x }),
    'loadStateDict: weight must be float32 [4, 3], got float32 [2, 3]; bias is missing',
  ],
  [
    () => new tg.optim.SGD(any(linear)),
    'SGD: parameters must be an iterable of Tensors, such as model.parameters(), got an object',
  ],
  [() => new tg.optim.SGD([x]), 'SGD: parameter 0 of shape [2, 3] has no requiresGrad'],
  [
    () => new tg.optim.Adam(linear.parameters(), any({ lr: 0.1 })),
    `Adam: unknown option "lr"; known: learningRate, betas, eps, weightDecay, amsgrad, projection, proximal`,
  ],
  [
    () => new tg.optim.SGD(linear.parameters(), { nesterov: true }),
    'SGD: nesterov needs momentum > 0 and dampening 0',
  ],
  [
    () => tg.clipGradNorm([w], -1),
    'clipGradNorm: maxNorm must be a finite number ≥ 0, got the number -1',
  ],
  [
    () => tg.setNumThreads(0),
    'setNumThreads: count must be an integer ≥ 1 and ≤ 256, got the number 0',
  ],
  [
    () => (tg.memory.limit = any('1 GB')),
    `memory.limit: the limit must be an integer ≥ 0, got the string "1 GB"`,
  ],
  [() => tg.tidy(any(x)), 'tidy: fn must be a function, got an object'],
  [
    () => tg.valueAndGrad((_: unknown) => x)(1),
    'valueAndGrad: f was given no float tensor to differentiate with respect to',
  ],
  [() => tg.io.loadSafetensors(any(1)), 'loadSafetensors: path must be a string, got the number 1'],
];

describe('messages of common mistakes', () => {
  MISTAKES.forEach(([mistake, message], i) => {
    const source = /=>\s*([\s\S]*)/.exec(mistake.toString())?.[1]?.replaceAll(/\s+/g, ' ') ?? '';
    it(`${i + 1}. ${source}`, () => {
      expect(mistake).to.throw(Error).with.property('message', message);
    });
  });
});
