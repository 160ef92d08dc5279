// Builds native/bench/child.cpp, which measures BLAS libraries and the machine's limits: one call of the compiler
// that the package needs anyway, when the program is missing or older than a source. Never part of an install.
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './machine.js';

const FOLDER = join(ROOT, 'build-bench');
export const NATIVE = join(FOLDER, 'child');

const native = (file: string): string => join(ROOT, 'native', file);
// The threads that wait and wake are tapegrad's, so that the limits pay what its kernels pay.
const SOURCES = [
  'bench/child.cpp',
  'bench/limits.cpp',
  'bench/blas_peers.cpp',
  'core/thread_pool.cpp',
].map(native);
const HEADERS = [
  'bench/limits.h',
  'bench/timing.h',
  'bench/blas_peers.h',
  'core/thread_pool.h',
].map(native);

const age = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Why there is no native child; null once there is one. */
export function buildNative(): string | null {
  if (age(NATIVE) > Math.max(...[...SOURCES, ...HEADERS].map(age))) return null;
  mkdirSync(FOLDER, { recursive: true });
  const compiler = process.env['CXX'] ?? 'g++';
  // For this machine, and with contracted multiply-adds: what is wanted is its limit.
  const flags = '-std=gnu++17 -O3 -march=native -ffp-contract=fast -Wall -Wextra -pthread'.split(
    ' ',
  );
  // Under a name of its own, for another process may be building it, or running the old one.
  const fresh = `${NATIVE}-${process.pid}`;
  const { status, error, stderr } = spawnSync(
    compiler,
    [...flags, ...SOURCES, '-o', fresh, '-ldl'],
    { encoding: 'utf8' },
  );
  if (status === 0) {
    renameSync(fresh, NATIVE);
    return null;
  }
  const [line = ''] = (error?.message ?? stderr).split('\n').filter((l) => /error|ENOENT/.test(l));
  return `${compiler} cannot build native/bench: ${line || `exit code ${status}`}`;
}
