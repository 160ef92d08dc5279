// npm run bench as a user meets it: the JSON file, the tables, the chart, and what it says to wrong flags.
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CASES, groupOf } from '../bench/cases.js';
import { limitOf, productsOf } from '../bench/limits.js';
import { PEERS } from '../bench/peers.js';
import { compare, series, type Report, type Result } from '../bench/report.js';

const PROGRAM = fileURLToPath(new URL('../bench/index.js', import.meta.url));

let box = '';
beforeEach(() => {
  box = fs.mkdtempSync(join(tmpdir(), 'bench-'));
});
afterEach(() => {
  fs.rmSync(box, { recursive: true });
});

const benchIn = (env: Record<string, string>, args: string[]) =>
  spawnSync(process.execPath, [PROGRAM, ...args], {
    cwd: box,
    encoding: 'utf8',
    timeout: 590_000,
    env: { ...process.env, ...env },
  });
const bench = (...args: string[]) => benchIn({}, args);
const quick = ['--rounds', '1', '--threads', '1', '--seconds', '0.02', '--out', 'r.json'];
const read = (file: string) => fs.readFileSync(join(box, file), 'utf8');
const report = (file = 'r.json') => JSON.parse(read(file)) as Report;

function expectTiming(t: Record<string, unknown>): void {
  for (const key of ['median_ns', 'best_ns', 'mean_ns', 'cpu_ns', 'iterations'])
    expect(t[key], key).to.be.a('number').above(0);
  expect(t['best_ns']).to.be.at.most(t['median_ns'] as number);
}

/** Whether every tag is closed in order, and what the texts say. */
function textsOf(svg: string): string[] {
  const open: string[] = [];
  for (const [, end, name, empty] of svg.matchAll(/<(\/?)([a-z]+)(?:\s[^<>]*?)?(\/?)>/gi)) {
    if (end) expect(open.pop()).to.equal(name);
    else if (!empty) open.push(name!);
  }
  expect(open).to.deep.equal([]);
  return [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text!);
}

describe('npm run bench', function () {
  this.timeout(600_000);

  it('measures a case, writes JSON and prints a table', () => {
    const { status, stdout, stderr } = bench(
      ...['--case', 'eager/add-8x8', '--peers', 'torch', ...quick, '--out', 'sub/r.json'],
    );
    expect(status, stderr).to.equal(0);
    expect(stdout.trimEnd().split('\n')).to.include(join('sub', 'r.json'));

    const r = report('sub/r.json');
    expect(r).to.include({ schema: 2, rounds: 1, seconds: 0.02 });
    expect(Math.abs(Date.now() - Date.parse(r.date))).to.be.below(600_000);
    expect(r.machine).to.include({ node: process.version });
    expect(r.machine.cpu).to.be.a('string').and.not.equal('');
    expect(r.isa).to.be.oneOf(['avx512bf16', 'avx512', 'avx2', 'baseline', 'neon']);
    expect(r.failures).to.deep.equal([]);
    expect(r.results.length).to.equal(1);

    const [result] = r.results as [Result];
    expect(result).to.include({ name: 'eager/add-8x8', threads: 1 });
    expect(result.work).to.deep.equal({ kind: 'eager', op: 'add', shape: [8, 8] });
    expect(result.ours.rounds.length).to.equal(1);
    expectTiming({ ...result.ours.rounds[0]! });
    // A call into native code takes tens of nanoseconds, one on 64 numbers no millisecond.
    expect(result.ours.best_ns).to.be.within(10, 1e6);
    expect(result.ours.median_ns).to.equal(result.ours.rounds[0]!.median_ns);
    expect(result.ours.rounds[0]!.threads).to.equal(1);
    expect(stdout).to.match(/^eager\/add-8x8 +\d+\.\d\d µs/m);

    // Whether PyTorch is here or not, it is named.
    const torch = r.peers['torch']!;
    if ('skipped' in torch) {
      expect(stdout).to.include(`torch skipped: ${torch.skipped}`);
      expect(result.peers).to.deep.equal({});
    } else {
      expect(torch.library).to.match(/^PyTorch \d/);
      const theirs = result.peers['torch']!;
      expectTiming({ ...theirs.rounds[0]! });
      expect(theirs.ratio.median).to.equal(theirs.median_ns / result.ours.median_ns);
    }
  });

  it('runs every kind of work, beside the machine’s limit', () => {
    const names = [
      'backward/chain-64',
      'elementwise/sum-1M',
      'gemm/1024x1024x128-at',
      'gemm-f64/512x512x512',
      'adam/100x1000',
      'step/4-16-3-b32',
      'step/cnn-b64',
      'compiled/4-16-3-b32-train',
      'compiled/4-16-3-b32-call',
    ];
    const { status, stderr } = bench('--case', names.join(), ...quick, '--peers', 'none');
    expect(status, stderr).to.equal(0);
    const r = report();
    expect(r.results.map((c) => c.name)).to.deep.equal(names);
    expect(r.peers).to.deep.equal({});
    for (const { name, work, ours, limit, products, eager } of r.results) {
      expect(ours.best_ns, name).to.be.above(0);
      expect(limit !== undefined, name).to.equal(limitOf(work) !== null);
      expect(products !== undefined, name).to.equal(/^(step|compiled)\//.test(name));
      expect(eager !== undefined, name).to.equal(name.startsWith('compiled/'));
    }
  });

  it('has a limit that is one: float64 takes twice as long, and products come near', () => {
    // Others may be using this machine, so wide bounds, and more than one try: a wrong limit never holds.
    const products = ['gemm/512x512x512', 'gemm-f64/512x512x512'];
    let tried = '';
    for (let i = 0; i < 20; ++i) {
      const { status, stderr } = bench('--case', products.join(), ...quick, '--peers', 'none');
      expect(status, stderr).to.equal(0);
      const [single, double] = report().results.map((result) => result.limit!);
      const [lanes, share] = [double!.best_ns / single!.best_ns, single!.ratio.best];
      if (lanes > 1.5 && lanes < 3 && share > 0.2 && share < 1.3) return;
      tried += ` ${lanes.toFixed(2)} ${share.toFixed(2)}`;
    }
    expect.fail(`float64's limit by float32's, and the share that is reached:${tried}`);
  });

  it('measures peers of every kind that is installed, and draws them', () => {
    const { status, stdout, stderr } = bench(
      ...['--case', 'elementwise/relu-1M,gemm/64x64x64,gemm-f64/64x64x64', ...quick],
      ...['--peers', 'openblas,onednn,blis,tfjs-wasm'],
    );
    expect(status, stderr).to.equal(0);
    const { results, peers } = report();
    expect(Object.keys(results[0]!.peers)).to.deep.equal(['tfjs-wasm']);
    expect(results[0]!.peers['tfjs-wasm']!.rounds[0]!.isa).to.equal('wasm SIMD');
    for (const name of ['openblas', 'onednn', 'blis']) {
      const here = 'library' in peers[name]!;
      expect(name in results[1]!.peers, name).to.equal(here);
      expect(name in results[2]!.peers, name).to.equal(here && name !== 'onednn');
    }
    expect(stdout.trimEnd().split('\n').at(-1)).to.equal('r.svg');
    const texts = textsOf(read('r.svg'));
    expect(texts).to.include.members(['elementwise, 1 thread', 'relu-1M', 'tfjs-wasm']);
    expect(texts).to.include(`${results[0]!.peers['tfjs-wasm']!.ratio.median.toFixed(2)}×`);
  });

  it('names a library that does not load, with the package to install', () => {
    fs.writeFileSync(join(box, 'libopenblas.so.0'), 'not a library');
    const { status, stdout, stderr } = benchIn({ LD_LIBRARY_PATH: box }, [
      ...['--case', 'gemm/64x64x64', '--peers', 'openblas', ...quick],
    ]);
    expect(status, stderr).to.equal(0);
    const openblas = report().peers['openblas'] as { skipped: string };
    expect(openblas.skipped).to.match(/libopenblas\.so\.0.*apt install libopenblas0-pthread/);
    expect(stdout).to.include(`openblas skipped: ${openblas.skipped}`);
    expect(report().results[0]!.peers).to.deep.equal({});
  });

  it('a peer that breaks costs nobody else', () => {
    const breaks = 'if (process.argv[1]?.endsWith("tfjs.js")) throw new Error("out of order")';
    const { status, stderr } = benchIn(
      { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(breaks)}` },
      ['--case', 'elementwise/relu-1M', '--peers', 'tfjs-wasm', ...quick],
    );
    expect(status, stderr).to.equal(1);
    const { results, failures } = report();
    expect(results.length).to.equal(1);
    expect(results[0]!.peers).to.deep.equal({});
    expect(failures.length).to.equal(1);
    expect(failures[0]).to.include({ case: 'elementwise/relu-1M', library: 'tfjs-wasm' });
    expect(failures[0]!.reason).to.match(/^TensorFlow\.js \(wasm\) failed .*\n.*out of order/);
  });

  it('lists its cases, each once, and explains itself', () => {
    const names = bench('--list').stdout.trim().split('\n');
    expect(new Set(names).size).to.equal(names.length);
    const inGroup = (group: string) => names.filter((n) => n.startsWith(`${group}/`)).length;
    expect(['gemm', 'gemm-kin', 'gemm-f64'].map(inGroup)).to.deep.equal([12, 24, 12]);
    expect(names).to.include('step/784-1024-1024-10-b128');
    const help = bench('--help').stdout;
    for (const { name } of PEERS) expect(help).to.include(name);
  });

  it('--quick takes cases of every group but the kin, unless it is told which', () => {
    const groups = new Set(CASES.filter((c) => c.quick).map(groupOf));
    const all = new Set(CASES.map(groupOf));
    all.delete('gemm-kin');
    expect([...groups].sort()).to.deep.equal([...all].sort());
    const { status, stderr } = bench(
      ...['--quick', '--case', 'eager/add-64', '--peers', 'none', '--out', 'r.json'],
    );
    expect(status, stderr).to.equal(0);
    expect(report()).to.include({ rounds: 1, seconds: 0.1 });
    expect(report().results.map((r) => r.name)).to.deep.equal(['eager/add-64']);
  });

  const wrong: [string, string[], RegExp][] = [
    ['an unknown flag', ['--fast'], /--fast/],
    ['an unknown case', ['--case', 'eager,nonsense'], /nonsense/],
    ['an unknown peer', ['--peers', 'abacus'], /abacus.*torch/],
    ['no threads', ['--threads', '0'], /--threads .*"0"/],
    ['no threads among some', ['--threads', '1,'], /--threads .*""/],
    ['a fraction of a round', ['--rounds', '1.5'], /--rounds .*"1\.5"/],
    ['no time', ['--seconds', '-1'], /--seconds/],
    ['a missing value', ['--out'], /--out/],
    ['a file that cannot be written', ['--out', '/dev/null/r.json'], /--out \/dev\/null\/r\.json/],
    ['results that are not there', ['--from', 'nowhere.json'], /--from nowhere\.json: ENOENT/],
    ['results that are none', ['--from', PROGRAM], /--from .*index\.js: /],
    ['a stray word', ['gemm'], /gemm/],
  ];
  for (const [what, args, message] of wrong) {
    it(`refuses ${what} in one line, with exit code 2`, () => {
      const { status, stdout, stderr } = bench(...args);
      expect(status, stderr).to.equal(2);
      expect(stdout).to.equal('');
      expect(stderr)
        .to.match(/^bench: .+\n$/)
        .and.match(message);
      expect(fs.readdirSync(box)).to.deep.equal([]);
    });
  }
});

describe('the tables of npm run bench', () => {
  const round = (median_ns: number) => ({
    ...{ median_ns, best_ns: median_ns, mean_ns: median_ns, cpu_ns: median_ns, iterations: 1 },
    ...{ library: '', isa: 'avx2', threads: 2 },
  });
  /** Rounds of ours and of peers, in ns. */
  function result(name: string, times: number[], peers: Record<string, number[]>): Result {
    const ours = series(times.map(round));
    const compared = (theirs: number[]) => compare(ours, theirs.map(round));
    return {
      ...{ name, threads: 2, ours, work: CASES.find((c) => c.name === name)!.work },
      peers: Object.fromEntries(Object.entries(peers).map(([n, t]) => [n, compared(t)])),
      limit: compared([1_310_720]),
    };
  }
  const peer = (library: string) => ({ title: library, library, isa: 'avx2' });
  const some = (results: Result[], date: string): Report => ({
    ...{ schema: 2, date, isa: 'avx2', rounds: 3, seconds: 1, failures: [], results },
    peers: { openblas: peer('OpenBLAS 9'), blis: peer('BLIS 9'), torch: { skipped: 'no python' } },
    machine: {
      ...{ cpu: 'CPU', cpuId: null, cores: 2, memoryBytes: 1, os: 'os', node: 'v1', commit: 'abc' },
    },
  });
  const product = 'gemm/512x512x512';
  const other = 'gemm/128x128x128';
  // 2 · 512³ = 268,435,456 operations: 2,684,354.56 ns are 100 GFLOP/s.
  const fast = result(product, [2_684_355, 2_600_000, 2_800_000], {
    openblas: [5_368_710, 5_460_000, 5_320_000],
    blis: [26_843_550],
  });

  it('pair ratios by round and take the median', () => {
    const { openblas, blis } = fast.peers;
    expect(openblas!.ratio).to.deep.include({ median: 2, low: 1.9, high: 2.1 });
    expect(blis!.ratio.median).to.equal(10); // one round, against the first of ours
  });

  it('merge runs, name the best peer, and give the geometric mean', () => {
    const slow = result(other, [100_000], { openblas: [900_000], blis: [800_000] });
    const stale = result(product, [1], { openblas: [1] });
    const files = [
      some([stale, slow], '2026-01-02T00:00:00Z'),
      some([fast], '2026-01-03T00:00:00Z'),
    ];
    files.forEach((r, i) => fs.writeFileSync(join(box, `${i}.json`), JSON.stringify(r)));
    const { status, stdout, stderr } = bench(
      ...['--from', '0.json,1.json', '--markdown', '--out', 'all.json'],
    );
    expect(status, stderr).to.equal(0);
    const lines = stdout.split('\n');
    expect(lines[0]).to.equal(
      '- 2026-01-03; CPU, 2 cores; avx2; node v1; commit abc; 3 rounds of 1 s',
    );
    expect(lines).to.include.members([
      '- openblas: OpenBLAS 9, avx2',
      '- torch skipped: no python',
      // √(2 · 8)
      '**gemm, 2 threads**: geometric mean against the best peer 4.00×, lowest 2.00×.',
      '| case | tapegrad | limit | openblas | blis | against the best (spread) |',
      '| --- | ---: | ---: | ---: | ---: | ---: |',
      `| ${product} | 100 GFLOP/s | 49 % of peak | 50 GFLOP/s (2.00×) | 10 GFLOP/s (10.00×) | 2.00× openblas (1.90 … 2.10) |`,
    ]);
    expect(stdout).to.match(/\| gemm\/128x128x128 .*\| 8\.00× blis \(8\.00 … 8\.00\) \|/);
    expect(report('all.json').results.map((r) => r.name)).to.deep.equal([product, other]);
    expect(textsOf(read('all.svg'))).to.include.members(['512x512x512', '2.00×', '8.00×', 'blis']);
  });

  it('count the operations of a step', () => {
    const flops = (name: string) => {
      const limit = limitOf(CASES.find((c) => c.name === name)!.work)!;
      return limit.kind === 'fma' ? limit.flops : NaN;
    };
    // Forward and weights of all layers, inputs of all but the first.
    const dense = 784 * 256 * 2 + 256 * 128 * 3 + 128 * 10 * 3;
    expect(flops('step/784-256-128-10-b128')).to.equal(2 * 128 * dense);
    const convolved = 26 ** 2 * 32 * 9 * 2 + 24 ** 2 * 64 * 32 * 9 * 3;
    expect(flops('step/cnn-b64')).to.equal(2 * 64 * (convolved + (9216 * 128 + 128 * 10) * 3));
    const { work } = CASES.find((c) => c.name === 'step/4-16-3-b32')!;
    expect(productsOf(work)).to.deep.equal([
      { m: 32, n: 16, k: 4, transposed: 'b' },
      { m: 16, n: 4, k: 32, transposed: 'a' },
      { m: 32, n: 3, k: 16, transposed: 'b' },
      { m: 32, n: 16, k: 3, transposed: '' },
      { m: 3, n: 16, k: 32, transposed: 'a' },
    ]);
  });
});
