// Backpropagation: walks the recorded graph from the end to its leaves, in the reverse of the order in
// which it was recorded. At a node the gradients from all who used its result have been summed before its
// rule is applied. Cost: a small constant times the forward pass.
import { apply, execute, generate, replay } from './apply.js';
import { stateLike, zerosLike } from './create.js';
import { TapegradError, checkKeys, wrongType } from './errors.js';
import { native } from './native.js';
import { copyFrom } from './ops.js';
import { outside, recording } from './recording.js';
import { DTYPES, OPS } from './schema.gen.js';
import { Node, edgeOf, enableGrad, noGrad } from './tape.js';
import {
  checkTensor,
  checkTensors,
  collecting,
  enlist,
  handleOf,
  isKept,
  isTensor,
  keep,
  disposed,
  shapeOf,
  type Tensor,
} from './tensor.js';
import { vjpOf } from './vjps.js';

export interface BackwardOptions {
  /** Keep what the graph holds, so that it can be walked again. Default: the value of createGraph. */
  retainGraph?: boolean;
  /** Record the backward pass itself, for gradients of gradients. */
  createGraph?: boolean;
  /** The gradient of the tensor itself, of its shape; a scalar's is 1. */
  gradient?: Tensor;
}

type Edge = Node | Tensor;

/** A gradient on its way. Only one that is owned may be changed in place, moved or freed. */
interface Slot {
  value: Tensor;
  owned: boolean;
}

/** All nodes from which the root was computed, the newest first. */
function reachable(root: Node): Node[] {
  const seen = new Set<Node>([root]);
  const stack = [root];
  for (let node = stack.pop(); node; node = stack.pop()) {
    for (const edge of node.edges) {
      if (edge instanceof Node && !seen.has(edge)) {
        seen.add(edge);
        stack.push(edge);
      }
    }
  }
  return [...seen].sort((a, b) => b.id - a.id);
}

/** Of these nodes, those that lead to one of the targets. */
function leadingTo(nodes: readonly Node[], targets: ReadonlySet<Edge>): Set<Edge> {
  const useful = new Set<Edge>(targets);
  for (let i = nodes.length - 1; i >= 0; --i)
    if (nodes[i]!.edges.some((e) => e !== null && useful.has(e))) useful.add(nodes[i]!);
  return useful;
}

class Walk {
  private readonly slots = new Map<Edge, Slot>();

  constructor(private readonly createGraph: boolean) {}

  add(edge: Edge, value: Tensor, owned: boolean): void {
    const slot = this.slots.get(edge);
    if (!slot) {
      this.slots.set(edge, { value, owned });
    } else if (this.createGraph) {
      slot.value = apply(OPS.add, [slot.value, value], null);
    } else if (slot.owned) {
      native.accumulate(handleOf(slot.value), handleOf(value), value);
      if (owned) value.dispose();
    } else {
      slot.value = execute(OPS.add.code, [slot.value, value], []);
      slot.owned = true;
      if (owned) value.dispose();
    }
  }

  take(edge: Edge): Slot | undefined {
    const slot = this.slots.get(edge);
    this.slots.delete(edge);
    return slot;
  }

  /** Applies a node's rule and hands the results on. */
  visit(node: Node, slot: Slot, useful: ReadonlySet<Edge> | null): void {
    node.check();
    const needs = node.edges.map((e) => e !== null && (useful === null || useful.has(e)));
    const grads = vjpOf(node.op)(node, slot.value, needs);
    let passedOn = 0;
    for (const g of grads) if (g === slot.value) ++passedOn;
    node.edges.forEach((edge, i) => {
      const g = grads[i];
      if (!edge || !needs[i] || !g) return;
      // A view shares its memory, and what passes through may go to several: neither is owned.
      this.add(edge, g, g === slot.value ? slot.owned && passedOn === 1 : g.base === null);
    });
    if (slot.owned && passedOn === 0 && !this.createGraph) slot.value.dispose();
  }

  /** What is left: gradients of leaves. */
  leaves(): [Edge, Slot][] {
    return [...this.slots];
  }
}

function seed(op: string, root: Tensor, gradient: Tensor | undefined): Slot {
  const shape = shapeOf(root);
  if (gradient !== undefined) {
    checkTensor(op, 'gradient', gradient);
    const given = shapeOf(gradient);
    if (
      gradient.dtype !== root.dtype ||
      given.length !== shape.length ||
      given.some((d, i) => d !== shape[i])
    )
      throw new RangeError(
        `${op}: the gradient must be ${root.dtype} [${shape.join(', ')}] like the tensor, got ${gradient.dtype} [${given.join(', ')}]`,
      );
    return { value: gradient, owned: false };
  }
  if (root.size !== 1)
    throw new RangeError(
      `${op}: only a scalar has a gradient by itself, and the shape is [${shape.join(', ')}]; reduce it with sum() or mean(), or pass { gradient }`,
    );
  return {
    value: generate(OPS.full, [shape.length, ...shape, DTYPES.indexOf(root.dtype), 1], root),
    owned: true,
  };
}

function checkRoot(op: string, root: unknown): Tensor {
  const t = checkTensor(op, 'the tensor', root);
  if (!t.requiresGrad)
    throw new TapegradError(
      'TG_GRAPH',
      `${op}: the tensor does not depend on any tensor with requiresGrad (was it computed inside noGrad, or detached?)`,
    );
  return t;
}

const KNOWN = ['retainGraph', 'createGraph', 'gradient'];
/** A checked copy: what the caller's object says may not change while the graph is walked. */
function checkOptions(op: string, options: unknown): BackwardOptions {
  const { retainGraph, createGraph, gradient } = checkKeys(op, options, KNOWN);
  const given: BackwardOptions = {};
  for (const [name, value] of [
    ['retainGraph', retainGraph],
    ['createGraph', createGraph],
  ] as const) {
    if (value === undefined) continue;
    if (typeof value !== 'boolean') throw wrongType(op, name, 'a boolean', value);
    given[name] = value;
  }
  if (gradient !== undefined) given.gradient = checkTensor(op, 'gradient', gradient);
  return given;
}

/** The walk that backward() and gradients() share; `finish` receives the gradients it is asked for. */
function walk<T>(
  op: string,
  root: Tensor,
  options: BackwardOptions,
  targets: ReadonlySet<Edge> | null,
  finish: (slots: ReadonlyMap<Edge, Slot>) => T,
): T {
  const createGraph = options.createGraph ?? false;
  const retain = options.retainGraph ?? createGraph;
  const rootEdge = edgeOf(root)!;
  const nodes = rootEdge instanceof Node ? reachable(rootEdge) : [];
  const useful = targets && leadingTo(nodes, targets);
  const run = (): T =>
    replay(() => {
      const state = new Walk(createGraph);
      const results = new Map<Edge, Slot>();
      const first = seed(op, root, options.gradient);
      state.add(rootEdge, first.value, first.owned);
      for (const node of nodes) {
        const slot = state.take(node);
        if (slot && (!useful || useful.has(node))) {
          if (targets?.has(node)) results.set(node, slot.owned ? { ...slot, owned: false } : slot);
          state.visit(node, targets?.has(node) ? { ...slot, owned: false } : slot, useful);
        }
        if (!retain) {
          node.release();
          if (node !== rootEdge && !node.retained && !targets?.has(node))
            native.dispose(node.outHandle);
        }
      }
      for (const [edge, slot] of state.leaves()) results.set(edge, slot);
      return finish(results);
    });
  if (createGraph) return enableGrad(run);
  const made: Tensor[] = [];
  let done = false;
  try {
    const result = collecting(made, () => noGrad(run));
    done = true;
    return result;
  } finally {
    // finish() marked what survives; all other gradients were on their way only. After a failure only
    // what has become some leaf's grad is anybody's.
    for (const t of made) if (!(done ? survives.has(t) : isKept(t))) t.dispose();
  }
}
const survives = new WeakSet<Tensor>();

/** A gradient as a tensor that nobody else uses. */
function own(slot: Slot, createGraph: boolean): Tensor {
  if (createGraph) return slot.value;
  const t = slot.owned ? slot.value : execute(OPS.clone.code, [slot.value], []);
  survives.add(t);
  return t;
}

/**
 * Computes the gradients of a scalar with respect to every leaf with `requiresGrad` that it was computed
 * from, and adds them to the leaves' `grad`. Frees the graph, the intermediate results included (but not the
 * tensor itself, nor what was handed to a loss as the prediction, nor what was given to `keep`), unless told
 * to retain it.
 * @throws TapegradError TG_GRAPH if nothing was recorded or the graph was freed, TG_MODIFIED if a tensor that
 * a rule needs was changed in place; RangeError if the tensor is no scalar and no gradient is given.
 */
export function backward(root: Tensor, options?: BackwardOptions): void {
  const given = checkOptions('backward', options);
  checkRoot('backward', root);
  const createGraph = given.createGraph ?? false;
  walk('backward', root, given, null, (slots) => {
    for (const [edge, slot] of slots) {
      if (edge instanceof Node) continue;
      const to = recording();
      if (to && edge.grad === null && !to.zeroed.has(edge)) {
        // The next run finds the gradient of this one, and so must this one.
        edge.grad = outside(() => keep(stateLike(edge)));
        survives.add(edge.grad);
        to.accumulating.add(edge);
      }
      to?.usesGradient(edge);
      if (edge.grad === null) {
        edge.grad = keep(own(slot, createGraph));
        to?.graded.add(edge);
      } else if (!isTensor(edge.grad)) {
        throw wrongType('backward', 'grad', 'a Tensor or null', edge.grad);
      } else if (edge.grad.isDisposed) {
        throw disposed('backward', 'the grad to add to (set grad to null, or use zeroGrad)');
      } else if (createGraph) {
        edge.grad = keep(apply(OPS.add, [edge.grad, slot.value], null));
      } else {
        native.accumulate(handleOf(edge.grad), handleOf(slot.value), slot);
        to?.written.add(edge.grad);
        ++edge.grad.version;
      }
    }
  });
}

/** @internal Forgets a leaf's gradient and frees its memory; what runs add to is set to zero instead. */
export function clearGradient(leaf: Tensor): void {
  const to = recording();
  if (to && leaf.grad && !to.graded.has(leaf)) {
    const { grad } = leaf;
    if (to.written.has(grad)) {
      noGrad(() => copyFrom(grad, zerosLike(grad)));
    } else {
      to.replaced.set(leaf, grad);
      to.zeroed.add(leaf);
      leaf.grad = null;
    }
    return;
  }
  to?.zeroed.add(leaf);
  leaf.grad?.dispose();
  leaf.grad = null;
}

/**
 * The gradients of a tensor with respect to the given tensors, leaves or intermediate results, without
 * touching any `grad`.
 * @returns One gradient for each target, null where the tensor does not depend on it.
 * @throws As {@link backward}.
 */
export function gradients(
  root: Tensor,
  targets: readonly Tensor[],
  options?: BackwardOptions,
): (Tensor | null)[] {
  const given = checkOptions('gradients', options);
  checkRoot('gradients', root);
  const edges = checkTensors('gradients', 'targets', 'target', targets).map(edgeOf);
  const wanted = new Set(edges.filter((e): e is Edge => e !== null));
  const createGraph = given.createGraph ?? false;
  const result = walk('gradients', root, given, wanted, (slots) => {
    const done = new Map<Edge, Tensor>();
    return edges.map((edge) => {
      const slot = edge && slots.get(edge);
      if (!slot) return null;
      const before = done.get(edge);
      const t = before ? own({ value: before, owned: false }, createGraph) : own(slot, createGraph);
      done.set(edge, t);
      return t;
    });
  });
  if (!createGraph) for (const t of result) if (t) enlist(t);
  return result;
}
