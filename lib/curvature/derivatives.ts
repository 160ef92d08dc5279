// Jacobians, Hessians and Hessian-vector products as tensors.
import { gradients } from '../backward.js';
import { zeros, zerosLike } from '../create.js';
import { TapegradError, wrongType } from '../errors.js';
import { memory } from '../memory.js';
import { detach, stack } from '../ops.js';
import { enableGrad } from '../tape.js';
import { checkTensor, isTensor, shapeOf, tidy, type Tensor } from '../tensor.js';
import { callScalar, checkPoint, unitLike, type Like, type Point } from './objective.js';

/** Leaves with the points' memory, so that gradients stay apart from those of the caller's graph. */
const leavesAt = (points: readonly Tensor[]): Tensor[] =>
  points.map((x) => {
    const leaf = detach(x);
    leaf.requiresGrad = true;
    return leaf;
  });

/** ∂y/∂x, [...y, ...x]: one backward pass for each element of y. Zeros where y does not depend on x. */
function rowsOf(op: string, y: Tensor, x: Tensor): Tensor {
  const shape = [...shapeOf(y), ...shapeOf(x)];
  if (shape.length > 8)
    throw new RangeError(
      `${op}: the result would have the shape [${shape.join(', ')}]; a tensor has at most 8 dimensions`,
    );
  const bytes = y.size * x.size * (x.dtype === 'float64' ? 8 : 4);
  if (bytes > memory.limit)
    // at once, not after thousands of passes
    throw new TapegradError(
      'TG_OUT_OF_MEMORY',
      `${op}: a result of shape [${shape.join(', ')}] takes ${bytes} bytes, more than memory.limit`,
    );
  if (y.size === 0 || !y.requiresGrad) return zeros(shape, { dtype: x.dtype, device: x.device });
  const rows = Array.from({ length: y.size }, (_, k) => {
    const [row] = gradients(y, [x], { gradient: unitLike(y, k), retainGraph: true });
    return (row ?? zerosLike(x)).reshape([x.size]); // flat: x may have 8 axes already
  });
  return stack(rows).reshape(shape);
}

function checkFunction(op: string, f: unknown): void {
  if (typeof f !== 'function') throw wrongType(op, 'f', 'a function', f);
}

/**
 * The Jacobian of f at x by reverse mode: one backward pass for each element of f(x).
 * @param f - a function of one float tensor to a float tensor, of any shapes
 * @returns ∂f/∂x of shape [...f(x).shape, ...x.shape] and x's dtype
 * @throws TypeError if f returns no float tensor; TapegradError TG_GRAPH if it does not depend on x
 * @example tg.jacobian((x) => x.square(), tg.tensor([1, 2])); // [[2, 0], [0, 4]]
 */
export function jacobian(f: (x: Tensor) => Tensor, x: Tensor): Tensor {
  checkFunction('jacobian', f);
  checkTensor('jacobian', 'x', x);
  return tidy(() =>
    enableGrad(() => {
      const [leaf] = leavesAt(checkPoint('jacobian', 'x', x)) as [Tensor];
      const y: unknown = f(leaf);
      if (!isTensor(y)) throw wrongType('jacobian', "f's result", 'a Tensor', y);
      checkTensor('jacobian', "f's result", y);
      if (!y.requiresGrad)
        throw new TapegradError('TG_GRAPH', "jacobian: f's result does not depend on x");
      return rowsOf('jacobian', y, leaf);
    }),
  );
}

/**
 * The Hessian of a scalar function, by differentiating its recorded gradient (double backward).
 * @param f - a function of one or several float tensors to a scalar tensor
 * @param x - its argument, or the list of them
 * @returns [...x.shape, ...x.shape] for one argument; for several the blocks ∂²f/∂xᵢ∂xⱼ as result[i][j]
 * @throws TypeError if f returns no tensor, RangeError if that is no scalar, TapegradError TG_GRAPH if it does
 * not depend on x
 * @example tg.hessian((x) => x.square().sum(), tg.tensor([1, 2])); // [[2, 0], [0, 2]]
 */
export function hessian(f: (x: Tensor) => Tensor, x: Tensor): Tensor;
export function hessian(f: (...x: Tensor[]) => Tensor, x: readonly Tensor[]): Tensor[][];
export function hessian(f: (...x: Tensor[]) => Tensor, x: Point): Tensor | Tensor[][] {
  checkFunction('hessian', f);
  const points = checkPoint('hessian', 'x', x);
  return tidy(() =>
    enableGrad(() => {
      const leaves = leavesAt(points);
      const y = callScalar('hessian', f, leaves, true);
      const first = gradients(y, leaves, { createGraph: true });
      const blocks = leaves.map((by, i) =>
        leaves.map((leaf) => rowsOf('hessian', first[i] ?? zerosLike(by), leaf)),
      );
      return isTensor(x) ? blocks[0]![0]! : blocks;
    }),
  );
}

/**
 * The product of f's Hessian at x with v, at the cost of about two gradients; the Hessian is never formed.
 * Pearlmutter 1994, here by double backward.
 * @param f - a function of one or several float tensors to a scalar tensor
 * @param x - its argument, or the list of them
 * @param v - a direction of the shape (or shapes) of x
 * @returns Hv in the form of x
 * @throws RangeError if v has another shape than x; otherwise as {@link hessian}
 */
export function hvp<P extends Point>(f: (...x: Tensor[]) => Tensor, x: P, v: P): Like<P> {
  checkFunction('hvp', f);
  const points = checkPoint('hvp', 'x', x);
  const directions = checkPoint('hvp', 'v', v);
  const shapes = (list: readonly Tensor[]): string =>
    list.map((t) => `[${shapeOf(t).join(', ')}]`).join(', ');
  if (shapes(points) !== shapes(directions) || isTensor(x) !== isTensor(v))
    throw new RangeError(
      `hvp: v must have the shape of x, ${shapes(points)}, but has ${shapes(directions)}`,
    );
  return tidy(() =>
    enableGrad(() => {
      const leaves = leavesAt(points);
      const y = callScalar('hvp', f, leaves, true);
      const first = gradients(y, leaves, { createGraph: true });
      let slope: Tensor | null = null; // Σ ∇f · v
      first.forEach((g, i) => {
        if (!g?.requiresGrad) return; // f is linear in this argument
        const part = g.mul(detach(directions[i]!).to(g.dtype)).sum();
        slope = slope ? slope.add(part) : part;
      });
      const products = slope ? gradients(slope, leaves) : [];
      const result = leaves.map((leaf, i) => products[i] ?? zerosLike(leaf));
      return (isTensor(x) ? result[0] : result) as Like<P>;
    }),
  );
}
