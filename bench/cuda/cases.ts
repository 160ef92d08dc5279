// What is measured on a CUDA device, as plain data, the most important first: both children read a `Work` as JSON
// and build the same computation from it. No library is imported here.

/** One computation, with its sizes. float32 unless told. */
export type Work =
  /** A copy of so many elements: what the memory of the device can do. */
  | { kind: 'copy'; size: number }
  /** One step of Adam over `tensors` parameters of `size` elements, gradients given. */
  | { kind: 'adam'; tensors: number; size: number }
  /** Over the last axis, forward and backward; the gradient of the result is given. */
  | { kind: 'softmax' | 'layerNorm'; rows: number; columns: number }
  /** Of logits and labels, forward and backward. */
  | { kind: 'crossEntropy'; rows: number; columns: number }
  /**
   * C[m,n] = A[m,k] B[k,n], each call with the next of `operands` matrices B, so that none waits in the cache.
   * `precision`: whether the peer does as it does by default, may not round float32 to TF32, or both are to do so.
   */
  | {
      kind: 'matmul';
      dtype: 'float32' | 'bfloat16';
      m: number;
      n: number;
      k: number;
      operands: number;
      precision: Precision;
    }
  /** A convolution without padding, its input's and its weight's gradients. */
  | {
      kind: 'conv2d';
      batch: number;
      channels: number;
      size: number;
      filters: number;
      kernel: number;
      precision: Precision;
    }
  /**
   * Forward, cross-entropy, backward and Adam of a ReLU network as one compiled program; the peer's is one CUDA
   * graph of all of it, or torch.compile in its mode for small steps. `onNaN`: ours does not look at the loss in each
   * step, which the peer never does.
   */
  | {
      kind: 'step';
      sizes: number[];
      batch: number;
      peer: 'graph' | 'compile';
      onNaN?: 'ignore';
    }
  /** An op on tensors so small that only its call counts, recorded and dropped. */
  | { kind: 'add'; shape: number[] };

type Precision = 'default' | 'float32' | 'tf32';

/** What a case's name ends with. */
const ENDING: Readonly<Record<Precision, string>> = {
  default: '',
  float32: '-no-tf32',
  tf32: '-tf32',
};

export interface Case {
  name: string;
  work: Work;
}

/** What bounds the work: bytes to and from memory, arithmetic, or only how fast calls follow each other. */
export type Bound = { bytes: number } | { flops: number } | null;

/** The least that has to be read and written, or computed, whoever does it. */
export function boundOf(work: Work): Bound {
  switch (work.kind) {
    case 'copy':
      return { bytes: 2 * 4 * work.size };
    case 'adam':
      // Reads parameter, gradient and two moments, writes all but the gradient.
      return { bytes: 28 * work.tensors * work.size };
    case 'softmax':
    case 'layerNorm':
      // Forward reads x and writes y; backward reads one of them and the gradient, and writes a gradient.
      return { bytes: 20 * work.rows * work.columns };
    case 'crossEntropy':
      // Forward reads the logits; backward reads them again and writes their gradient.
      return { bytes: 12 * work.rows * work.columns };
    case 'matmul': {
      const { m, n, k } = work;
      const bytes = (work.dtype === 'bfloat16' ? 2 : 4) * (m * k + k * n + m * n);
      return m <= 128 ? { bytes } : { flops: 2 * m * n * k };
    }
    case 'conv2d': {
      const { batch, channels, size, filters, kernel } = work;
      return { flops: 3 * 2 * batch * filters * (size - kernel + 1) ** 2 * channels * kernel ** 2 };
    }
    case 'step':
    case 'add':
      return null;
  }
}

/** A time as the kind of work is usually quoted. */
export function quote(work: Work, ns: number): string {
  const bound = boundOf(work);
  if (bound === null) return `${(ns / 1e3).toFixed(2)} µs`;
  if ('bytes' in bound) return `${(bound.bytes / ns).toFixed(0)} GB/s`;
  return `${(bound.flops / ns / 1e3).toFixed(1)} TFLOP/s`;
}

const rows = (kind: 'softmax' | 'layerNorm' | 'crossEntropy', [r, c]: [number, number]): Case => ({
  name: `${kind}/${r}x${c}`,
  work: { kind, rows: r, columns: c },
});

function matmul(
  dtype: 'float32' | 'bfloat16',
  [m, n, k]: [number, number, number],
  operands = 1,
  precision: Precision = 'default',
): Case {
  return {
    name: `matmul-${dtype === 'float32' ? 'f32' : 'bf16'}/${m}x${n}x${k}${ENDING[precision]}`,
    work: { kind: 'matmul', dtype, m, n, k, operands, precision },
  };
}

function conv2d(
  [batch, channels, size, filters]: [number, number, number, number],
  precision: Precision,
): Case {
  return {
    name: `conv2d/${batch}x${channels}x${size}x${size}-${filters}x3x3${ENDING[precision]}`,
    work: { kind: 'conv2d', batch, channels, size, filters, kernel: 3, precision },
  };
}

const step = (sizes: number[], batch: number, peer: 'graph' | 'compile'): Case => ({
  name: `step/${sizes.join('-')}-b${batch}-${peer}`,
  work: { kind: 'step', sizes, batch, peer },
});
const blindStep = (sizes: number[], batch: number): Case => ({
  name: `step/${sizes.join('-')}-b${batch}-graph-blind`,
  work: { kind: 'step', sizes, batch, peer: 'graph', onNaN: 'ignore' },
});

const MLP: [number[], number] = [[784, 256, 128, 10], 128];
const WIDE: [number[], number] = [[1024, 1024, 1024, 1024, 1024], 256];

export const CASES: readonly Case[] = [
  { name: 'copy/1GiB', work: { kind: 'copy', size: 2 ** 28 } },
  { name: 'adam/64M', work: { kind: 'adam', tensors: 16, size: 2 ** 22 } },
  rows('softmax', [16_384, 4096]),
  rows('crossEntropy', [16_384, 4096]),
  rows('layerNorm', [16_384, 4096]),
  matmul('bfloat16', [4096, 4096, 4096]),
  matmul('bfloat16', [8192, 8192, 8192]),
  // 256 MiB of matrices, several times what the cache holds.
  ...[16, 64, 128].map((m) => matmul('bfloat16', [m, 4096, 4096], 8)),
  step(...MLP, 'graph'),
  blindStep(...MLP),
  step(...WIDE, 'graph'),
  matmul('float32', [4096, 4096, 4096]),
  matmul('float32', [4096, 4096, 4096], 1, 'float32'),
  matmul('float32', [4096, 4096, 4096], 1, 'tf32'),
  matmul('float32', [8192, 8192, 8192], 1, 'tf32'),
  // The second convolution of the network in bench/cases.ts.
  conv2d([64, 32, 26, 64], 'float32'),
  conv2d([64, 32, 26, 64], 'default'),
  conv2d([64, 32, 26, 64], 'tf32'),
  { name: 'add/8x8', work: { kind: 'add', shape: [8, 8] } },
  // Last, since its compiler alone may take a minute.
  step(...MLP, 'compile'),
  step(...WIDE, 'compile'),
];

/** One case of each kind, small enough for an emulated device. */
export const QUICK: readonly Case[] = [
  { name: 'copy/4096', work: { kind: 'copy', size: 4096 } },
  { name: 'adam/2x100', work: { kind: 'adam', tensors: 2, size: 100 } },
  rows('softmax', [4, 40]),
  rows('crossEntropy', [4, 40]),
  rows('layerNorm', [4, 40]),
  matmul('bfloat16', [16, 32, 64], 2),
  matmul('float32', [130, 16, 16]),
  matmul('float32', [130, 16, 16], 1, 'tf32'),
  conv2d([1, 2, 6, 3], 'float32'),
  { name: 'add/8x8', work: { kind: 'add', shape: [8, 8] } },
  step([6, 4, 3], 2, 'graph'),
];
