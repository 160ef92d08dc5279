// Values that nobody should pass, for the runs of public.ts and native.ts. Fresh ones for every call: some
// are used up. Knows no function of the package that it is passed to.
import * as tg from 'tapegrad';

/** What hostile getters throw: the only foreign error that a call may let through. */
export class OwnError extends Error {
  override readonly name = 'OwnError';
}
const fail = (): never => {
  throw new OwnError('from a hostile object');
};

export interface Kind {
  readonly name: string;
  /** @param victim - a live tensor that takes part in the same call */
  make(victim: tg.Tensor): unknown;
}
const kind = (name: string, make: (victim: tg.Tensor) => unknown): Kind => ({ name, make });

/** Typed arrays over memory that is gone, shared or may shrink. */
function overMemory(what: 'detached' | 'resizable' | 'shared'): Float32Array {
  if (what === 'shared') return new Float32Array(new SharedArrayBuffer(16));
  if (what === 'detached') {
    const view = new Float32Array(4);
    structuredClone(view.buffer, { transfer: [view.buffer] });
    return view;
  }
  const Resizable = ArrayBuffer as unknown as new (
    n: number,
    o: { maxByteLength: number },
  ) => ArrayBuffer;
  return new Float32Array(new Resizable(16, { maxByteLength: 64 }));
}

function circular(): unknown[] {
  const a: unknown[] = [];
  a.push(a);
  return a;
}
const disposed = (): tg.Tensor => {
  const t = tg.ones([2, 3]);
  t.dispose();
  return t;
};

export const VALUES: readonly Kind[] = [
  ...[
    undefined,
    null,
    NaN,
    Infinity,
    -Infinity,
    -1,
    0,
    2 ** 53,
    2 ** 31,
    2 ** 50,
    1.5,
    -0,
    true,
  ].map((v) => kind(Object.is(v, -0) ? '-0' : String(v), () => v)),
  kind("''", () => ''),
  kind("'x'", () => 'x'),
  kind('a long string', () => 'x'.repeat(10_000)),
  kind('symbol', () => Symbol('s')),
  kind('bigint', () => 2n ** 64n),
  kind('function', () => () => 1),
  kind('{}', () => ({})),
  kind('[]', () => []),
  kind('ragged', () => [[1, 2], [3]]),
  kind('circular', circular),
  kind('deep', () => [[[[[[[[[[1]]]]]]]]]]),
  kind('[NaN, -1, 1.5]', () => [NaN, -1, 1.5]),
  kind('huge sizes', () => [2 ** 50, 2 ** 50]),
  kind('huge sizes and 0', () => [2 ** 40, 0, 2 ** 40]),
  kind('hundred pairs', () => Array.from({ length: 100 }, () => [3, 3])),
  kind('numbers and symbols', () => [1, Symbol('s'), 2n]),
  kind('array-like', () => ({ length: 2 ** 50 })),
  kind('sparse array', () => new Array(2 ** 31)),
  kind('array that iterates for ever', () =>
    Object.assign([2, 3], {
      *[Symbol.iterator]() {
        for (;;) yield 1;
      },
    }),
  ),
  kind('array of growing length', () => {
    let n = 0;
    return new Proxy([1], {
      get: (a, key) => (key === 'length' ? (n += 1000) : key === '0' ? 1 : Reflect.get(a, key)),
    });
  }),
  kind('null prototype', () => Object.create(null) as unknown),
  kind('Proxy of a tensor', (t) => new Proxy(t, {})),
  kind('revoked Proxy', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  }),
  kind('look-alike', () => Object.create(tg.Tensor.prototype) as unknown),
  kind('structured copy', () => ({ shape: [2, 3], dtype: 'float32', size: 6 })),
  kind('tensor', () => tg.ones([2, 3])),
  kind('disposed tensor', disposed),
  kind('int32 tensor', () => tg.tensor(Int32Array.of(5, -7, 2147483647))),
  kind('bfloat16 tensor', () => tg.tensor([0.5, -7, 1e38], { dtype: 'bfloat16' })),
  kind('bool tensor', () => tg.tensor([true, false])),
  kind('scalar tensor', () => tg.tensor(1)),
  kind('empty tensor', () => tg.zeros([0, 3])),
  kind('8-d tensor', () => tg.zeros([1, 1, 1, 1, 1, 1, 2, 1])),
  kind('list of tensors', (t) => [t, tg.ones([7]), disposed()]),
  kind('detached memory', () => overMemory('detached')),
  kind('resizable memory', () => overMemory('resizable')),
  kind('shared memory', () => overMemory('shared')),
  kind('BigInt64Array', () => new BigInt64Array(2)),
  kind('DataView', () => new DataView(new ArrayBuffer(8))),
  kind('typed array', () => Float64Array.of(1, NaN, -1)),
  kind('traps', () => ({
    toJSON: fail,
    valueOf: fail,
    toString: fail,
    [Symbol.toPrimitive]: fail,
  })),
  kind('module', () => new tg.nn.ReLU()),
  kind('async function', () => async () => Promise.resolve(1)),
  kind('function that throws', () => fail),
  kind(
    'function of tensors',
    () => (t?: unknown) => (tg.isTensor(t) ? t.mul(t).sum() : tg.tensor(1)),
  ),
];

/** Names that some function of the package knows as an option. */
export const OPTIONS = [
  ...[
    'axis',
    'keepDims',
    'dtype',
    'device',
    'shape',
    'requiresGrad',
    'reduction',
    'low',
    'high',
    'mean',
  ],
  ...[
    'deviation',
    'start',
    'end',
    'step',
    'padding',
    'value',
    'correction',
    'negativeSlope',
    'alpha',
    'beta',
  ],
  ...[
    'min',
    'max',
    'approximate',
    'createGraph',
    'retainGraph',
    'gradient',
    'errorIfNonfinite',
    'bias',
    'strict',
  ],
  ...[
    'learningRate',
    'momentum',
    'dampening',
    'weightDecay',
    'nesterov',
    'betas',
    'eps',
    'amsgrad',
    'metadata',
  ],
  ...['startAxis', 'seed', 'stream', 'axes', 'index', 'threshold', '__proto__', 'constructor'],
] as const;

/** Options objects: one option each, with a hostile value or a getter. */
export const OPTION_KINDS: readonly Kind[] = OPTIONS.flatMap((option) => [
  ...VALUES.filter((_, i) => i % 4 === option.length % 4).map((v) =>
    kind(`{ ${option}: ${v.name} }`, (t) =>
      Object.defineProperty({}, option, { value: v.make(t), enumerable: true }),
    ),
  ),
  kind(`{ get ${option}() throws }`, () =>
    Object.defineProperty({}, option, { get: fail, enumerable: true }),
  ),
  kind(`{ get ${option}() disposes }`, (t) =>
    Object.defineProperty({}, option, {
      get() {
        t.dispose();
        return option === 'axis' ? 0 : undefined;
      },
      enumerable: true,
    }),
  ),
]);

export const KINDS: readonly Kind[] = [...VALUES, ...OPTION_KINDS];
