// Activations as modules, for Sequential.
import * as ops from '../ops.gen.js';
import { flatten, gelu } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';

/** A function without parameters, as a module. */
class Activation extends Module {
  constructor(private readonly f: (x: Tensor) => Tensor) {
    super();
  }
  forward(x: Tensor): Tensor {
    return this.f(x);
  }
}

/** max(x, 0). */
export class ReLU extends Activation {
  constructor() {
    super(ops.relu);
  }
}
/** 1 / (1 + e⁻ˣ). */
export class Sigmoid extends Activation {
  constructor() {
    super(ops.sigmoid);
  }
}
/** Hyperbolic tangent. */
export class Tanh extends Activation {
  constructor() {
    super(ops.tanh);
  }
}
/** x · sigmoid(x). */
export class SiLU extends Activation {
  constructor() {
    super(ops.silu);
  }
}
/** log(1 + eˣ). */
export class Softplus extends Activation {
  constructor() {
    super(ops.softplus);
  }
}

/** x where positive, else negativeSlope · x. */
export class LeakyReLU extends Module {
  constructor(readonly options: { negativeSlope?: number } = {}) {
    super();
  }
  forward(x: Tensor): Tensor {
    return ops.leakyRelu(x, this.options);
  }
}
/** x where positive, else alpha (eˣ - 1). */
export class ELU extends Module {
  constructor(readonly options: { alpha?: number } = {}) {
    super();
  }
  forward(x: Tensor): Tensor {
    return ops.elu(x, this.options);
  }
}
/** x Φ(x). */
export class GELU extends Module {
  constructor(readonly options: { approximate?: 'none' | 'tanh' } = {}) {
    super();
  }
  forward(x: Tensor): Tensor {
    return gelu(x, this.options);
  }
}
/** Softmax along an axis, the last unless told. */
export class Softmax extends Module {
  constructor(readonly options: { axis?: number } = {}) {
    super();
  }
  forward(x: Tensor): Tensor {
    return ops.softmax(x, this.options);
  }
}
/** Log-softmax along an axis, the last unless told. */
export class LogSoftmax extends Module {
  constructor(readonly options: { axis?: number } = {}) {
    super();
  }
  forward(x: Tensor): Tensor {
    return ops.logSoftmax(x, this.options);
  }
}
/** Joins all axes from startAxis (1 unless told) on. */
export class Flatten extends Module {
  constructor(readonly options: { startAxis?: number } = {}) {
    super();
  }
  forward(x: Tensor): Tensor {
    return flatten(x, this.options.startAxis ?? 1);
  }
}
