// What is measured, as plain data: each library's child process reads one `Work` as JSON and builds the
// same computation from it. No library is imported here.

/** C[m,n] = A[m,k] B[k,n]; 'a' or 'b' says which operand is a transposed view. */
export interface Product {
  m: number;
  n: number;
  k: number;
  transposed: '' | 'a' | 'b';
}

/** One computation, with its sizes. */
export type Work =
  /** One op on small tensors with requiresGrad, recorded and dropped: what a call costs. */
  | { kind: 'eager'; op: string; shape: number[] }
  /** sum(tanh(x w + b) w) forward and backward, w and b with requiresGrad: what a node of the tape costs. */
  | { kind: 'backward'; shape: number[] }
  /** One op on a large tensor, not recorded: what the kernel costs. */
  | { kind: 'elementwise'; op: ElementwiseOp; shape: number[] }
  | ({ kind: 'gemm'; dtype: 'float32' | 'float64' } & Product)
  /** One Adam step over `tensors` parameters of `size` elements, gradients given. */
  | { kind: 'adam'; tensors: number; size: number }
  /** Forward, softmax cross-entropy, backward and Adam of a ReLU network on one batch. */
  | { kind: 'step'; sizes: number[]; batch: number }
  /**
   * The same as a compiled program: many steps of `train`, which gathers the one batch again and again; or one
   * awaited call after the other.
   */
  | {
      kind: 'compiled';
      sizes: number[];
      batch: number;
      by: 'train' | 'call';
      /** Of train; `'throw'` unless told, as for users. */
      onNaN?: 'ignore';
    }
  /** The same of a small convolutional network on 28×28 images; see `CNN`. */
  | { kind: 'cnn'; batch: number }
  /** Only the matrix products of a step, one after the other; no case, but beside one (limits.ts). */
  | { kind: 'products'; products: Product[] };

export interface Case {
  /** "group/rest"; the group selects all its cases. */
  name: string;
  work: Work;
  /** So small that no library splits it: measured with the lowest number of threads only. */
  small?: boolean;
  /** Part of a --quick run. */
  quick?: boolean;
}

export const groupOf = (c: Pick<Case, 'name'>): string => c.name.split('/')[0]!;

const EAGER = ['add', 'mul', 'relu', 'tanh', 'sum'];
const ELEMENTWISE = [
  ...(['relu', 'add', 'mul', 'addNumber', 'sum', 'mean', 'max'] as const),
  ...(['sigmoid', 'tanh', 'exp', 'expm1', 'log', 'log1p', 'erf', 'sin', 'cos', 'gelu'] as const),
];
// Over one axis of a matrix; addRow is a bias.
const MATRIX = [
  ...(['addRow', 'sum0', 'sum1', 'mean0', 'max0', 'max1'] as const),
  ...(['softmax', 'softmax0', 'logSoftmax', 'crossEntropy', 'layerNorm'] as const),
];
/** What a library that is measured with elementwise ops has to have. */
export type ElementwiseOp = (typeof ELEMENTWISE)[number] | (typeof MATRIX)[number];
// m, n, k: squares, the skinny forward passes of training, and the two products of a backward pass.
// Several have rows 4 KiB apart, which is where a badly blocked gemm falls off a cliff.
const GEMM: [number, number, number, Product['transposed']][] = [
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
  [[784, 1024, 1024, 10], 128],
  [[1024, 1024, 1024, 1024, 1024], 256],
];
const QUICK = new Set([
  'eager/mul-8x8',
  'backward/chain-64',
  'elementwise/relu-1M',
  'elementwise/exp-1M',
  'gemm/64x64x64',
  'gemm/512x512x512',
  'gemm/32x1024x4096',
  'gemm-f64/512x512x512',
  'adam/16x262144',
  'step/64-64-10-b32',
  'step/784-256-128-10-b128',
  'compiled/64-64-10-b32-train',
  'compiled/64-64-10-b32-call',
]);

/** What stands for it where nothing is compiled: the step as it is. */
export const eagerOf = (work: Work): Work =>
  work.kind === 'compiled' ? { kind: 'step', sizes: work.sizes, batch: work.batch } : work;

/**
 * The convolutional network: images [1, 28, 28], 3×3 convolutions without padding to these channels, each with
 * a ReLU, max-pooling by 2, a hidden layer with a ReLU, and the classes.
 */
export const CNN = {
  size: 28,
  kernel: 3,
  channels: [1, 32, 64],
  pool: 2,
  hidden: 128,
  classes: 10,
};

/** Pixels and channels that reach the CNN's first fully connected layer. */
export const CNN_FLAT =
  ((CNN.size - (CNN.channels.length - 1) * (CNN.kernel - 1)) / CNN.pool) ** 2 *
  CNN.channels.at(-1)!;

const eager = (op: string, shape: number[]): Case => ({
  name: `eager/${op}-${shape.join('x')}`,
  work: { kind: 'eager', op, shape },
  small: true,
});

const gemm = (
  group: string,
  dtype: 'float32' | 'float64',
  [m, n, k, transposed]: (typeof GEMM)[number],
): Case => ({
  name: `${group}/${m}x${n}x${k}${transposed && `-${transposed}t`}`,
  work: { kind: 'gemm', dtype, m, n, k, transposed },
});

/** Every shape in the two layouts that GEMM does not have it in. */
const KIN = GEMM.flatMap(([m, n, k, listed]) =>
  (['', 'a', 'b'] as const)
    .filter((transposed) => transposed !== listed)
    .map((transposed): (typeof GEMM)[number] => [m, n, k, transposed]),
);

export const CASES: readonly Case[] = [
  ...EAGER.map((op) => eager(op, [8, 8])),
  eager('matmul', [8, 8]),
  ...EAGER.map((op) => eager(op, [64])),
  ...[[8, 8], [64]].map((shape): Case => ({
    name: `backward/chain-${shape.join('x')}`,
    work: { kind: 'backward', shape },
    small: true,
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
  } satisfies Case,
  ...GEMM.map((shape) => gemm('gemm', 'float32', shape)),
  ...KIN.map((shape) => gemm('gemm-kin', 'float32', shape)),
  ...GEMM.map((shape) => gemm('gemm-f64', 'float64', shape)),
  { name: 'adam/16x262144', work: { kind: 'adam', tensors: 16, size: 262_144 } } satisfies Case,
  { name: 'adam/100x1000', work: { kind: 'adam', tensors: 100, size: 1000 } } satisfies Case,
  ...NETS.map(([sizes, batch]): Case => ({
    name: `step/${sizes.join('-')}-b${batch}`,
    work: { kind: 'step', sizes, batch },
  })),
  { name: 'step/cnn-b64', work: { kind: 'cnn', batch: 64 } } satisfies Case,
  ...NETS.flatMap(([sizes, batch]) =>
    (['train', 'call'] as const).map((by): Case => ({
      name: `compiled/${sizes.join('-')}-b${batch}-${by}`,
      work: { kind: 'compiled', sizes, batch, by },
    })),
  ),
].map((c) => ({ ...c, quick: QUICK.has(c.name) }));

/** The cases of the given names and groups, in the list's order; the first unknown name otherwise. */
export function select(names: readonly string[]): { cases: Case[] } | { unknown: string } {
  const matches = (c: Case, name: string) => c.name === name || groupOf(c) === name;
  const unknown = names.find((name) => !CASES.some((c) => matches(c, name)));
  if (unknown !== undefined) return { unknown };
  return {
    cases: CASES.filter((c) => names.length === 0 || names.some((name) => matches(c, name))),
  };
}

const duration = (ns: number): string =>
  ns < 1e6
    ? `${(ns / 1e3).toFixed(ns < 1e4 ? 1 : 0)} µs`
    : ns < 1e9
      ? `${(ns / 1e6).toFixed(2)} ms`
      : `${(ns / 1e9).toFixed(2)} s`;

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
    case 'compiled':
    case 'cnn':
    case 'products':
      return duration(ns);
  }
}
