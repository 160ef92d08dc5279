// Module: a part of a network with parameters. Parameters and submodules are found among its properties.
import { clearGradient } from '../backward.js';
import { checkDevice, deviceCode, type Device } from '../device.js';
import { TapegradError, checkKeys, describe, wrongType } from '../errors.js';
import { native } from '../native.js';
import { clone } from '../ops.gen.js';
import { copyFrom } from '../ops.js';
import { recording } from '../recording.js';
import type { DType } from '../schema.gen.js';
import { noGrad } from '../tape.js';
import {
  cloneAll,
  FLOATS,
  handleOf,
  isFloat,
  isTensor,
  keep,
  shapeOf,
  type Tensor,
} from '../tensor.js';

/** Named tensors: "fc1.weight" → tensor. */
export type StateDict = Record<string, Tensor>;

/**
 * Base class of networks and layers. Assign tensors with `requiresGrad` (parameters), other tensors
 * (buffers) and modules, or arrays of them, to properties; `forward` says what is computed.
 */
export abstract class Module {
  /** Whether layers such as dropout behave as in training. */
  get training(): boolean {
    const mode = modeOf(this);
    recording()?.watch(this, () => modeOf(this) === mode);
    return mode;
  }
  set training(mode: boolean) {
    modes.set(this, mode);
  }

  /** The computation. @throws whatever its ops throw */
  abstract forward(...inputs: Tensor[]): Tensor;

  /** All parameters, each once, in the order of their properties. */
  parameters(): Tensor[] {
    return [...new Set(this.namedParameters().map(([, t]) => t))];
  }

  /** Parameters with their names, such as "fc1.weight". */
  namedParameters(prefix = ''): [string, Tensor][] {
    if (typeof prefix !== 'string')
      throw wrongType('namedParameters', 'prefix', 'a string', prefix);
    return entriesOf(this, prefix).filter(([, t]) => t.requiresGrad);
  }

  /** Tensors that belong to the state but are not trained, such as running statistics. */
  namedBuffers(prefix = ''): [string, Tensor][] {
    if (typeof prefix !== 'string') throw wrongType('namedBuffers', 'prefix', 'a string', prefix);
    return entriesOf(this, prefix).filter(([, t]) => !t.requiresGrad);
  }

  /** This module and those in it, each once, outer before inner. */
  modules(): Module[] {
    const found = new Set<Module>();
    collectModules(this, found);
    return [...found];
  }

  /** Switches to training (or with false, to evaluation), here and inside. Returns this. */
  train(mode = true): this {
    if (typeof mode !== 'boolean') throw wrongType('train', 'mode', 'a boolean', mode);
    for (const m of this.modules()) m.training = mode;
    return this;
  }

  /** Switches to evaluation, here and inside. Returns this. */
  eval(): this {
    return this.train(false);
  }

  /**
   * Moves parameters, buffers and gradients to a device. They stay the same tensors, so optimizers made before go on;
   * move before the first step, or their state stays behind. All move or none. Returns this.
   * @throws TapegradError TG_DEVICE if the device cannot be used, TG_OUT_OF_MEMORY, TG_BUSY; TypeError
   */
  to(device: Device): this {
    const place = checkDevice('Module.to', device ?? null);
    const own = new Set(entriesOf(this, '').flatMap(([, t]) => (t.grad ? [t, t.grad] : [t])));
    const moved: [Tensor, Device][] = [];
    try {
      for (const t of own) {
        const from = t.device;
        if (from === place) continue;
        moveTo(t, place);
        moved.push([t, from]);
      }
    } catch (error) {
      for (const [t, from] of moved) moveTo(t, from);
      throw error;
    }
    return this;
  }

  /** Forgets all gradients and frees their memory. */
  zeroGrad(): void {
    for (const p of this.parameters()) clearGradient(p);
  }

  /** Copies of all parameters and buffers by name: what a file holds. */
  stateDict(): StateDict {
    const state: StateDict = Object.create(null) as StateDict;
    noGrad(() => {
      for (const [name, t] of entriesOf(this, '')) state[name] = clone(t);
    });
    return state;
  }

  /**
   * Overwrites parameters and buffers. All names, shapes and dtypes are checked before anything is written.
   * @param options - `strict` (default true): every tensor of the module must be named, and no other
   * @throws TapegradError TG_STATE listing all that does not fit
   */
  loadStateDict(state: Readonly<StateDict>, options?: { strict?: boolean }): this {
    const { strict = true } = checkKeys('loadStateDict', options, ['strict']);
    if (typeof state !== 'object' || state === null)
      throw wrongType('loadStateDict', 'state', 'an object of tensors', state);
    const own = new Map(entriesOf(this, ''));
    const problems: string[] = [];
    const pairs: [Tensor, Tensor][] = [];
    for (const [name, target] of own) {
      if (!Object.hasOwn(state, name)) {
        if (strict !== false) problems.push(`${name} is missing`);
        continue;
      }
      const source: unknown = state[name];
      if (!isTensor(source)) problems.push(`${name} must be a Tensor, got ${describe(source)}`);
      else if (source.isDisposed) problems.push(`${name} is disposed of`);
      else if (source.dtype !== target.dtype || shapeOf(source).join() !== shapeOf(target).join())
        problems.push(
          `${name} must be ${target.dtype} [${shapeOf(target).join(', ')}], got ${source.dtype} [${shapeOf(source).join(', ')}]`,
        );
      else pairs.push([target, source]);
    }
    if (strict !== false)
      for (const name of Object.keys(state))
        if (!own.has(name)) problems.push(`${name} is not part of the module`);
    if (problems.length > 0)
      throw new TapegradError('TG_STATE', `loadStateDict: ${problems.join('; ')}`);
    for (const [target, source] of pairs) copyFrom(target, source);
    return this;
  }

  /**
   * A frozen copy of this network as it is now, or if a program is training it, after the last step that ended:
   * all tensors of one step, which nothing changes later. For serving while training goes on.
   *
   * The copy is of the same class, in evaluation mode, and none of its tensors has requiresGrad; it shares all
   * that is neither tensor nor module, and has no private (#) fields. Dispose of it when it has served.
   * @example
   * using frozen = model.snapshot();
   * const answer = tg.noGrad(() => frozen.forward(x).argmax({ axis: -1 })).toArray();
   * @throws TapegradError TG_DISPOSED if a tensor was disposed of, TG_TRACE inside `compile`, TG_OUT_OF_MEMORY
   */
  snapshot(): this {
    const own = [...new Set(entriesOf(this, '').map(([, t]) => t))];
    const copies = cloneAll(own).map(keep);
    const copy = withTensors(this, new Map(own.map((t, i) => [t, copies[i]!])), new Map()) as this;
    return copy.eval();
  }

  /** Frees all parameters and buffers. */
  dispose(): void {
    this.zeroGrad();
    for (const [, t] of entriesOf(this, '')) t.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** In place, and a change: what was recorded with a tensor elsewhere no longer fits. */
function moveTo(t: Tensor, device: Device): void {
  native.moveTo(handleOf(t), deviceCode(device), t);
  ++(t.base ?? t).version;
}

// Not in the modules themselves: a snapshot shares a module's class, but never went through its constructor.
const modes = new WeakMap<Module, boolean>();
const modeOf = (module: Module): boolean => modes.get(module) ?? true;

function collectModules(from: Module, found: Set<Module>): void {
  if (found.has(from)) return;
  found.add(from);
  for (const [, child] of children(from, ''))
    if (child instanceof Module) collectModules(child, found);
}

/** @internal Parameters and buffers of a module by name. */
function entriesOf(
  module: Module,
  prefix: string,
  outer: readonly Module[] = [],
): [string, Tensor][] {
  const found: [string, Tensor][] = [];
  const path = [...outer, module];
  for (const [name, child] of children(module, prefix)) {
    if (!(child instanceof Module)) {
      found.push([name, child]);
    } else {
      if (path.includes(child))
        throw new TypeError(
          `Module: ${name} is a module that contains it; a network cannot contain itself`,
        );
      for (const entry of entriesOf(child, `${name}.`, path)) found.push(entry);
    }
  }
  return found;
}

/** A module, or an array of them, with other tensors in the places of its own; what else it holds is shared. */
function withTensors(
  value: unknown,
  tensors: ReadonlyMap<Tensor, Tensor>,
  made: Map<object, unknown>,
): unknown {
  if (isTensor(value)) return tensors.get(value) ?? value;
  if (!(value instanceof Module) && !Array.isArray(value)) return value;
  let copy = made.get(value) as Record<string, unknown> | undefined;
  if (copy) return copy;
  copy = (
    Array.isArray(value) ? [] : Object.create(Object.getPrototypeOf(value) as object)
  ) as Record<string, unknown>;
  made.set(value, copy);
  for (const [key, child] of Object.entries(value)) copy[key] = withTensors(child, tensors, made);
  return copy;
}

/** Tensors and modules among an object's properties, and in arrays there. */
function* children(of: object, prefix: string, depth = 0): Generator<[string, Tensor | Module]> {
  if (depth > 32)
    throw new TypeError(
      `Module: the array ${prefix.slice(0, 20)}… is nested too deep, or contains itself`,
    );
  for (const [key, value] of Object.entries(of) as [string, unknown][]) {
    if (value instanceof Module || isTensor(value)) yield [`${prefix}${key}`, value];
    else if (Array.isArray(value)) yield* children(value, `${prefix}${key}.`, depth + 1);
  }
}

/** @internal The dtype of a layer's parameters; float32 unless told. */
export function checkFloat(layer: string, dtype: unknown = 'float32'): DType {
  if (!isFloat(dtype as DType)) throw wrongType(layer, 'dtype', FLOATS, dtype);
  return dtype as DType;
}

/** Marks a tensor as a parameter: it has a gradient, and no tidy frees it. Returns it. */
export function parameter(t: Tensor): Tensor {
  t.requiresGrad = true;
  return keep(t);
}
