// The libraries that tapegrad is measured against, and tapegrad itself: how to find one and how to start the
// child process that measures it. To add a peer, add it to PEERS; its child gets a `Job` as JSON in its first
// argument and prints a `Measurement` as one line of JSON.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Work } from './cases.js';
import { ROOT, hasAvx512 } from './machine.js';
import type { Measurement } from './measure.js';

export interface Job {
  work: Work;
  threads: number;
  seconds: number;
  seed: number;
}

export interface Library {
  name: string;
  title: string;
  /** Why it cannot be measured here; null if it can. */
  missing(): string | null;
  /** Whether it has this computation at all. */
  supports(work: Work): boolean;
  command: string;
  args: string[];
  env(job: Job): Record<string, string>;
}

export const OURS: Library = {
  name: 'tapegrad',
  title: 'tapegrad',
  missing: () => null,
  supports: () => true,
  command: process.execPath,
  args: [fileURLToPath(new URL('./ours.js', import.meta.url))],
  env: ({ threads }) => ({ TAPEGRAD_NUM_THREADS: `${threads}` }),
};

// Debian's python3-torch belongs to the system's interpreter; another python3 may come first on PATH. -I keeps the
// script's own folder, where a torch.py lies, off its path.
const SYSTEM_PYTHON = '/usr/bin/python3';

const TORCH: Library = {
  name: 'torch',
  title: 'PyTorch',
  missing() {
    if (!existsSync(SYSTEM_PYTHON)) return `there is no ${SYSTEM_PYTHON}`;
    const { status, stderr } = spawnSync(SYSTEM_PYTHON, ['-I', '-c', 'import torch'], {
      encoding: 'utf8',
    });
    if (status === 0) return null;
    const reason = stderr.trim().split('\n').at(-1) ?? '';
    return `${SYSTEM_PYTHON} cannot import torch (${reason}); on Debian: apt install python3-torch`;
  },
  supports: () => true,
  command: SYSTEM_PYTHON,
  args: ['-I', join(ROOT, 'bench/peers/torch.py')],
  // The peer gets its best. Left alone, it and OpenBLAS fall back to AVX2 on processors that they do not know,
  // and the C library hands freed megabytes back to the system, so that in some processes every large result
  // is paid for in page faults, up to five times the op itself.
  // In a training step OpenBLAS's threads meet OpenMP's, which spin unless told to be passive: on two cores a step
  // then takes up to twenty times as long. Single ops are faster when they spin.
  env: ({ work, threads }) => ({
    ...(work.kind === 'step' ? { OMP_WAIT_POLICY: 'passive' } : {}),
    OMP_NUM_THREADS: `${threads}`,
    OPENBLAS_NUM_THREADS: `${threads}`,
    MALLOC_MMAP_THRESHOLD_: `${2 ** 30}`,
    MALLOC_TRIM_THRESHOLD_: `${2 ** 32}`,
    ...(hasAvx512() ? { ATEN_CPU_CAPABILITY: 'avx512', OPENBLAS_CORETYPE: 'SKYLAKEX' } : {}),
  }),
};

export const PEERS: readonly Library[] = [TORCH];

/** Runs a child to its end. @throws Error naming the library, with what the child complained about */
export async function run(library: Library, job: Job): Promise<Measurement> {
  const child = spawn(library.command, [...library.args, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...library.env(job) },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const how = await new Promise<string | null>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) =>
      resolve(code === 0 ? null : (signal ?? `exit code ${code}`)),
    );
  });
  if (how === null) {
    try {
      return JSON.parse(stdout) as Measurement;
    } catch {
      // falls through: what it printed is the complaint
    }
  }
  const complaint = (stderr || stdout).trim().split('\n').slice(-5).join('\n');
  throw new Error(`${library.title} failed (${how ?? 'no result'}):\n${complaint}`);
}
