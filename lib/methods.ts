// Puts the ops onto Tensor as methods. Each is the function of the same name with `this` first.
import { inspect } from 'node:util';
import { backward, type BackwardOptions } from './backward.js';
import type { Device } from './device.js';
import { generatedMethods } from './methods.gen.js';
import * as ops from './ops.js';
import { toText } from './print.js';
import type { DType } from './schema.gen.js';
import { Tensor, checkTensor, isTensor, shapeOf } from './tensor.js';

export type NestedArray = number | boolean | NestedArray[];

declare module './tensor.js' {
  interface Tensor {
    /** Backpropagates from this scalar; see {@link backward}. */
    backward(options?: BackwardOptions): void;
    /** xʸ; see {@link ops.pow}. */
    pow(y: Tensor | number): Tensor;
    /** x · Φ(x); see {@link ops.gelu}. */
    gelu(options?: { approximate?: 'none' | 'tanh' }): Tensor;
    /** Adds an axis of size 1. */
    unsqueeze(axis: number): Tensor;
    /** Removes axes of size 1: the given one, or all. */
    squeeze(axis?: number): Tensor;
    /** Joins the axes from startAxis on into one. */
    flatten(startAxis?: number): Tensor;
    /** Exchanges two axes, the last two unless told. No copy. */
    transpose(axis1?: number, axis2?: number): Tensor;
    /** The transpose of a matrix. No copy. */
    readonly T: Tensor;
    /** Pieces of the given size along an axis. No copy. */
    split(size: number, axis?: number): Tensor[];
    /** The same memory outside the graph. */
    detach(): Tensor;
    /** The same numbers in another dtype. */
    to(target: DType | Device | { dtype?: DType; device?: Device }): Tensor;
    /** Overwrites the elements in place. */
    copyFrom(source: Tensor): Tensor;
    /** The elements as nested arrays; a number (or boolean) for a scalar. */
    toArray(): NestedArray;
    toString(): string;
  }
}

function toArray(this: Tensor): NestedArray {
  checkTensor('toArray', 'this', this);
  const data = this.dataSync();
  const shape = shapeOf(this);
  const bool = this.dtype === 'bool';
  let at = 0;
  const build = (axis: number): NestedArray => {
    if (axis === shape.length) {
      const v = data[at++]!;
      return bool ? v !== 0 : v;
    }
    return Array.from({ length: shape[axis]! }, () => build(axis + 1));
  };
  return build(0);
}

const written = {
  backward(this: Tensor, options?: BackwardOptions) {
    backward(this, options);
  },
  pow(this: Tensor, y: Tensor | number) {
    return ops.pow(checkTensor('pow', 'this', this), y);
  },
  gelu(this: Tensor, options?: { approximate?: 'none' | 'tanh' }) {
    return ops.gelu(this, options);
  },
  unsqueeze(this: Tensor, axis: number) {
    return ops.unsqueeze(this, axis);
  },
  squeeze(this: Tensor, axis?: number) {
    return ops.squeeze(this, axis);
  },
  flatten(this: Tensor, startAxis?: number) {
    return ops.flatten(this, startAxis);
  },
  transpose(this: Tensor, axis1?: number, axis2?: number) {
    return ops.transpose(this, axis1, axis2);
  },
  split(this: Tensor, size: number, axis?: number) {
    return ops.split(this, size, axis);
  },
  detach(this: Tensor) {
    return ops.detach(this);
  },
  to(this: Tensor, target: DType | Device | { dtype?: DType; device?: Device }) {
    return ops.to(this, target);
  },
  copyFrom(this: Tensor, source: Tensor) {
    return ops.copyFrom(this, source);
  },
  toArray,
  toString(this: Tensor) {
    return toText(this);
  },
  [inspect.custom](this: unknown) {
    // console.log must not throw, whatever it meets.
    return isTensor(this) ? toText(this) : 'Tensor {}';
  },
};

for (const methods of [generatedMethods, written])
  for (const key of Reflect.ownKeys(methods))
    Object.defineProperty(Tensor.prototype, key, {
      value: (methods as Record<PropertyKey, unknown>)[key],
      writable: true,
      configurable: true,
      enumerable: false,
    });
Object.defineProperty(Tensor.prototype, 'T', {
  get(this: Tensor) {
    return ops.transpose(this);
  },
  configurable: true,
  enumerable: false,
});
