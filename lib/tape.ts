// The tape: what was computed from what. Each recorded op leaves one node; nodes point at the nodes of
// their inputs, so a graph lives exactly as long as somebody holds its end. No ops are run here.
import { TapegradError } from './errors.js';
import type { OpSpec } from './schema.gen.js';
import { hold, isTensor, shapeOf, unhold, type Operand, type Tensor } from './tensor.js';

let enabled = true;
let nextId = 1;

/** Whether ops are being recorded. */
export const isGradEnabled = (): boolean => enabled;

function withGrad<T>(value: boolean, fn: () => T): T {
  const before = enabled;
  enabled = value;
  let result: T;
  try {
    result = fn();
  } finally {
    enabled = before;
  }
  return result;
}

/**
 * Runs a function without recording: nothing is kept for a backward pass. For evaluation and for updates.
 * Covers the synchronous part of the function only.
 */
export function noGrad<T>(fn: () => T): T {
  if (typeof fn !== 'function') throw new TypeError('noGrad: fn must be a function');
  return withGrad(false, fn);
}

/** Runs a function with recording on, inside a surrounding {@link noGrad}. */
export function enableGrad<T>(fn: () => T): T {
  if (typeof fn !== 'function') throw new TypeError('enableGrad: fn must be a function');
  return withGrad(true, fn);
}

/** One recorded op. */
export class Node {
  readonly id = nextId++;
  /** Set when a backward pass freed what was kept. */
  released = false;
  /** The result survives the backward pass: it was handed to a loss as the prediction. */
  retained = false;
  private readonly versions: number[];
  /** Who may still walk through here: the result, while it is not disposed of, and the nodes that used it. */
  private users = 1;

  constructor(
    readonly op: OpSpec,
    /** Where the gradient of each input goes: the node that made it, the leaf itself, or nowhere. */
    readonly edges: readonly (Node | Tensor | null)[],
    /** Shapes of the inputs, to sum gradients back over what was broadcast. */
    readonly shapes: readonly (readonly number[])[],
    /** What the derivative reads, in the op's own order. */
    public kept: readonly Operand[],
    readonly numbers: readonly number[],
    /** The result's handle: freed with the graph, if nobody freed it before. */
    readonly outHandle: number,
  ) {
    this.versions = [];
    for (const edge of edges) if (edge instanceof Node) ++edge.users;
    for (const k of kept) {
      if (typeof k === 'number') {
        this.versions.push(0);
      } else {
        hold(k);
        this.versions.push((k.base ?? k).version);
      }
    }
  }

  /** Fails if a backward pass freed what was kept, or if it was changed in place since. */
  check(): void {
    if (this.released)
      throw new TapegradError(
        'TG_GRAPH',
        `backward: the graph through ${this.op.name} was freed by an earlier backward(); pass { retainGraph: true } there to go through it again`,
      );
    this.kept.forEach((k, i) => {
      if (typeof k !== 'number' && (k.base ?? k).version !== this.versions[i])
        throw new TapegradError(
          'TG_MODIFIED',
          `backward: a tensor of shape [${shapeOf(k).join(', ')}] that ${this.op.name} needs for its gradient was changed in place ` +
            '(by an optimizer step or copyFrom) after it was used; call backward() before the change',
        );
    });
  }

  release(): void {
    if (this.released) return;
    this.released = true;
    for (const k of this.kept) if (isTensor(k)) unhold(k);
    this.kept = [];
  }

  /** One user less. Without any, no backward pass can come this way, and what is kept for it goes. */
  drop(): void {
    const open: Node[] = [this];
    for (let node = open.pop(); node; node = open.pop()) {
      if (--node.users > 0) continue;
      node.release();
      for (const edge of node.edges) if (edge instanceof Node) open.push(edge);
    }
  }
}

/** Where a tensor's gradient goes. */
export const edgeOf = (x: Operand): Node | Tensor | null =>
  typeof x === 'number' || !x.requiresGrad ? null : (x.node ?? x);
