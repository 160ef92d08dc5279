// What is measured, as plain data: each library's child process reads one `Work` as JSON and builds the
// same computation from it. No library is imported here.

/** One computation, with its sizes. */
export type Work =
  /** One op on small tensors with requiresGrad, recorded and dropped: what a call costs. */
  | { kind: 'eager'; op: string; shape: number[] }
  /** sum(tanh(x w + b) w) forward and backward, w and b with requiresGrad: what a node of the tape costs. */
  | { kind: 'backward'; shape: number[] }
  /** One op on a large tensor, not recorded: what the kernel costs. */
  | { kind: 'elementwise'; op: string; shape: number[] }
  /** C[m,n] = A[m,k] B[k,n]; 'a' or 'b' says which operand is a transposed view. */
  | { kind: 'gemm'; m: number; n: number; k: number; transposed: '' | 'a' | 'b' }
  /** One Adam step over `tensors` parameters of `size` elements, gradients given. */
  | { kind: 'adam'; tensors: number; size: number }
  /** Forward, softmax cross-entropy, backward and Adam of a ReLU network on one batch. */
  | { kind: 'step'; sizes: number[]; batch: number };

export interface Case {
  /** "group/rest"; the group selects all its cases. */
  name: string;
  work: Work;
}

const EAGER = ['add', 'mul', 'relu', 'tanh', 'sum'];
const ELEMENTWISE = [
  ...['relu', 'add', 'mul', 'addNumber', 'sum', 'mean', 'max'],
  ...['sigmoid', 'tanh', 'exp', 'expm1', 'log', 'log1p', 'erf', 'sin', 'cos', 'gelu'],
];
// Over one axis of a matrix; addRow is a bias.
const MATRIX = [
  ...['addRow', 'sum0', 'sum1', 'mean0', 'max0', 'max1', 'softmax', 'softmax0', 'logSoftmax'],
  ...['crossEntropy', 'layerNorm'],
];
// m, n, k: squares, the skinny forward passes of training, and the two products of a backward pass.
// Several have rows 4 KiB apart, which is where a badly blocked gemm falls off a cliff.
const GEMM: [number, number, number, '' | 'a' | 'b'][] = [
  [64, 64, 64, ''],
  [128, 128, 128, ''],
  [512, 512, 512, ''],
  [1024, 1024, 1024, ''],
  [2048, 2048, 2048, ''],
  [32, 256, 784, ''],
  [128, 256, 784, ''],
  [128, 512, 512, ''],
  [32, 1024, 4096, ''],
  [128, 1024, 1024, 'b'],
  [784, 256, 128, 'a'],
  [1024, 1024, 128, 'a'],
];
const NETS: [number[], number][] = [
  [[4, 16, 3], 32],
  [[64, 64, 10], 32],
  [[784, 256, 128, 10], 32],
  [[784, 256, 128, 10], 128],
  [[1024, 1024, 1024, 1024, 1024], 256],
];

const eager = (op: string, shape: number[]): Case => ({
  name: `eager/${op}-${shape.join('x')}`,
  work: { kind: 'eager', op, shape },
});

export const CASES: readonly Case[] = [
  ...EAGER.map((op) => eager(op, [8, 8])),
  eager('matmul', [8, 8]),
  ...EAGER.map((op) => eager(op, [64])),
  ...[[8, 8], [64]].map((shape): Case => ({
    name: `backward/chain-${shape.join('x')}`,
    work: { kind: 'backward', shape },
  })),
  ...ELEMENTWISE.map((op): Case => ({
    name: `elementwise/${op}-1M`,
    work: { kind: 'elementwise', op, shape: [1_000_000] },
  })),
  ...MATRIX.map((op): Case => ({
    name: `elementwise/${op}-1000x1000`,
    work: { kind: 'elementwise', op, shape: [1000, 1000] },
  })),
  {
    name: 'elementwise/sum0-128x256',
    work: { kind: 'elementwise', op: 'sum0', shape: [128, 256] },
  },
  ...GEMM.map(([m, n, k, transposed]): Case => ({
    name: `gemm/${m}x${n}x${k}${transposed && `-${transposed}t`}`,
    work: { kind: 'gemm', m, n, k, transposed },
  })),
  { name: 'adam/16x262144', work: { kind: 'adam', tensors: 16, size: 262_144 } },
  { name: 'adam/100x1000', work: { kind: 'adam', tensors: 100, size: 1000 } },
  ...NETS.map(([sizes, batch]): Case => ({
    name: `step/${sizes.join('-')}-b${batch}`,
    work: { kind: 'step', sizes, batch },
  })),
];

/** The cases of the given names and groups, in the list's order; the first unknown name otherwise. */
export function select(names: readonly string[]): { cases: Case[] } | { unknown: string } {
  const matches = (c: Case, name: string) => c.name === name || c.name.startsWith(`${name}/`);
  const unknown = names.find((name) => !CASES.some((c) => matches(c, name)));
  if (unknown !== undefined) return { unknown };
  return {
    cases: CASES.filter((c) => names.length === 0 || names.some((name) => matches(c, name))),
  };
}

/** A time in the unit in which the kind of work is usually quoted. */
export function quote(work: Work, ns: number): string {
  switch (work.kind) {
    case 'eager':
    case 'backward':
      return `${(ns / 1e3).toFixed(2)} µs`;
    case 'elementwise':
      return `${(ns / work.shape.reduce((a, b) => a * b)).toFixed(3)} ns/element`;
    case 'gemm':
      return `${((2 * work.m * work.n * work.k) / ns).toFixed(0)} GFLOP/s`;
    case 'adam':
      return `${((work.tensors * work.size) / ns).toFixed(2)} G/s`;
    case 'step':
      return ns < 1e6 ? `${(ns / 1e3).toFixed(0)} µs` : `${(ns / 1e6).toFixed(2)} ms`;
  }
}
