// The gate against getting slower: that it passes what is unchanged, that it fails what is not, and that the
// comparison with another commit leaves nothing behind.
import { expect } from 'chai';
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CASES } from '../bench/cases.js';
import { COUNTED, count, counters } from '../bench/check/counters.js';
import { instructions } from '../bench/check/instructions.js';
import { BASELINE, readBaseline, writeBaseline } from '../bench/check/part.js';
import { roofline } from '../bench/check/roofline.js';
import { compare } from '../bench/compare/statistics.js';

const program = (name: string) => fileURLToPath(new URL(`../bench/${name}`, import.meta.url));
const CHECK = program('check/index.js');
const COMPARE = program('compare/index.js');
const node = (...args: string[]) =>
  spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 590_000 });

let box = '';
beforeEach(() => {
  box = fs.mkdtempSync(join(tmpdir(), 'bench-check-'));
});
afterEach(() => {
  fs.rmSync(box, { recursive: true });
});

describe('npm run bench:check', function () {
  this.timeout(600_000);
  const committed = readBaseline(BASELINE);

  it('the committed baseline covers what is counted, and a step asks the system for nothing', () => {
    expect(Object.keys(committed.counters).sort()).to.deep.equal([...COUNTED].sort());
    const names = CASES.map((c) => c.name);
    expect(COUNTED.filter((name) => !names.includes(name))).to.deep.equal([]);
    for (const [name, counts] of Object.entries(committed.counters))
      expect(counts.systemAllocations, name).to.equal(0);
    expect(committed.instructions.compiler).to.match(/\d+\.\d+/);
    const { avx2, baseline } = committed.instructions.counts;
    expect(Object.keys(avx2!))
      .to.deep.equal(Object.keys(baseline!))
      .and.include('gemm/128x256x256');
    for (const bounds of Object.values(committed.roofline))
      for (const [name, bound] of Object.entries(bounds)) expect(bound, name).to.be.above(0);
  });

  if (process.arch === 'x64')
    it('counts what an iteration does', () => {
      const of = (name: string) => count(CASES.find((c) => c.name === name)!.work);
      // An op and its disposal.
      expect(of('eager/add-8x8')).to.deep.equal({
        nativeCalls: 2,
        kernels: 1,
        tensors: 1,
        scratchBytes: 0,
        systemAllocations: 0,
      });
      // Running, its outcome, the loss; a training takes these once for a block of steps, and its memory once.
      const compiled = CASES.find((c) => c.name === 'compiled/4-16-3-b32-train')!;
      const steps = 5000;
      const trained = count(compiled.work, steps);
      expect(trained.nativeCalls).to.be.within(1 / steps, 0.05);
      expect(trained.systemAllocations * steps).to.be.at.most(3);
      // One fused update, however many tensors; nothing is made.
      expect(of('adam/100x1000')).to.include({ nativeCalls: 1, kernels: 1, tensors: 0 });
      // A transposed operand is packed: at least one panel of it.
      expect(of('gemm/128x1024x1024-bt').scratchBytes).to.be.at.least(4 * 4 * 1024);
      expect(of('gemm/64x64x64').scratchBytes).to.equal(0);
    });

  if (process.arch === 'x64')
    it('fails where a count differs, and --update puts it right', () => {
      const file = join(box, 'baseline.json');
      const wrong = readBaseline(BASELINE);
      wrong.counters['step/4-16-3-b32']!.kernels -= 1;
      delete wrong.counters['adam/100x1000'];
      writeBaseline(file, wrong);
      const args = [CHECK, '--only', 'counters', '--baseline', file];
      const failed = node(...args);
      expect(failed.status, failed.stderr).to.equal(1);
      const is = committed.counters['step/4-16-3-b32']!.kernels;
      expect(failed.stdout)
        .to.include(`step/4-16-3-b32: kernels ${is - 1} → ${is}`)
        .and.include('adam/100x1000: not in the baseline')
        .and.include(`${COUNTED.length} checked, 2 differ`);

      expect(node(...args, '--update').status).to.equal(0);
      expect(readBaseline(file)).to.deep.equal(committed);
    });

  it('counters must be equal', () => {
    const was = committed.counters;
    expect(counters.compare(structuredClone(was), was).failures).to.deep.equal([]);
    const now = structuredClone(was);
    now['eager/add-8x8']!.systemAllocations += 0.05; // one block in twenty steps
    expect(counters.compare(now, was).failures).to.deep.equal([
      'eager/add-8x8: systemAllocations 0 → 0.05',
    ]);
  });

  it('instructions may differ by 1 %, in both directions', () => {
    const was = committed.instructions;
    const scaled = (factor: number) => {
      const now = structuredClone(was);
      now.counts['avx2']!['elementwise/exp']! *= factor;
      return instructions.compare(now, was).failures;
    };
    expect(scaled(1)).to.deep.equal([]);
    expect(scaled(1.0099)).to.deep.equal([]);
    expect(scaled(0.9901)).to.deep.equal([]);
    expect(scaled(1.05)).to.have.lengthOf(1);
    expect(scaled(1.05)[0]).to.match(/^avx2 elementwise\/exp: .* \(\+5\.00 %\)$/);
    expect(scaled(0.95)[0]).to.match(/\(-5\.00 %\)$/);
    const fewer = structuredClone(was);
    delete fewer.counts['baseline']!['elementwise/exp'];
    expect(instructions.compare(fewer, was).failures[0]).to.match(/→ none/);
  });

  it('another compiler is named and its counts are not compared', () => {
    const reason = instructions.incomparable!({ ...committed.instructions, compiler: 'g++ 1.0' });
    expect(reason).to.match(/that of g\+\+ 1\.0, and this is /);
  });

  it('a kernel below its bound of the roof fails', () => {
    const bounds = { avx512: { 'gemm/a': 0.8, 'gemm/b': 0.8 } };
    const verdict = roofline.compare({ avx512: { 'gemm/a': 0.81, 'gemm/b': 0.79 } }, bounds);
    expect(verdict.failures).to.deep.equal([
      'avx512 gemm/b: 0.790 of the roof, at least 0.8 wanted',
    ]);
    expect(roofline.compare({ avx512: { 'gemm/a': NaN } }, bounds).failures).to.have.lengthOf(2);
  });

  for (const [what, args, message] of [
    ['an unknown part', ['--only', 'speed'], /speed.*roofline/],
    ['an unknown flag', ['--fast'], /--fast/],
  ] as const)
    it(`refuses ${what} in one line, with exit code 2`, () => {
      const { status, stdout, stderr } = node(CHECK, ...args);
      expect({ status, stdout }).to.deep.equal({ status: 2, stdout: '' });
      expect(stderr)
        .to.match(/^bench:check: .+\n$/)
        .and.match(message);
    });
});

describe('npm run bench:compare', function () {
  this.timeout(600_000);

  // Deterministic noise in [-1, 1).
  const noise = (i: number) => ((i * 7919) % 1000) / 500 - 1;
  const pairs = (n: number, loss: number, spread: number) =>
    Array.from({ length: n }, (_, i) => (1 + loss) * (1 + spread * noise(i + 1)));

  it('finds a loss of 5 % in noise of 4 %, and none where there is none', () => {
    expect(compare(pairs(20, 0.05, 0.04))).to.include({ slower: true });
    expect(compare(pairs(20, 0, 0.04))).to.include({ slower: false });
    expect(compare(pairs(20, -0.05, 0.04))).to.include({ slower: false });
    // Certain, but small; and large, but uncertain.
    expect(compare(pairs(20, 0.02, 0.001))).to.include({ slower: false, p: 2 ** -20 });
    expect(compare([...Array<number>(12).fill(1.2), ...Array<number>(8).fill(0.9)])).to.include({
      slower: false,
      ratio: 1.2,
    });
  });

  it("the sign test's p is the binomial tail, without ties", () => {
    const split = (up: number, down: number, ties = 0) =>
      compare([
        ...Array<number>(up).fill(1.1),
        ...Array<number>(down).fill(0.9),
        ...Array<number>(ties).fill(1),
      ]).p;
    expect(split(15, 0)).to.equal(2 ** -15);
    expect(split(13, 2)).to.be.closeTo(121 / 32768, 1e-15); // (15 over 2) + 15 + 1
    expect(split(13, 2, 5)).to.equal(split(13, 2));
    expect(split(0, 15)).to.equal(1);
    expect(split(0, 0, 15)).to.equal(1);
  });

  for (const [what, args, message] of [
    ['no commit', [], /name one commit/],
    ['two commits', ['HEAD', 'HEAD'], /name one commit/],
    ['an unknown commit', ['no-such-ref'], /no-such-ref/],
    ['an option for git', ['--', '--all'], /--all/],
    ['too few pairs', ['HEAD', '--pairs', '14'], /--pairs .*15/],
    ['an unknown case', ['HEAD', '--case', 'nonsense'], /nonsense/],
  ] as const)
    it(`refuses ${what} in one line, with exit code 2`, () => {
      const { status, stdout, stderr } = node(COMPARE, ...args);
      expect({ status, stdout }).to.deep.equal({ status: 2, stdout: '' });
      expect(stderr)
        .to.match(/^bench:compare: .+\n$/)
        .and.match(message);
    });

  const git = (...args: string[]) => spawnSync('git', args, { encoding: 'utf8' });
  const checkout = git('rev-parse', '--verify', 'HEAD').status === 0;
  (checkout && process.platform !== 'win32' ? it : it.skip)(
    'stopped in the middle of the build, leaves no worktree behind (needs a git checkout)',
    async () => {
      const child = spawn(process.execPath, [COMPARE, 'HEAD'], {
        env: { ...process.env, TMPDIR: box },
        stdio: 'ignore',
      });
      const ended = new Promise<number | null>((resolve) => {
        child.on('close', resolve);
      });
      // The base is being built once its folder for objects is there.
      const building = () =>
        fs.readdirSync(box).some((d) => fs.existsSync(join(box, d, 'tapegrad/build')));
      while (child.exitCode === null && !building())
        await new Promise((resolve) => setTimeout(resolve, 20));
      expect(git('worktree', 'list').stdout).to.include(box);
      child.kill('SIGINT');
      expect(await ended).to.equal(130);
      expect(fs.readdirSync(box)).to.deep.equal([]);
      expect(git('worktree', 'list').stdout).to.not.include(box);
    },
  );
});
