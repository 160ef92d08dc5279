// The misuse that every op must answer with an error for people: the op's name, the argument, the shapes.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { Tensor } from 'tapegrad';
import type { AttrSpec, OpSpec } from '#lib/schema.gen.js';
import { ELEMENTWISE, call, make, toTensor, type Options } from './harness.js';
import { STRUCTURED_REFERENCES, structuredReference } from './structured.js';

/** Runs fn, which must throw an error of one of the kinds whose message says all the words. */
function expectError(
  fn: () => unknown,
  kinds: readonly string[],
  says: readonly string[],
  what: string,
): void {
  let error: unknown;
  try {
    fn();
  } catch (e) {
    error = e;
  }
  if (!(error instanceof Error))
    expect.fail(`${what}: ${error === undefined ? 'nothing was thrown' : 'no Error was thrown'}`);
  expect(kinds, `${what}: ${error.stack}`).to.include(error.name);
  for (const word of says) expect(error.message, what).to.include(word);
}

/** A call that works, to be spoiled in one place a time. */
export function validCall(op: OpSpec): { inputs: Tensor[]; options: Options | undefined } {
  if (ELEMENTWISE.has(op.kind))
    return {
      inputs: op.inputs.map(() => make([0.5, 0.25, 1], [3], 'float32')),
      options: undefined,
    };
  if (op.name === 'cast')
    return { inputs: [make([1, 2], [2], 'float32')], options: { dtype: 'float64' } };
  const { inputs, options } = structuredReference(op.name).examples[0]!;
  return { inputs: inputs.map((a) => toTensor(a, 'float32')), options };
}

const foreign = (t: Tensor): [string, unknown][] => [
  ['undefined', undefined],
  ['null', null],
  ['a string', 'x'],
  ['a bigint', 1n],
  ['a symbol', Symbol('x')],
  ['an array', [1, 2, 3]],
  ['a typed array', new Float32Array(3)],
  ['an object', {}],
  ['a look-alike', { shape: [3], dtype: 'float32', dataSync: () => new Float32Array(3) }],
  ['a Proxy', new Proxy(t, {})],
  ['a forged Tensor', Object.create(Tensor.prototype)],
  ['a function', () => t],
];

const HOSTILE: Readonly<Record<AttrSpec['kind'], readonly unknown[]>> = {
  number: ['1', null, NaN, {}, 1n],
  positive: ['1', null, NaN, 0, -1, Infinity, {}, 1n],
  flag: [1, 'true', null],
  axis: [NaN, 0.5, 99, -99, Infinity, '0', null],
  axes: [NaN, 0.5, 99, -99, Infinity, '0', [NaN], ['0'], [0, 99], new Array(40).fill(0), {}],
  shape: [
    NaN,
    'x',
    [NaN],
    [-2],
    [0.5],
    ['1'],
    [2 ** 60],
    [2 ** 31, 2 ** 31, 2 ** 31],
    new Array(9).fill(1),
    new Array(40).fill(1),
    null,
    {},
  ],
  pairs: [1, 'x', [[NaN, 0]], [[0.5, 0]], [['1', 0]], [1], [[1, 2, 3]], null, {}],
  pair: [NaN, 0.5, -1, '1', [1], [1, 2, 3], [NaN, 1], [1, '1'], {}],
  dtype: ['float16', '', null, {}, NaN, 'constructor'],
};

export function errorTests(op: OpSpec): void {
  it('refuses what is no live tensor, in every place', () => {
    tg.tidy(() => {
      const { inputs, options } = validCall(op);
      inputs.forEach((t, i) => {
        for (const [what, value] of foreign(t)) {
          const spoiled = inputs.map((u, k) => (k === i ? (value as Tensor) : u));
          expectError(
            () => call(op, spoiled, options),
            ['TypeError'],
            [op.name],
            `${op.name} with ${what} as input ${i}`,
          );
        }
        const dead = make([1, 2, 3], [3], 'float32');
        dead.dispose();
        expectError(
          () =>
            call(
              op,
              inputs.map((u, k) => (k === i ? dead : u)),
              options,
            ),
          ['TapegradError'],
          [op.name, 'disposed'],
          `${op.name} with a disposed input ${i}`,
        );
      });
    });
  });

  if (op.attrs.length > 0)
    it('refuses unknown, missing and hostile options', () => {
      tg.tidy(() => {
        const { inputs, options } = validCall(op);
        expectError(
          () => call(op, inputs, { ...options, colour: 1 }),
          ['TypeError'],
          [op.name, 'colour'],
          `${op.name} with an unknown option`,
        );
        for (const attr of op.attrs) {
          const { [attr.name]: _, ...others } = options ?? {};
          if (attr.default === undefined)
            expectError(
              () => call(op, inputs, others),
              ['TypeError'],
              [op.name, attr.name],
              `${op.name} without ${attr.name}`,
            );
          for (const value of HOSTILE[attr.kind])
            // Infinity is the end of an axis and a bound of clamp; null stands for all axes.
            expectError(
              () => call(op, inputs, { ...options, [attr.name]: value }),
              ['TypeError', 'RangeError'],
              [op.name, attr.name],
              `${op.name} with ${attr.name} = ${String(JSON.stringify(value, (_k, v: unknown) => (typeof v === 'bigint' || Number.isNaN(v) ? String(v) : v)))}`,
            );
        }
      });
    });

  if (op.name in tg.losses)
    it('refuses unknown options and reductions', () => {
      tg.tidy(() => {
        const { inputs } = validCall(op);
        expectError(
          () => call(op, inputs, { colour: 1 }),
          ['TypeError'],
          [op.name, 'colour'],
          `${op.name} with an unknown option`,
        );
        for (const reduction of ['average', 1, null, {}, ['mean']])
          expectError(
            () => call(op, inputs, { reduction }),
            ['TypeError'],
            [op.name, 'reduction'],
            `${op.name} with the reduction ${JSON.stringify(reduction)}`,
          );
      });
    });

  if (ELEMENTWISE.has(op.kind) && op.inputs.length === 2)
    it('refuses shapes that do not broadcast, naming both', () => {
      tg.tidy(() => {
        for (const [a, b] of [
          [[2, 3], [4]],
          [[2, 3], [2]],
          [[0], [2]],
          [
            [3, 1, 2],
            [2, 2, 2],
          ],
        ] as const)
          expectError(
            () => call(op, [tg.ones([...a]), tg.ones([...b])]),
            ['RangeError'],
            [op.name, `[${a.join(', ')}]`, `[${b.join(', ')}]`],
            op.name,
          );
        const long = tg.broadcastTo(tg.ones([1, 1]), { shape: [2 ** 40, 1] });
        expectError(
          () => call(op, [long, long.T]),
          ['RangeError'],
          [op.name, 'too many elements'],
          `${op.name} with a huge result`,
        );
      });
    });

  for (const wrong of STRUCTURED_REFERENCES[op.name]?.wrong ?? [])
    it(`refuses ${JSON.stringify(wrong.options ?? {})} of ${wrong.inputs.map((a) => `${a.dtype ?? 'float'}[${a.shape.join(', ')}]`).join(', ')}`, () => {
      tg.tidy(() => {
        expectError(
          () =>
            call(
              op,
              wrong.inputs.map((a) => toTensor(a, 'float32')),
              wrong.options,
            ),
          [wrong.error],
          [op.name, ...wrong.says],
          op.name,
        );
      });
    });
}
