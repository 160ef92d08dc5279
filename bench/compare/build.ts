// A build of another commit, in a git worktree of its own that is gone when this process ends, Ctrl-C included.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../machine.js';

function git(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) throw new Error(`git ${args[0]}: ${stderr.trim()}`);
  return stdout.trim();
}

/** The commit that a name stands for, or null. */
export function commitOf(ref: string): string | null {
  const { status, stdout } = spawnSync(
    'git',
    ['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`],
    { cwd: ROOT, encoding: 'utf8' },
  );
  return status === 0 ? stdout.trim() : null;
}

let running: ChildProcess | null = null;

/** Runs a program to its end without blocking this process, so that signals are heard. */
async function run(cwd: string, args: string[]): Promise<void> {
  // A group of its own, so that compilers end with it.
  const child = spawn(process.execPath, args, {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running = child;
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (more: string) => (text += more));
  const status = await new Promise((resolve) => {
    child.on('error', resolve).on('close', resolve);
  });
  running = null;
  if (status !== 0)
    throw new Error(`the base does not build:\n${text.trim().split('\n').slice(-15).join('\n')}`);
}

/**
 * Checks the commit out and builds the addon and the package. The benchmarks are this checkout's, so that both
 * builds do the same; so are the installed packages.
 * @returns the root of the checkout, whose build-ts/bench/ours.js measures that build
 * @throws Error with the end of the build's log
 */
export async function buildBase(commit: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'tapegrad-base-'));
  const root = join(folder, 'tapegrad');
  const remove = (): void => {
    if (running?.pid) process.kill(-running.pid, 'SIGKILL');
    spawnSync('git', ['worktree', 'remove', '--force', root], { cwd: ROOT });
    rmSync(folder, { recursive: true, force: true });
  };
  process.on('exit', remove);
  for (const [signal, number] of Object.entries({ SIGINT: 2, SIGTERM: 15, SIGHUP: 1 }))
    process.on(signal, () => process.exit(128 + number));

  git('worktree', 'add', '--quiet', '--detach', root, commit);
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  const bin = (path: string) => join(ROOT, 'node_modules', path);
  await run(root, [bin('node-gyp/bin/node-gyp.js'), 'configure', 'build']);
  await run(root, [bin('typescript/bin/tsc'), '-b', 'tsconfig.lib.json']);
  cpSync(join(ROOT, 'build-ts/bench'), join(root, 'build-ts/bench'), { recursive: true });
  return root;
}
