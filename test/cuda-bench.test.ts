// bench/cuda as scripts/gpu-check runs it, with tiny sizes: the JSON file, the table, what becomes of cases that fail.
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CASES, QUICK, boundOf } from '../bench/cuda/cases.js';
import { compare, measured, roofed, series, table, type Report } from '../bench/cuda/report.js';
import { needsDevice } from './cuda/device.js';

const PROGRAM = fileURLToPath(new URL('../bench/cuda/index.js', import.meta.url));

let box = '';
before(() => {
  box = fs.mkdtempSync(join(tmpdir(), 'cuda-bench-'));
});
after(() => {
  fs.rmSync(box, { recursive: true });
});

interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
}
function bench(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, ...args], { env: { ...process.env, ...env } });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (status) => {
      resolve({ status, stdout, stderr });
    });
  });
}
const read = (file: string) => JSON.parse(fs.readFileSync(join(box, file), 'utf8')) as Report;

describe('the benchmarks on CUDA', function () {
  this.timeout(600_000);

  describe('on a device', () => {
    before(function () {
      needsDevice(this);
    });

    it('measure every kind of work, write JSON and print a table', async () => {
      const out = join(box, 'all.json');
      const { status, stdout, stderr } = await bench({}, '--quick', '--out', out, '--commit', 'c0');
      expect(status, stderr).to.equal(0);
      const r = read('all.json');
      expect(r).to.include({ schema: 1, commit: 'c0', rounds: 1 });
      expect(Math.abs(Date.now() - Date.parse(r.date))).to.be.below(600_000);
      expect(r.device!.device).to.be.a('string').and.not.equal('');
      expect(r.device!.driver).to.be.a('number').above(0);
      expect(r.peer).to.deep.equal({ skipped: 'not asked for' });
      expect(r.roof).to.be.a('number').above(0);
      expect(r.results.map((c) => c.name)).to.deep.equal(QUICK.map((c) => c.name));
      for (const { name, work, ours, theirs, ratio, rate, roofShare } of r.results) {
        if (!measured(ours)) throw new Error(`${name}: ${JSON.stringify(ours)}`);
        expect(ours.rounds_ns, name).to.have.length(1);
        expect(ours.median_ns, name).to.equal(ours.rounds_ns[0]).and.to.be.above(0);
        expect(ours.iterations, name).to.be.at.least(1);
        expect(theirs, name).to.deep.equal({ skipped: 'not asked for' });
        expect(ratio, name).to.equal(null);
        const bound = boundOf(work);
        expect(Object.keys(rate ?? {}), name).to.deep.equal(Object.keys(bound ?? {}));
        expect(roofShare !== null, name).to.equal(bound !== null && 'bytes' in bound);
      }
      const lines = stdout.trimEnd().split('\n');
      expect(lines.slice(-QUICK.length).map((line) => line.split(' ')[0])).to.deep.equal(
        QUICK.map((c) => c.name),
      );
    });

    it('name what was not reached in time', async () => {
      const out = join(box, 'late.json');
      const { stdout } = await bench(
        {},
        '--quick',
        '--seconds',
        '1',
        '--rounds',
        '999',
        '--out',
        out,
      );
      const { results } = read('late.json');
      expect(results.length).to.equal(QUICK.length);
      expect(results.at(-1)!.ours).to.deep.equal({ skipped: 'no time was left' });
      expect(stdout).to.match(/^add\/8x8 +– +– +–$/m);
    });
  });

  it('say why there is no device', async () => {
    const env = { TAPEGRAD_CUDA_LIBRARY: join(box, 'none.so') };
    const { status, stderr } = await bench(env, '--quick', '--out', join(box, 'none.json'));
    expect(status).to.equal(1);
    expect(stderr).to.match(/no CUDA device: .*none\.so: there is no such file/);
    expect(read('none.json')).to.deep.include({ device: null, results: [] });
  });

  it('say what is wrong with a flag', async () => {
    for (const [args, complaint] of [
      [['--case', 'nonsense'], '--case nonsense: no such case or group'],
      [['--rounds', '0'], '--rounds must be from 1 to 1000, got "0"'],
      [['--wrong'], "Unknown option '--wrong'"],
    ] as const) {
      const { status, stderr } = await bench({}, ...args);
      expect(status).to.equal(2);
      expect(stderr).to.include(complaint);
    }
  });

  it('pair rounds, and take the better copy for the roof', () => {
    const [copy, adam] = [CASES[0]!, CASES[1]!];
    const bytes = { copy: 2 ** 31, adam: 28 * 2 ** 26 };
    const results = [
      compare(copy, series([1e6, 2e6, 4e6], 9), series([2e6, 1e6, 8e6], 9)),
      compare(adam, series([1e6], 9), series([3e6], 9, 'a note')),
      compare(adam, { failed: 'for a reason' }, series([3e6], 9)),
    ];
    expect(results[0]!.ratio).to.deep.equal({ median: 2, low: 0.5, high: 2 });
    expect(results[1]!.theirs).to.deep.include({ median_ns: 3e6, note: 'a note' });
    expect(results[2]).to.deep.include({ ratio: null, rate: null, roofShare: null });
    const { roof, results: shares } = roofed(results);
    expect(roof).to.be.closeTo(bytes.copy / 2e-3, 1);
    expect(shares[1]!.roofShare).to.be.closeTo(bytes.adam / 1e-3 / roof!, 1e-9);
    const text = table({
      ...shares[0]!,
      results: shares,
      device: null,
      peer: { skipped: 'x' },
    } as never);
    expect(text).to.include('adam/64M: tapegrad failed: for a reason');
    expect(text).to.match(/^adam\/64M +1879 GB\/s +626 GB\/s +3\.00× +175 %$/m);
  });

  it('have names that differ, and every kind of work in the quick part', () => {
    for (const cases of [CASES, QUICK])
      expect(new Set(cases.map((c) => c.name)).size).to.equal(cases.length);
    expect(new Set(QUICK.map((c) => c.work.kind))).to.deep.equal(
      new Set(CASES.map((c) => c.work.kind)),
    );
  });
});
