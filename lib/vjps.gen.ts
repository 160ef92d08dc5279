// Generated from native/schema by `npm run gen`; do not edit.

// The derivative rules of elementwise ops, replayed with differentiable ops: for gradients of gradients,
// and where a rule is a single op, so that no fused kernel is needed. In a unary rule y is the result.
import { compose } from './compose.js';
import { OPS } from './schema.gen.js';
import type { Operand, Tensor } from './tensor.js';

export type Composed = (
  g: Tensor,
  x: Operand,
  y: Operand,
  z: Operand,
  p: readonly number[],
) => Operand;
export interface Rule {
  readonly ops: number;
  readonly run: Composed;
}
const rule = (ops: number, run: Composed): Rule => ({ ops, run });

export const RULES: Readonly<Record<string, readonly Rule[]>> = {
  neg: [rule(1, (g) => compose(OPS.neg, [g]))],
  abs: [rule(2, (g, x) => compose(OPS.mul, [g, compose(OPS.sign, [x])]))],
  sign: [rule(0, () => 0)],
  square: [rule(2, (g, x) => compose(OPS.mul, [compose(OPS.mul, [2, x]), g]))],
  exp: [rule(1, (g, _x, y) => compose(OPS.mul, [g, y]))],
  expm1: [rule(2, (g, _x, y) => compose(OPS.mul, [g, compose(OPS.add, [y, 1])]))],
  log: [rule(1, (g, x) => compose(OPS.div, [g, x]))],
  log1p: [rule(2, (g, x) => compose(OPS.div, [g, compose(OPS.add, [1, x])]))],
  sqrt: [rule(2, (g, _x, y) => compose(OPS.div, [g, compose(OPS.mul, [2, y])]))],
  rsqrt: [
    rule(4, (g, _x, y) =>
      compose(OPS.mul, [
        compose(OPS.mul, [compose(OPS.mul, [compose(OPS.mul, [-0.5, g]), y]), y]),
        y,
      ]),
    ),
  ],
  reciprocal: [
    rule(3, (g, _x, y) => compose(OPS.neg, [compose(OPS.mul, [compose(OPS.mul, [g, y]), y])])),
  ],
  sin: [rule(2, (g, x) => compose(OPS.mul, [g, compose(OPS.cos, [x])]))],
  cos: [rule(3, (g, x) => compose(OPS.neg, [compose(OPS.mul, [g, compose(OPS.sin, [x])])]))],
  tanh: [
    rule(3, (g, _x, y) => compose(OPS.mul, [g, compose(OPS.sub, [1, compose(OPS.mul, [y, y])])])),
  ],
  sigmoid: [
    rule(3, (g, _x, y) => compose(OPS.mul, [compose(OPS.mul, [g, y]), compose(OPS.sub, [1, y])])),
  ],
  erf: [
    rule(5, (g, x) =>
      compose(OPS.mul, [
        compose(OPS.mul, [g, 1.1283791670955126]),
        compose(OPS.exp, [compose(OPS.neg, [compose(OPS.mul, [x, x])])]),
      ]),
    ),
  ],
  relu: [rule(2, (g, _x, y) => compose(OPS.where, [compose(OPS.lessEqual, [y, 0]), 0, g]))],
  leakyRelu: [
    rule(3, (g, x, _y, _z, p) =>
      compose(OPS.where, [compose(OPS.greater, [x, 0]), g, compose(OPS.mul, [p[0]!, g])]),
    ),
  ],
  elu: [
    rule(4, (g, x, y, _z, p) =>
      compose(OPS.where, [
        compose(OPS.greater, [x, 0]),
        g,
        compose(OPS.mul, [g, compose(OPS.add, [y, p[0]!])]),
      ]),
    ),
  ],
  softplus: [rule(2, (g, x) => compose(OPS.mul, [g, compose(OPS.sigmoid, [x])]))],
  softsign: [
    rule(4, (g, x) =>
      compose(OPS.div, [g, compose(OPS.square, [compose(OPS.add, [1, compose(OPS.abs, [x])])])]),
    ),
  ],
  silu: [
    rule(6, (g, x) => {
      const t1 = compose(OPS.sigmoid, [x]);
      return compose(OPS.mul, [
        compose(OPS.mul, [g, t1]),
        compose(OPS.add, [1, compose(OPS.mul, [x, compose(OPS.sub, [1, t1])])]),
      ]);
    }),
  ],
  geluErf: [
    rule(11, (g, x) =>
      compose(OPS.mul, [
        g,
        compose(OPS.add, [
          compose(OPS.mul, [
            0.5,
            compose(OPS.add, [1, compose(OPS.erf, [compose(OPS.mul, [0.7071067811865476, x])])]),
          ]),
          compose(OPS.mul, [
            compose(OPS.mul, [0.3989422804014327, x]),
            compose(OPS.exp, [compose(OPS.mul, [compose(OPS.mul, [-0.5, x]), x])]),
          ]),
        ]),
      ]),
    ),
  ],
  geluTanh: [
    rule(17, (g, x) => {
      const t1 = compose(OPS.tanh, [
        compose(OPS.mul, [
          x,
          compose(OPS.add, [
            0.7978845608028654,
            compose(OPS.mul, [compose(OPS.mul, [0.035677408136300125, x]), x]),
          ]),
        ]),
      ]);
      return compose(OPS.mul, [
        g,
        compose(OPS.add, [
          compose(OPS.mul, [0.5, compose(OPS.add, [1, t1])]),
          compose(OPS.mul, [
            compose(OPS.mul, [
              compose(OPS.mul, [0.5, x]),
              compose(OPS.sub, [1, compose(OPS.square, [t1])]),
            ]),
            compose(OPS.add, [
              0.7978845608028654,
              compose(OPS.mul, [compose(OPS.mul, [0.10703222440890037, x]), x]),
            ]),
          ]),
        ]),
      ]);
    }),
  ],
  clamp: [
    rule(4, (g, x, _y, _z, p) =>
      compose(OPS.where, [
        compose(OPS.less, [x, p[0]!]),
        0,
        compose(OPS.where, [compose(OPS.greater, [x, p[1]!]), 0, g]),
      ]),
    ),
  ],
  add: [rule(0, (g) => g), rule(0, (g) => g)],
  sub: [rule(0, (g) => g), rule(1, (g) => compose(OPS.neg, [g]))],
  mul: [
    rule(1, (g, _x, y) => compose(OPS.mul, [g, y])),
    rule(1, (g, x) => compose(OPS.mul, [g, x])),
  ],
  div: [
    rule(1, (g, _x, y) => compose(OPS.div, [g, y])),
    rule(4, (g, x, y) =>
      compose(OPS.mul, [compose(OPS.neg, [compose(OPS.div, [g, y])]), compose(OPS.div, [x, y])]),
    ),
  ],
  maximum: [
    rule(5, (g, x, y) =>
      compose(OPS.where, [
        compose(OPS.greater, [x, y]),
        g,
        compose(OPS.where, [compose(OPS.less, [x, y]), 0, compose(OPS.mul, [0.5, g])]),
      ]),
    ),
    rule(5, (g, x, y) =>
      compose(OPS.where, [
        compose(OPS.greater, [y, x]),
        g,
        compose(OPS.where, [compose(OPS.less, [y, x]), 0, compose(OPS.mul, [0.5, g])]),
      ]),
    ),
  ],
  minimum: [
    rule(5, (g, x, y) =>
      compose(OPS.where, [
        compose(OPS.less, [x, y]),
        g,
        compose(OPS.where, [compose(OPS.greater, [x, y]), 0, compose(OPS.mul, [0.5, g])]),
      ]),
    ),
    rule(5, (g, x, y) =>
      compose(OPS.where, [
        compose(OPS.less, [y, x]),
        g,
        compose(OPS.where, [compose(OPS.greater, [y, x]), 0, compose(OPS.mul, [0.5, g])]),
      ]),
    ),
  ],
  pow: [
    rule(6, (g, x, y) =>
      compose(OPS.where, [
        compose(OPS.equal, [y, 0]),
        0,
        compose(OPS.mul, [
          compose(OPS.mul, [g, y]),
          compose(OPS.pow, [x, compose(OPS.sub, [y, 1])]),
        ]),
      ]),
    ),
    rule(5, (g, x, _y, z) =>
      compose(OPS.where, [
        compose(OPS.equal, [x, 0]),
        0,
        compose(OPS.mul, [compose(OPS.mul, [g, z]), compose(OPS.log, [x])]),
      ]),
    ),
  ],
  squaredError: [
    rule(2, (g, x, y) => compose(OPS.mul, [g, compose(OPS.sub, [x, y])])),
    rule(2, (g, x, y) => compose(OPS.mul, [g, compose(OPS.sub, [y, x])])),
  ],
  meanSquaredError: [
    rule(3, (g, x, y) => compose(OPS.mul, [compose(OPS.mul, [2, g]), compose(OPS.sub, [x, y])])),
    rule(3, (g, x, y) => compose(OPS.mul, [compose(OPS.mul, [2, g]), compose(OPS.sub, [y, x])])),
  ],
  binaryCrossEntropyWithLogits: [
    rule(3, (g, x, y) => compose(OPS.mul, [g, compose(OPS.sub, [compose(OPS.sigmoid, [x]), y])])),
    rule(2, (g, x) => compose(OPS.neg, [compose(OPS.mul, [g, x])])),
  ],
  binaryCrossEntropy: [
    rule(7, (g, x, y) => {
      const t1 = compose(OPS.mul, [x, compose(OPS.sub, [1, x])]);
      return compose(OPS.div, [
        compose(OPS.mul, [g, compose(OPS.sub, [x, y])]),
        compose(OPS.where, [compose(OPS.less, [t1, 1e-12]), 1e-12, t1]),
      ]);
    }),
    rule(9, (g, x) => {
      const t1 = compose(OPS.log1p, [compose(OPS.neg, [x])]);
      const t2 = compose(OPS.log, [x]);
      return compose(OPS.mul, [
        g,
        compose(OPS.sub, [
          compose(OPS.where, [compose(OPS.less, [t1, -100]), -100, t1]),
          compose(OPS.where, [compose(OPS.less, [t2, -100]), -100, t2]),
        ]),
      ]);
    }),
  ],
  klDivergence: [
    rule(2, (g, _x, y) => compose(OPS.neg, [compose(OPS.mul, [g, y])])),
    rule(4, (g, x, y) =>
      compose(OPS.mul, [g, compose(OPS.sub, [compose(OPS.add, [compose(OPS.log, [y]), 1]), x])]),
    ),
  ],
  absoluteError: [
    rule(3, (g, x, y) => compose(OPS.mul, [g, compose(OPS.sign, [compose(OPS.sub, [x, y])])])),
    rule(3, (g, x, y) => compose(OPS.mul, [g, compose(OPS.sign, [compose(OPS.sub, [y, x])])])),
  ],
  huber: [
    rule(7, (g, x, y, _z, p) => {
      const t1 = compose(OPS.sub, [x, y]);
      const t2 = compose(OPS.neg, [p[0]!]);
      return compose(OPS.mul, [
        g,
        compose(OPS.where, [
          compose(OPS.greater, [t1, p[0]!]),
          p[0]!,
          compose(OPS.where, [compose(OPS.less, [t1, t2]), t2, t1]),
        ]),
      ]);
    }),
    rule(7, (g, x, y, _z, p) => {
      const t1 = compose(OPS.sub, [y, x]);
      const t2 = compose(OPS.neg, [p[0]!]);
      return compose(OPS.mul, [
        g,
        compose(OPS.where, [
          compose(OPS.greater, [t1, p[0]!]),
          p[0]!,
          compose(OPS.where, [compose(OPS.less, [t1, t2]), t2, t1]),
        ]),
      ]);
    }),
  ],
  hinge: [
    rule(5, (g, x, y) =>
      compose(OPS.where, [
        compose(OPS.greaterEqual, [compose(OPS.mul, [x, y]), 1]),
        0,
        compose(OPS.neg, [compose(OPS.mul, [g, y])]),
      ]),
    ),
    rule(5, (g, x, y) =>
      compose(OPS.where, [
        compose(OPS.greaterEqual, [compose(OPS.mul, [x, y]), 1]),
        0,
        compose(OPS.neg, [compose(OPS.mul, [g, x])]),
      ]),
    ),
  ],
  logistic: [
    rule(9, (g, x, y, _z, p) =>
      compose(OPS.mul, [
        compose(OPS.mul, [
          compose(OPS.neg, [compose(OPS.mul, [g, y])]),
          compose(OPS.add, [1, compose(OPS.mul, [0.4426950408889634, p[0]!])]),
        ]),
        compose(OPS.sigmoid, [compose(OPS.neg, [compose(OPS.mul, [x, y])])]),
      ]),
    ),
    rule(9, (g, x, y, _z, p) =>
      compose(OPS.mul, [
        compose(OPS.mul, [
          compose(OPS.neg, [compose(OPS.mul, [g, x])]),
          compose(OPS.add, [1, compose(OPS.mul, [0.4426950408889634, p[0]!])]),
        ]),
        compose(OPS.sigmoid, [compose(OPS.neg, [compose(OPS.mul, [x, y])])]),
      ]),
    ),
  ],
  exponential: [
    rule(3, (g, _x, y, z) => compose(OPS.neg, [compose(OPS.mul, [compose(OPS.mul, [g, y]), z])])),
    rule(3, (g, x, _y, z) => compose(OPS.neg, [compose(OPS.mul, [compose(OPS.mul, [g, x]), z])])),
  ],
  sigmoidLoss: [
    rule(5, (g, _x, y, z) =>
      compose(OPS.neg, [
        compose(OPS.mul, [
          compose(OPS.mul, [compose(OPS.mul, [g, y]), z]),
          compose(OPS.sub, [1, z]),
        ]),
      ]),
    ),
    rule(5, (g, x, _y, z) =>
      compose(OPS.neg, [
        compose(OPS.mul, [
          compose(OPS.mul, [compose(OPS.mul, [g, x]), z]),
          compose(OPS.sub, [1, z]),
        ]),
      ]),
    ),
  ],
  modifiedHuber: [
    rule(12, (g, x, y, _z, p) => {
      const t1 = compose(OPS.mul, [x, y]);
      return compose(OPS.mul, [
        compose(OPS.mul, [g, y]),
        compose(OPS.where, [
          compose(OPS.greaterEqual, [t1, 1]),
          0,
          compose(OPS.where, [
            compose(OPS.greater, [t1, compose(OPS.neg, [p[0]!])]),
            compose(OPS.sub, [compose(OPS.mul, [2, t1]), 2]),
            compose(OPS.sub, [-2, compose(OPS.mul, [2, p[0]!])]),
          ]),
        ]),
      ]);
    }),
    rule(12, (g, x, y, _z, p) => {
      const t1 = compose(OPS.mul, [x, y]);
      return compose(OPS.mul, [
        compose(OPS.mul, [g, x]),
        compose(OPS.where, [
          compose(OPS.greaterEqual, [t1, 1]),
          0,
          compose(OPS.where, [
            compose(OPS.greater, [t1, compose(OPS.neg, [p[0]!])]),
            compose(OPS.sub, [compose(OPS.mul, [2, t1]), 2]),
            compose(OPS.sub, [-2, compose(OPS.mul, [2, p[0]!])]),
          ]),
        ]),
      ]);
    }),
  ],
  pairwiseHinge: [
    rule(4, (g, x, y, _z, p) =>
      compose(OPS.where, [
        compose(OPS.greaterEqual, [compose(OPS.sub, [x, y]), p[0]!]),
        0,
        compose(OPS.neg, [g]),
      ]),
    ),
    rule(3, (g, x, y, _z, p) =>
      compose(OPS.where, [compose(OPS.greaterEqual, [compose(OPS.sub, [x, y]), p[0]!]), 0, g]),
    ),
  ],
};
