// Runs trouble.ts in a process of its own, with a device that the environment describes.
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('trouble.js', import.meta.url));

/** What it printed; it must have ended well. */
export function child(mode: string, env: Record<string, string>): unknown {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, mode], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  expect({ status, signal, stderr }).to.deep.equal({ status: 0, signal: null, stderr: '' });
  return stdout === '' ? {} : JSON.parse(stdout);
}
