// A tree of classes for the structured hinge: distances between its leaves, and the paths that lead to them.
import { fromData } from './create.js';
import { getDefaultDevice } from './device.js';
import { checkNumber, wrongType } from './errors.js';
import type { Tensor } from './tensor.js';

/** A tree whose leaves, in the order of their nodes, are the classes. */
export interface Taxonomy {
  /** The node of each class. */
  readonly leaves: readonly number[];
  /** [classes, classes]: the number of edges on the way from one leaf to the other. */
  readonly distance: Tensor;
  /** [nodes, classes]: 1 where the node lies on the path from the root to the leaf, both included. */
  readonly paths: Tensor;
}

const MAX_NODES = 1 << 14;

function checkParents(parents: unknown): number[] {
  if (!Array.isArray(parents)) throw wrongType('taxonomy', 'parents', 'an array', parents);
  if (parents.length === 0 || parents.length > MAX_NODES)
    throw new RangeError(
      `taxonomy: parents must list 1 … ${MAX_NODES} nodes, got ${parents.length}`,
    );
  return Array.from(parents, (p: unknown, i) =>
    i === 0
      ? checkNumber('taxonomy', 'parents[0], the root,', p, { integer: true, min: -1, max: -1 })
      : checkNumber('taxonomy', `parents[${i}]`, p, { integer: true, min: 0, max: i - 1 }),
  );
}

/**
 * A tree of classes, as a hierarchy of topics or species is one. Its distances Δ are those of the structured hinge
 * (Cai & Hofmann 2004): scores of leaves are `nodeScores.matmul(taxonomy.paths)`, the sums of the scores on the
 * way from the root, and `structuredHinge(scores, target, { distance: taxonomy })` is the loss.
 * @param parents - the parent of each node, -1 for node 0, the root; a parent comes before its children
 * @returns distances in edges between the leaves and the paths to them, both float32; leaves are the classes
 * @throws TypeError, RangeError if parents is no such list
 */
export function taxonomy(parents: readonly number[]): Taxonomy {
  const parent = checkParents(parents);
  const inner = new Set(parent);
  const leaves = parent.map((_, i) => i).filter((i) => !inner.has(i));
  const paths = leaves.map((leaf) => {
    const path: number[] = [];
    for (let node = leaf; node >= 0; node = parent[node]!) path.push(node);
    return path.reverse();
  });
  const k = leaves.length;
  const device = getDefaultDevice();
  const distance = new Float32Array(k * k);
  const on = new Float32Array(parent.length * k);
  paths.forEach((a, i) => {
    for (const node of a) on[node * k + i] = 1;
    paths.forEach((b, j) => {
      let common = 0;
      while (common < a.length && a[common] === b[common]) ++common;
      distance[i * k + j] = a.length + b.length - 2 * common;
    });
  });
  return {
    leaves,
    distance: fromData(distance, [k, k], 'float32', device),
    paths: fromData(on, [parent.length, k], 'float32', device),
  };
}
