// Modules one after another.
import { checkNumber, wrongType } from '../errors.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';

/**
 * Feeds each module's result to the next. What lies between is freed as soon as no backward pass needs it.
 * @throws TypeError if an argument is no Module
 */
export class Sequential extends Module {
  private readonly layers: readonly Module[];

  constructor(...layers: Module[]) {
    super();
    layers.forEach((l: unknown, i) => {
      if (!(l instanceof Module)) throw wrongType('Sequential', `layer ${i}`, 'a Module', l);
    });
    this.layers = layers;
  }

  get length(): number {
    return this.layers.length;
  }
  /** The i-th layer. */
  at(i: number): Module | undefined {
    return this.layers.at(checkNumber('Sequential.at', 'i', i, { integer: true }));
  }

  forward(x: Tensor): Tensor {
    let result = x;
    for (const layer of this.layers) {
      const next = layer.forward(result);
      if (result !== x && result !== next) result.dispose();
      result = next;
    }
    return result;
  }
}
