// The tests that every op with a shape rule of its own gets: its examples against the reference in both
// float types (and int32), from memory in and out of order, and which kernel ran.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import type { OpSpec } from '#lib/schema.gen.js';
import {
  REALS,
  bits,
  call,
  expectClose,
  sample,
  scattered,
  toTensor,
  traced,
  type NDArray,
} from './harness.js';
import { SPECIAL } from './references.js';
import type { Example } from './arrays.js';
import { structuredReference } from './structured.js';

const named = ({ inputs, options }: Example): string =>
  `${JSON.stringify(options ?? {})} of ${inputs.map((a) => `${a.dtype ?? ''}${JSON.stringify(a.shape)}`).join(', ')}`;
/** Sums of a few dozen terms of size 2. */
const TOLERANCE = { float64: 1e-13, float32: 3e-6 } as const;

export function structuredTests(op: OpSpec, isa: string): void {
  const ref = structuredReference(op.name);

  for (const dtype of REALS)
    for (const example of ref.examples)
      it(`${dtype}: ${named(example)}`, () => {
        tg.tidy(() => {
          const { inputs, options } = example;
          const tensors = inputs.map((a) => toTensor(a, dtype));
          const { result, kernels } = traced(() => call(op, tensors, options));
          const plain = (): NDArray => ({ shape: result.shape, data: [...result.dataSync()] });
          if (ref.check) {
            const again = [...call(op, tensors, options).dataSync()];
            expect(
              ref.check(plain(), { shape: result.shape, data: again }, options ?? {}),
            ).to.equal(null);
          } else {
            const wanted = ref.f!(inputs, options ?? {});
            expectClose(result, { dtype, ...wanted }, TOLERANCE[dtype], TOLERANCE[dtype], op.name);
          }
          const ran = kernels.map((k) => [k.kernel, k.isa]);
          const expected = ref.kernel?.(example) ?? op.name;
          // Elementwise losses and cross-entropy are reduced by nothing here: one kernel, the one meant.
          expect(
            ran.filter(([k]) => (k !== 'view' && k !== 'cast') || k === expected),
            `${op.name}: kernels`,
          ).to.deep.equal(
            expected === 'view' ? kernels.map(() => ['view', '']) : [[expected, isa]],
          );
          for (const way of [0, 1, 2]) {
            const other = call(
              op,
              tensors.map((t) => scattered(t, way)),
              options,
            );
            // Sums may be taken in another order where memory lies otherwise.
            expectClose(
              other,
              { dtype: result.dtype, ...plain() },
              TOLERANCE[dtype],
              TOLERANCE[dtype],
              `${op.name} out of order, way ${way}`,
            );
          }
        });
      });

  if (ref.int32)
    it('int32', () => {
      for (const { inputs, options } of ref.examples)
        tg.tidy(() => {
          const whole = inputs.map((a): NDArray => ({
            ...a,
            data: a.data.map((v) => Math.round(10 * v) + 0),
            dtype: 'int32',
          }));
          const wanted = ref.f!(whole, options ?? {});
          expectClose(
            call(
              op,
              whole.map((a) => toTensor(a, 'float32')),
              options,
            ),
            { dtype: 'int32', ...wanted, data: wanted.data.map(Math.trunc) },
            0,
            0,
            `${op.name} int32`,
          );
        });
    });

  if (ref.f && ref.examples.some(({ inputs }) => inputs.length > 0))
    for (const dtype of REALS)
      it(`${dtype}: NaN and infinities go where they must and nowhere else`, () => {
        for (const example of ref.examples) {
          const { inputs, options } = example;
          if (inputs.reduce((n, a) => n + a.data.length, 0) > 90) continue;
          for (const special of [NaN, Infinity, -Infinity])
            inputs.forEach((a, i) => {
              if (
                a.dtype !== undefined ||
                (!Number.isNaN(special) && ref.infinite?.includes(i) === false)
              )
                return;
              a.data.forEach((_, at) => {
                const spoiled = inputs.map((b, k) =>
                  k === i ? { ...b, data: b.data.map((v, j) => (j === at ? special : v)) } : b,
                );
                tg.tidy(() => {
                  const result = call(
                    op,
                    spoiled.map((b) => toTensor(b, dtype)),
                    options,
                  );
                  expectClose(
                    result,
                    ref.f!(spoiled, options ?? {}),
                    TOLERANCE[dtype],
                    TOLERANCE[dtype],
                    `${op.name} ${named(example)} with ${special} at ${at} of input ${i}`,
                  );
                });
              });
            });
        }
      });

  if (op.kind === 'reduce')
    for (const dtype of REALS) {
      it(`${dtype}: sizes around the lanes, along rows and columns`, () => {
        for (const n of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 53, 257, 1025])
          for (const [shape, axis] of [
            [[n], 0],
            [[3, n], 1],
            [[n, 3], 0],
            [[2, n, 2], 1],
          ] as const) {
            if (op.name === 'variance' && n === 1) continue;
            const x: NDArray = {
              shape,
              data: sample(
                70 + n,
                shape.reduce<number>((a, b) => a * b, 1),
                [-1, 1],
                dtype,
              ),
            };
            tg.tidy(() => {
              expectClose(
                call(op, [toTensor(x, dtype)], { axis }),
                ref.f!([x], { axis }),
                TOLERANCE[dtype],
                n * TOLERANCE[dtype],
                `${op.name} of [${shape.join(', ')}]`,
              );
            });
          }
      });
      it(`${dtype}: NaN and infinities at every place`, () => {
        const n = 37;
        const ordinary = sample(80, n, [-1, 1], dtype);
        for (const special of [NaN, Infinity, -Infinity, SPECIAL[dtype][2]])
          for (let at = 0; at < n; ++at)
            for (const [shape, axis] of [
              [[n], 0],
              [[n, 2], 0],
            ] as const) {
              const lane = ordinary.map((v, i) => (i === at ? special : v));
              const x: NDArray = {
                shape,
                data: shape.length === 1 ? lane : lane.flatMap((v, i) => [v, ordinary[i]!]),
              };
              tg.tidy(() => {
                const wanted = ref.f!([x], { axis });
                expectClose(
                  call(op, [toTensor(x, dtype)], { axis }),
                  wanted,
                  TOLERANCE[dtype],
                  n * TOLERANCE[dtype],
                  `${op.name} with ${special} at ${at}`,
                );
              });
            }
      });
    }

  if (
    op.kind === 'op' &&
    op.inputs.length === 1 &&
    ref.f &&
    ref.examples.length > 0 &&
    ref.kernel === undefined
  )
    it('copies and selects every bit, special values included', () => {
      if (!['clone', 'pad', 'concat'].includes(op.name)) return;
      for (const dtype of REALS)
        tg.tidy(() => {
          const x: NDArray = { shape: [SPECIAL[dtype].length], data: SPECIAL[dtype] };
          const t = toTensor(x, dtype);
          const result = op.name === 'pad' ? call(op, [t], { padding: [[0, 0]] }) : call(op, [t]);
          expect(bits(result).equals(bits(t))).to.equal(true);
        });
    });
}
