// npm run bench as a user meets it: the JSON file, the table, and what it says to wrong flags.
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Report } from '../bench/report.js';

const PROGRAM = fileURLToPath(new URL('../bench/index.js', import.meta.url));

let box = '';
beforeEach(() => {
  box = fs.mkdtempSync(join(tmpdir(), 'bench-'));
});
afterEach(() => {
  fs.rmSync(box, { recursive: true });
});

const bench = (...args: string[]) =>
  spawnSync(process.execPath, [PROGRAM, ...args], { cwd: box, encoding: 'utf8', timeout: 110_000 });
const quick = ['--rounds', '1', '--threads', '1', '--seconds', '0.02'];
const report = (file: string) => JSON.parse(fs.readFileSync(join(box, file), 'utf8')) as Report;

function expectTiming(t: Record<string, unknown>): void {
  for (const key of ['median_ns', 'best_ns', 'mean_ns', 'cpu_ns', 'iterations'])
    expect(t[key], key).to.be.a('number').above(0);
  expect(t['best_ns']).to.be.at.most(t['median_ns'] as number);
  // A call into native code takes tens of nanoseconds, one on 64 numbers no millisecond.
  expect(t['best_ns']).to.be.within(10, 1e6);
}

describe('npm run bench', function () {
  this.timeout(120_000);

  it('measures a case, writes JSON and prints a table', () => {
    const { status, stdout, stderr } = bench(
      '--case',
      'eager/add-8x8',
      ...quick,
      '--out',
      'sub/r.json',
    );
    expect(status, stderr).to.equal(0);
    expect(stdout.trimEnd().split('\n').at(-1)).to.equal(join('sub', 'r.json'));

    const r = report('sub/r.json');
    expect(r).to.include({ schema: 1, threads: 1, rounds: 1, seconds: 0.02 });
    expect(Math.abs(Date.now() - Date.parse(r.date))).to.be.below(120_000);
    expect(r.machine).to.include({ node: process.version });
    expect(r.machine.cpu).to.be.a('string').and.not.equal('');
    expect(r.isa).to.be.oneOf(['avx512bf16', 'avx512', 'avx2', 'baseline', 'neon']);
    expect(r.failures).to.deep.equal([]);
    expect(r.results.length).to.equal(1);

    const [result] = r.results as [Report['results'][number]];
    expect(result.name).to.equal('eager/add-8x8');
    expect(result.work).to.deep.equal({ kind: 'eager', op: 'add', shape: [8, 8] });
    expect(result.ours.rounds.length).to.equal(1);
    expectTiming({ ...result.ours.rounds[0]! });
    expect(result.ours.median_ns).to.equal(result.ours.rounds[0]!.median_ns);
    expect(result.ours.rounds[0]!.threads).to.equal(1);
    expect(stdout).to.match(/^eager\/add-8x8 +\d+\.\d\d µs +\d+\.\d\d µs/m);

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
      expect(stdout).to.match(/torch\/tapegrad/);
    }
  });

  it('runs every kind of work', () => {
    const names = [
      'backward/chain-64',
      'elementwise/sum-1M',
      'gemm/1024x1024x128-at',
      'adam/100x1000',
      'step/4-16-3-b32',
    ];
    const { status, stderr } = bench(
      '--case',
      names.join(),
      ...quick,
      '--peers',
      'none',
      '--out',
      'r.json',
    );
    expect(status, stderr).to.equal(0);
    const r = report('r.json');
    expect(r.results.map((c) => c.name)).to.deep.equal(names);
    expect(r.peers).to.deep.equal({});
    for (const c of r.results) expect(c.ours.best_ns, c.name).to.be.above(0);
  });

  it('lists its cases, each once, and explains itself', () => {
    const names = bench('--list').stdout.trim().split('\n');
    expect(new Set(names).size).to.equal(names.length);
    expect(names.filter((n) => n.startsWith('gemm/')).length).to.equal(12);
    expect(names).to.include('step/784-256-128-10-b128');
    expect(bench('--help').stdout).to.include('--rounds N');
  });

  const wrong: [string, string[], RegExp][] = [
    ['an unknown flag', ['--fast'], /--fast/],
    ['an unknown case', ['--case', 'eager,nonsense'], /nonsense/],
    ['an unknown peer', ['--peers', 'abacus'], /abacus.*torch/],
    ['no threads', ['--threads', '0'], /--threads .*"0"/],
    ['a fraction of a round', ['--rounds', '1.5'], /--rounds .*"1\.5"/],
    ['no time', ['--seconds', '-1'], /--seconds/],
    ['a missing value', ['--out'], /--out/],
    ['a file that cannot be written', ['--out', '/dev/null/r.json'], /--out \/dev\/null\/r\.json/],
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
