// The references of the elementwise ops, one line each, written by hand on purpose: a derived one could
// not disagree. f is computed in float64 from inputs that are exact in the tested dtype. Structured ops
// are in shapes.ts and reductions.ts.

export type Domain = readonly [number, number];
export interface Elementwise {
  /** Of one or two inputs and the attributes in the schema's order. Right for special values, too. */
  readonly f: (x: number, y: number, p0: number, p1: number) => number;
  /** Where inputs are sampled: of one, or of both if they differ. */
  readonly domain: Domain;
  readonly domainY?: Domain;
  /** Options to test besides the defaults. */
  readonly options?: readonly Readonly<Record<string, number | boolean>>[];
  /** Zero where there is no derivative: gradient checks stay away. */
  readonly kink?: (x: number, y: number, p0: number, p1: number) => number;
  /** What rounding is measured against where terms cancel; else |f|. */
  readonly scale?: (x: number, y: number) => number;
  /** Either zero is right where both ±0 come in. */
  readonly anyZero?: boolean;
  /** In int32 arithmetic, for ops that take NUMBER. */
  readonly int?: (x: number, y: number) => number;
  /** [inputs, gradients] at kinks and other places where a convention decides. */
  readonly conventions?: readonly (readonly [readonly number[], readonly number[]])[];
}

/** erf to about 1e-15: a series of positive terms inside, a continued fraction of erfc outside. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(x)) return NaN;
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); ++n) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return x === 0 ? x : (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = a;
  for (let k = 80; k > 0; --k) fraction = a + k / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * fraction));
}
const sigmoid = (x: number): number =>
  x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
/** C's pow: JavaScript's differs where the base is ±1 and the exponent infinite or NaN. */
const pow = (x: number, y: number): number =>
  x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y;
/** PyTorch's floor under the logarithms of a probability. */
const logFrom100 = (x: number, log: (x: number) => number): number => Math.max(log(x), -100);
const difference = (x: number, y: number): number => x - y;
const number = Number;

export const ELEMENTWISE_REFERENCES: Readonly<Record<string, Elementwise>> = {
  neg: { f: (x) => -x, domain: [-3, 3], int: (x) => -x | 0 },
  abs: {
    f: Math.abs,
    domain: [-3, 3],
    kink: (x) => x,
    int: (x) => Math.abs(x) | 0,
    conventions: [[[0], [0]]],
  },
  sign: {
    f: (x) => Math.sign(x) + 0,
    domain: [-3, 3],
    kink: (x) => x,
    int: Math.sign,
    conventions: [[[0], [0]]],
  },
  square: { f: (x) => x * x, domain: [-3, 3], int: (x) => Math.imul(x, x) },
  exp: { f: Math.exp, domain: [-20, 20] },
  expm1: { f: Math.expm1, domain: [-5, 5] },
  log: { f: Math.log, domain: [0.05, 9] },
  log1p: { f: Math.log1p, domain: [-0.9, 9] },
  sqrt: { f: Math.sqrt, domain: [0.1, 9] },
  rsqrt: { f: (x) => 1 / Math.sqrt(x), domain: [0.1, 9] },
  reciprocal: { f: (x) => 1 / x, domain: [0.2, 3] },
  sin: { f: Math.sin, domain: [-30, 30] },
  cos: { f: Math.cos, domain: [-30, 30] },
  tanh: { f: Math.tanh, domain: [-5, 5] },
  sigmoid: { f: sigmoid, domain: [-9, 9] },
  erf: { f: erf, domain: [-4, 4] },
  relu: {
    f: (x) => (x < 0 ? 0 : x),
    domain: [-3, 3],
    kink: (x) => x,
    int: (x) => Math.max(x, 0),
    conventions: [
      [[0], [0]],
      [[NaN], [1]],
    ],
  },
  leakyRelu: {
    f: (x, _y, slope) => (x > 0 ? x : slope * x),
    domain: [-3, 3],
    kink: (x) => x,
    options: [{ negativeSlope: 0.3 }],
    conventions: [[[0], [0.01]]],
  },
  elu: {
    f: (x, _y, alpha) => (x > 0 ? x : alpha * Math.expm1(x)),
    domain: [-5, 3],
    kink: (x) => x,
    options: [{ alpha: 0.7 }],
  },
  softsign: { f: (x) => x / (1 + Math.abs(x)), domain: [-4, 4], kink: (x) => x },
  softplus: { f: softplus, domain: [-9, 9] },
  // x · sigmoid(x) as written: NaN at -Infinity, as PyTorch's.
  silu: { f: (x) => x * sigmoid(x), domain: [-9, 9] },
  geluErf: { f: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)), domain: [-5, 5], scale: Math.abs },
  geluTanh: {
    f: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    domain: [-5, 5],
    scale: (x) => 3 * Math.abs(x),
  },
  clamp: {
    f: (x, _y, min, max) => Math.min(Math.max(x, min), max),
    domain: [-3, 3],
    kink: (x, _y, min, max) => Math.min(Math.abs(x - min), Math.abs(x - max)),
    options: [{ min: -0.5, max: 0.75 }, { min: 1 }, { max: -1 }],
  },

  add: { f: (x, y) => x + y, domain: [-3, 3], int: (x, y) => (x + y) | 0 },
  sub: { f: difference, domain: [-3, 3], int: (x, y) => (x - y) | 0 },
  mul: { f: (x, y) => x * y, domain: [-3, 3], int: Math.imul },
  div: { f: (x, y) => x / y, domain: [-3, 3], domainY: [0.2, 3] },
  maximum: {
    f: (x, y) => Math.max(x, y),
    domain: [-3, 3],
    kink: difference,
    anyZero: true,
    int: (x, y) => Math.max(x, y),
    conventions: [
      [
        [2, 2],
        [0.5, 0.5],
      ],
    ],
  },
  minimum: {
    f: (x, y) => Math.min(x, y),
    domain: [-3, 3],
    kink: difference,
    anyZero: true,
    int: (x, y) => Math.min(x, y),
    conventions: [
      [
        [2, 2],
        [0.5, 0.5],
      ],
    ],
  },
  pow: {
    f: pow,
    domain: [0.1, 3],
    domainY: [-3, 3],
    conventions: [
      [
        [0, 2],
        [0, 0],
      ],
      [
        [0, 0],
        [0, 0],
      ],
      [
        [-2, 3],
        [12, NaN],
      ],
    ],
  },

  squaredError: { f: (x, y) => 0.5 * (x - y) * (x - y), domain: [-3, 3] },
  meanSquaredError: { f: (x, y) => (x - y) * (x - y), domain: [-3, 3] },
  binaryCrossEntropyWithLogits: {
    f: (x, y) => softplus(-Math.abs(x)) + (x > 0 ? x * (1 - y) : -(x * y)),
    domain: [-9, 9],
    domainY: [0, 1],
    conventions: [
      [
        [0, 0.25],
        [0.25, 0],
      ],
    ],
  },

  binaryCrossEntropy: {
    f: (x, y) => (y - 1) * logFrom100(-x, Math.log1p) - y * logFrom100(x, Math.log),
    domain: [0.05, 0.95],
    domainY: [0, 1],
    conventions: [
      [
        [0, 1],
        [-1e12, 100],
      ],
      [
        [1, 1],
        [0, -100],
      ],
    ],
  },
  klDivergence: {
    f: (x, y) => (y === 0 ? 0 : y * (Math.log(y) - x)),
    domain: [-5, -0.1],
    domainY: [0.05, 1],
    scale: (x, y) => Math.abs(y) * (1 + Math.abs(Math.log(y)) + Math.abs(x)),
    conventions: [
      [
        [-2, 0],
        [0, -Infinity],
      ],
    ],
  },
  absoluteError: {
    f: (x, y) => Math.abs(x - y),
    domain: [-3, 3],
    kink: difference,
    conventions: [
      [
        [2, 2],
        [0, 0],
      ],
    ],
  },
  huber: {
    f: (x, y, delta) =>
      Math.abs(x - y) > delta ? delta * (Math.abs(x - y) - 0.5 * delta) : 0.5 * (x - y) * (x - y),
    domain: [-3, 3],
    kink: (x, y, delta) => Math.abs(x - y) - delta,
    options: [{ delta: 1.25 }, { delta: 2.5 }], // below 1, x - y overflows before the loss does
    scale: (x, y) => 3 * Math.abs(x - y),
    conventions: [
      [
        [2, 1],
        [1, -1],
      ],
    ],
  },
  hinge: {
    f: (x, y) => (x * y >= 1 ? 0 : 1 - x * y),
    domain: [-3, 3],
    kink: (x, y) => 1 - x * (y || 0.7), // 0.7 where the test takes a number
    scale: (x, y) => 1 + Math.abs(x * y),
    conventions: [
      [
        [0.5, 2],
        [0, 0],
      ],
      [
        [-1, 1],
        [-1, 1],
      ],
    ],
  },
  logistic: {
    f: (x, y, base2) => softplus(-(x * y)) * (base2 ? Math.LOG2E : 1),
    domain: [-3, 3],
    options: [{ base2: true }],
    scale: (x, y) => softplus(-(x * y)) * (1 + Math.abs(x * y)),
    conventions: [
      [
        [1e4, 1],
        [0, 0],
      ],
      [
        [-1e4, 1],
        [-1, 1e4],
      ],
    ],
  },
  exponential: {
    f: (x, y) => Math.exp(-(x * y)),
    domain: [-3, 3],
    scale: (x, y) => Math.exp(-(x * y)) * (1 + Math.abs(x * y)),
  },
  sigmoidLoss: {
    f: (x, y) => sigmoid(-(x * y)),
    domain: [-3, 3],
    scale: (x, y) => sigmoid(-(x * y)) * (1 + Math.abs(x * y)),
    conventions: [
      [
        [0, 1],
        [-0.25, 0],
      ],
      [
        [-1e4, 1],
        [0, 0],
      ],
    ],
  },
  modifiedHuber: {
    f: (x, y, zhang) => {
      const t = x * y;
      if (t >= 1) return 0;
      if (t > -zhang) return (1 - t) * (1 - t);
      return zhang ? -4 * t : 1 - 2 * t;
    },
    domain: [-3, 3],
    // The slope goes on at 0 and 1 (or -1 and 1), but its derivative jumps. 0.7: the test's number.
    kink: (x, y, zhang) => Math.min(Math.abs(x * (y || 0.7) - 1), Math.abs(x * (y || 0.7) + zhang)),
    options: [{ scikitLearn: true }],
    scale: (x, y) => 4 * (1 + Math.abs(x * y)) ** 2,
    conventions: [
      [
        [0, 1],
        [-2, 0],
      ],
      [
        [1, 1],
        [0, 0],
      ],
    ],
  },
  pairwiseHinge: {
    f: (x, y, margin) => (x - y >= margin ? 0 : margin - (x - y)),
    domain: [-3, 3],
    kink: (x, y, margin) => x - y - margin,
    options: [{ margin: 0.3 }, { margin: 0 }],
    scale: (x, y) => 3 + Math.abs(x - y),
    conventions: [
      [
        [2, 1],
        [0, 0],
      ],
      [
        [1, 1],
        [-1, 1],
      ],
    ],
  },

  equal: { f: (x, y) => number(x === y), domain: [-3, 3] },
  notEqual: { f: (x, y) => number(x !== y), domain: [-3, 3] },
  less: { f: (x, y) => number(x < y), domain: [-3, 3] },
  lessEqual: { f: (x, y) => number(x <= y), domain: [-3, 3] },
  greater: { f: (x, y) => number(x > y), domain: [-3, 3] },
  greaterEqual: { f: (x, y) => number(x >= y), domain: [-3, 3] },
};

/** The reference of an elementwise op; a new one must get its line here. */
export function elementwiseReference(name: string): Elementwise {
  const reference = ELEMENTWISE_REFERENCES[name];
  if (!reference)
    throw new Error(
      `the op ${name} has no reference: add a line to ELEMENTWISE_REFERENCES in test/catalogue/references.ts`,
    );
  return reference;
}

/** Numbers in which kernels go wrong. */
export const SPECIAL = {
  float64: [
    0,
    -0,
    5e-324,
    -5e-324,
    2.2250738585072014e-308,
    1e-30,
    -1e-30,
    1,
    -1,
    Infinity,
    -Infinity,
    NaN,
    1.7976931348623157e308,
    -1.7976931348623157e308,
  ],
  float32: [
    0,
    -0,
    2 ** -149,
    -(2 ** -149),
    2 ** -126,
    1e-30,
    -1e-30,
    1,
    -1,
    Infinity,
    -Infinity,
    NaN,
    (2 - 2 ** -23) * 2 ** 127,
    -(2 - 2 ** -23) * 2 ** 127,
  ].map(Math.fround),
  int32: [0, 1, -1, 2, 46341, -46341, 2147483647, -2147483648],
} as const;
