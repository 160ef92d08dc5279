// What stands beside a case as its limit: how long the machine takes at best for the arithmetic or for the bytes,
// and, for a training step, how long its bare matrix products take here.
import { CNN, CNN_FLAT, eagerOf, type Product, type Work } from './cases.js';

export type Limit =
  /** This many floating-point operations in registers. */
  | { kind: 'fma'; dtype: 'float32' | 'float64'; flops: number }
  /** This many bytes: half read and half written elsewhere; read and written in place; only read. */
  | { kind: 'copy' | 'update' | 'read'; bytes: number };

/** In a table: "87 % of peak". */
export const LIMIT_NAMES: Record<Limit['kind'], string> = {
  fma: 'of peak',
  copy: 'of copy',
  update: 'of update in place',
  read: 'of read',
};

const flops = ({ m, n, k }: Product): number => 2 * m * n * k;

/** A layer's three products: x Wᵀ, ∂y W (not for the network's first layer), ∂yᵀ x. */
function layer(rows: number, input: number, output: number, first: boolean): Product[] {
  const forward: Product = { m: rows, n: output, k: input, transposed: 'b' };
  const dx: Product = { m: rows, n: input, k: output, transposed: '' };
  const dw: Product = { m: output, n: input, k: rows, transposed: 'a' };
  return first ? [forward, dw] : [forward, dx, dw];
}

/** The matrix products of a training step; a convolution's are those of its gathered columns. Null for other work. */
export function productsOf(given: Work): Product[] | null {
  const work = eagerOf(given);
  if (work.kind === 'step') {
    const { sizes, batch } = work;
    return sizes.slice(1).flatMap((output, i) => layer(batch, sizes[i]!, output, i === 0));
  }
  if (work.kind === 'cnn') {
    const { size, kernel, channels, hidden, classes } = CNN;
    const convolutions = channels.slice(1).flatMap((output, i) => {
      const pixels = (size - (i + 1) * (kernel - 1)) ** 2;
      return layer(work.batch * pixels, channels[i]! * kernel ** 2, output, i === 0);
    });
    return [
      ...convolutions,
      ...layer(work.batch, CNN_FLAT, hidden, false),
      ...layer(work.batch, hidden, classes, false),
    ];
  }
  return null;
}

/** Null where what counts is neither arithmetic nor bytes but the call. */
export function limitOf(work: Work): Limit | null {
  switch (work.kind) {
    case 'gemm':
      return { kind: 'fma', dtype: work.dtype, flops: flops(work) };
    case 'step':
    case 'compiled':
    case 'cnn':
    case 'products': {
      const products = work.kind === 'products' ? work.products : productsOf(work)!;
      const sum = products.reduce((total, p) => total + flops(p), 0);
      return { kind: 'fma', dtype: 'float32', flops: sum };
    }
    case 'elementwise': {
      const bytes = 4 * work.shape.reduce((a, b) => a * b);
      return work.op === 'sum' ? { kind: 'read', bytes } : { kind: 'copy', bytes: 2 * bytes };
    }
    case 'adam':
      // Reads parameter, gradient and two moments, writes all but the gradient.
      return { kind: 'update', bytes: 28 * work.tensors * work.size };
    case 'eager':
    case 'backward':
      return null;
  }
}
