// What a result depends on besides the code: processor, operating system, node, commit.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** The checkout. This file runs from build-ts/bench/. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface Machine {
  cpu: string;
  /** x86 family, model and stepping, where the system tells: "AMD EPYC" alone says little. */
  cpuId: string | null;
  cores: number;
  memoryBytes: number;
  os: string;
  node: string;
  /** With "+" if the working tree differs from it; null outside a git checkout. */
  commit: string | null;
}

function git(...args: string[]): string | null {
  const { status, stdout } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : null;
}

function cpuInfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}

export function hasAvx512(): boolean {
  return /^flags\s*:.*\bavx512vl\b/m.test(cpuInfo());
}

export function machine(): Machine {
  const info = cpuInfo();
  const field = (name: string) => new RegExp(`^${name}\\s*: (\\d+)$`, 'm').exec(info)?.[1];
  const id = ['cpu family', 'model', 'stepping'].map(field);
  const commit = git('rev-parse', '--short=12', 'HEAD');
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cpuId: id.every((n) => n !== undefined) ? id.join('/') : null,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    os: `${process.platform} ${release()} ${process.arch}`,
    node: process.version,
    commit: commit && `${commit}${git('status', '--porcelain') ? '+' : ''}`,
  };
}
