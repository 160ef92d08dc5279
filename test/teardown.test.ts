// How training ends: workers terminated, processes that exit, errors nobody catches. Everything that might
// crash is a child process, judged by its code and signal.
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./workers/teardown.js', import.meta.url));

interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}
function run(...args: (string | number)[]): Promise<Ending> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [PROGRAM, ...args.map(String)], {
      timeout: 590_000,
      killSignal: 'SIGABRT',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (s: string) => (stdout += s));
    child.stderr.setEncoding('utf8').on('data', (s: string) => (stderr += s));
    child.on('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr });
    });
  });
}
async function succeeds(...args: (string | number)[]): Promise<unknown> {
  const { code, signal, stdout, stderr } = await run(...args);
  expect({ code, signal, stderr }).to.deep.equal({ code: 0, signal: null, stderr: '' });
  return JSON.parse(stdout);
}

interface Trained {
  losses: number[];
  memory: number;
}

describe('teardown', function () {
  this.timeout(600_000);

  it('two workers and the main thread train at once and get the same numbers', async () => {
    const [main, first, second] = (await succeeds('two-and-main', 100)) as Trained[];
    expect(main!.losses.length).to.equal(100);
    expect(main!.losses[99]).to.be.below(0.5 * main!.losses[0]!);
    expect(first!.losses).to.deep.equal(main!.losses);
    expect(second!.losses).to.deep.equal(main!.losses);
  });

  it('two workers train where the main thread never loads the addon', async () => {
    const [first, second] = (await succeeds('two', 100)) as Trained[];
    expect(first!.losses[99]).to.be.below(0.5 * first!.losses[0]!);
    expect(second!.losses).to.deep.equal(first!.losses);
  });

  it('50 workers terminated in mid-training', async () => {
    expect(await succeeds('terminate', 50, 1)).to.deep.equal({ ended: 50 });
  });

  it('20 times process.exit in mid-training, half of them while a worker trains', async () => {
    for (let i = 0; i < 20; i += 2) {
      const both = await Promise.all([run('exit', 1, i), run('exit', 1, i + 1)]);
      for (const { code, signal, stderr } of both)
        expect({ code, signal, stderr }).to.deep.equal({ code: 7, signal: null, stderr: '' });
    }
  });

  it('process.exit in a worker in mid-training', async () => {
    expect(await succeeds('exit-in-worker')).to.deep.equal({ code: 7 });
  });

  it('an error that nobody catches in mid-step ends the process as any other', async () => {
    const { code, signal, stderr } = await run('throw');
    expect({ code, signal }).to.deep.equal({ code: 1, signal: null });
    expect(stderr).to.include('Error: in mid-step');
  });

  it('an error that nobody catches in a worker ends that worker only', async () => {
    const { code, next } = (await succeeds('throw-in-worker')) as { code: string; next: Trained };
    expect(code).to.equal('in mid-step');
    expect(next.losses.length).to.equal(3);
  });

  it('a worker that runs out of JavaScript heap does not take the process down', async () => {
    const { code, next } = (await succeeds('heap')) as { code: string; next: Trained };
    expect(code).to.equal('ERR_WORKER_OUT_OF_MEMORY');
    expect(next.losses.length).to.equal(3);
  });
});
