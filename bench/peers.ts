// The libraries that tapegrad is measured against, and tapegrad itself: how to find one and how to start the
// child process that measures it. To add a peer, add it to PEERS; its child gets a `Job` and prints a
// `Measurement` as one line of JSON.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { groupOf, type Case, type Work } from './cases.js';
import { limitOf } from './limits.js';
import { ROOT, hasAvx512 } from './machine.js';
import type { Measurement } from './measure.js';
import { NATIVE, buildNative } from './native.js';

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
  supports(c: Case): boolean;
  command: string;
  args: string[];
  /** The job as the arguments that follow; one of JSON unless told. */
  words?(job: Job): string[];
  env(job: Job): Record<string, string>;
}

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

export const OURS: Library = {
  name: 'tapegrad',
  title: 'tapegrad',
  missing: () => null,
  supports: () => true,
  command: process.execPath,
  args: [here('./ours.js')],
  env: ({ threads }) => ({ TAPEGRAD_NUM_THREADS: `${threads}` }),
};

/** The machine itself: its time is what the arithmetic or the bytes of a case take at best. */
export const LIMITS: Library = {
  name: 'limit',
  title: "the machine's limit",
  missing: buildNative,
  supports: (c) => limitOf(c.work) !== null,
  command: NATIVE,
  args: ['limit'],
  words: ({ work, threads, seconds }) => pairs({ ...limitOf(work), threads, seconds }),
  env: () => ({}),
};

const pairs = (values: object): string[] =>
  Object.entries(values).map(([key, value]) => `${key}=${value}`);

/** A library of matrix products, loaded at run time by native/bench/child.cpp. */
function blas(name: string, title: string, debian: string, dtypes: string[]): Library {
  return {
    name,
    title,
    missing() {
      const reason = buildNative();
      if (reason !== null) return reason;
      const { status, stderr } = spawnSync(NATIVE, ['probe', `library=${name}`], {
        encoding: 'utf8',
      });
      return status === 0 ? null : `${stderr.trim()}; on Debian: apt install ${debian}`;
    },
    supports: ({ work }) => work.kind === 'gemm' && dtypes.includes(work.dtype),
    command: NATIVE,
    args: ['gemm', `library=${name}`],
    words: ({ work, ...rest }) => pairs({ ...work, ...rest }),
    env: ({ threads }) => ({ ...blasThreads(threads), ...blasKernels() }),
  };
}

const blasThreads = (threads: number): Record<string, string> => ({
  OMP_NUM_THREADS: `${threads}`,
  OPENBLAS_NUM_THREADS: `${threads}`,
  BLIS_NUM_THREADS: `${threads}`,
});

// The peer gets its best. Left alone, PyTorch, OpenBLAS and BLIS fall back to AVX2 or less on processors that
// they do not know.
const blasKernels = (): Record<string, string> =>
  hasAvx512()
    ? { ATEN_CPU_CAPABILITY: 'avx512', OPENBLAS_CORETYPE: 'SKYLAKEX', BLIS_ARCH_TYPE: 'skx' }
    : {};

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
  // Its matrix products are OpenBLAS's, which is a peer itself: the twelve shapes show what it adds.
  supports: (c) => !groupOf(c).startsWith('gemm-'),
  command: SYSTEM_PYTHON,
  args: ['-I', join(ROOT, 'bench/peers/torch.py')],
  // The C library hands freed megabytes back to the system, so that in some processes every large result is paid
  // for in page faults, up to five times the op itself.
  // In a training step OpenBLAS's threads meet OpenMP's, which spin unless told to be passive: on two cores a step
  // then takes up to twenty times as long. Single ops are faster when they spin.
  env: ({ work, threads }) => ({
    ...(work.kind === 'step' || work.kind === 'cnn' ? { OMP_WAIT_POLICY: 'passive' } : {}),
    MALLOC_MMAP_THRESHOLD_: `${2 ** 30}`,
    MALLOC_TRIM_THRESHOLD_: `${2 ** 32}`,
    ...blasThreads(threads),
    ...blasKernels(),
  }),
};

/** TensorFlow.js on one of its backends; see peers/tfjs.ts. Both have one thread in Node. */
function tfjs(backend: 'cpu' | 'wasm'): Library {
  return {
    name: `tfjs-${backend}`,
    title: `TensorFlow.js (${backend})`,
    missing() {
      try {
        createRequire(import.meta.url).resolve(`@tensorflow/tfjs-backend-${backend}`);
        return null;
      } catch {
        return `@tensorflow/tfjs-backend-${backend} is not installed; run npm ci`;
      }
    },
    // Not the CNN: wasm has no kernel for the gradient of a convolution's filter, and a step of cpu takes minutes.
    supports: ({ work }) => work.kind === 'elementwise' || work.kind === 'step',
    command: process.execPath,
    args: [here('./peers/tfjs.js'), backend],
    env: () => ({}),
  };
}

export const PEERS: readonly Library[] = [
  blas('openblas', 'OpenBLAS', 'libopenblas0-pthread', ['float32', 'float64']),
  blas('onednn', 'oneDNN', 'libdnnl2', ['float32']),
  blas('blis', 'BLIS', 'libblis4-openmp', ['float32', 'float64']),
  TORCH,
  tfjs('wasm'),
  tfjs('cpu'),
];

// A child measures for seconds; one that takes this long hangs.
const HANGS_MS = 300_000;

/** From where it names an error, or else the last lines. */
function complaint(text: string): string {
  const lines = text.trim().split('\n');
  const named = lines.findLastIndex((line) => /^\w*Error\b/.test(line));
  return (named < 0 ? lines.slice(-5) : lines.slice(named, named + 3)).join('\n');
}

/** Runs a child to its end. @throws Error naming the library, with what the child complained about */
export async function run(library: Library, job: Job): Promise<Measurement> {
  const words = library.words?.(job) ?? [JSON.stringify(job)];
  const child = spawn(library.command, [...library.args, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...library.env(job) },
    timeout: HANGS_MS,
    killSignal: 'SIGKILL',
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
  throw new Error(
    `${library.title} failed (${how ?? 'no result'}):\n${complaint(stderr || stdout)}`,
  );
}
