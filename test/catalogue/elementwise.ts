// The tests that every elementwise op gets from its schema line: values, bits at every position, special
// values, shapes, memory order, integers, and which kernel ran. Its derivative: differentiable.ts.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';
import type { OpSpec } from '#lib/schema.gen.js';
import {
  REALS,
  bits,
  broadcastIndex,
  broadcastShape,
  call,
  count,
  expectClose,
  flushed,
  make,
  mismatch,
  sample,
  scattered,
  traced,
  valueBits,
  type Options,
  type Real,
} from './harness.js';
import { SPECIAL, elementwiseReference, type Elementwise } from './references.js';

/** Rounding in units of the dtype's epsilon, relative to the reference's scale. */
const ULPS = { float64: 16, float32: 6 } as const;
const BIG = 40_000; // beyond two tasks of 16,384: it really runs on several threads
const LONGEST = 16 * 3 + 5; // AVX-512 has 16 lanes of float32

export const settings = (
  op: OpSpec,
  ref: Elementwise,
): { options: Options | undefined; p: number[] }[] =>
  [undefined, ...(ref.options ?? [])].map((options) => ({
    options,
    p: op.attrs.map((a) =>
      Number(options?.[a.name] ?? (a.kind === 'flag' ? a.default === 'true' : a.default)),
    ),
  }));

const arity = (op: OpSpec): number => op.inputs.length;
const resultOf = (op: OpSpec, dtype: string): string => (op.kind === 'compare' ? 'bool' : dtype);

function expectElements(
  op: OpSpec,
  ref: Elementwise,
  got: Tensor,
  x: readonly number[],
  y: readonly number[],
  p: readonly number[],
  dtype: Real,
): void {
  const d = got.dataSync();
  expect(d.length, `${op.name}: number of elements`).to.equal(x.length);
  expect(got.dtype, `${op.name}: dtype`).to.equal(resultOf(op, dtype));
  for (let i = 0; i < x.length; ++i) {
    // Attributes are rounded to the dtype before the kernel uses them.
    const [p0, p1] =
      dtype === 'float32' ? [Math.fround(p[0]!), Math.fround(p[1]!)] : [p[0]!, p[1]!];
    const a = flushed(x[i]!, dtype);
    const b = flushed(y[i]!, dtype);
    const wanted = ref.f(a, b, p0, p1);
    const why = mismatch(d[i]!, wanted, dtype, ULPS[dtype], ref.scale?.(a, b) ?? Math.abs(wanted));
    if (why && !(ref.anyZero && d[i] === 0 && wanted === 0))
      expect.fail(
        `${op.name} ${dtype} at index ${i} of ${x.length}, x = ${Object.is(x[i], -0) ? '-0' : x[i]}, y = ${y[i]}: ${why}`,
      );
  }
}

export function elementwiseTests(op: OpSpec, isa: string): void {
  const ref = elementwiseReference(op.name);
  const two = arity(op) === 2;
  const domains = [ref.domain, ref.domainY ?? ref.domain] as const;
  const inputsOf = (n: number, dtype: Real, seed = 1): number[][] =>
    [0, 1].map((i) => sample(seed + i, n, domains[i]!, dtype));
  const tensors = (
    x: readonly number[],
    y: readonly number[],
    shape: readonly number[],
    dtype: Real,
  ): Tensor[] => (two ? [make(x, shape, dtype), make(y, shape, dtype)] : [make(x, shape, dtype)]);

  for (const dtype of REALS) {
    it(`${dtype}: values, on the kernel meant`, () => {
      for (const { options, p } of settings(op, ref)) {
        const [x, y] = inputsOf(BIG, dtype) as [number[], number[]];
        tg.tidy(() => {
          const inputs = tensors(x, y, [BIG], dtype);
          const { result, kernels } = traced(() => call(op, inputs, options));
          expectElements(op, ref, result, x, y, p, dtype);
          expect(kernels).to.deep.equal([{ isa, kernel: op.name, dtype, variant: 'in order' }]);
        });
      }
    });

    it(`${dtype}: the same bits at every size, offset and position`, () => {
      const [x, y] = inputsOf(BIG, dtype) as [number[], number[]];
      tg.tidy(() => {
        const inputs = tensors(x, y, [BIG], dtype);
        const whole = bits(call(op, inputs));
        const width = whole.length / BIG;
        const compare = (start: number, n: number): void => {
          tg.tidy(() => {
            const part = bits(
              call(
                op,
                inputs.map((t) => tg.slice(t, { axis: 0, start, end: start + n })),
              ),
            );
            if (Buffer.compare(part, whole.subarray(start * width, (start + n) * width)) !== 0)
              expect.fail(
                `${op.name} ${dtype}: elements ${start} … ${start + n - 1} have other bits alone than among ${BIG}`,
              );
          });
        };
        for (let n = 0; n <= LONGEST; ++n) compare(0, n);
        for (let start = 1; start <= 17; ++start)
          for (const n of [1, 3, 4, 7, 16, 21]) compare(start, n);
        compare(5, 1025);
        compare(16_383, 3);
        compare(0, 32_769);
      });
    });

    it(`${dtype}: special values in every lane and tail, the neighbours untouched`, () => {
      const list: readonly number[] = SPECIAL[dtype];
      const pairs = two
        ? list.flatMap((a) => list.map((b): [number, number] => [a, b]))
        : list.map((a): [number, number] => [a, 0]);
      for (const { options, p } of settings(op, ref)) {
        // All specials side by side, turned by one place a time.
        for (let turn = 0; turn < 17; ++turn) {
          const turned = [...pairs.slice(turn), ...pairs.slice(0, turn)];
          const [x, y] = [turned.map((v) => v[0]), turned.map((v) => v[1])];
          tg.tidy(() => {
            expectElements(
              op,
              ref,
              call(op, tensors(x, y, [x.length], dtype), options),
              x,
              y,
              p,
              dtype,
            );
          });
        }
      }
      // One special among ordinary numbers: it gets what it gets alone, the others what they get without it.
      const alone = new Map<string, Buffer>();
      const bitsAlone = (a: number, b: number): Buffer => {
        const key = `${Object.is(a, -0) ? '-0' : a} ${Object.is(b, -0) ? '-0' : b}`;
        let found = alone.get(key);
        if (!found)
          alone.set(
            key,
            (found = tg.tidy(() => valueBits(call(op, tensors([a], [b], [1], dtype))))),
          );
        return found;
      };
      for (const n of [1, 5, 15, 19, 35]) {
        const [x, y] = inputsOf(n, dtype, 11) as [number[], number[]];
        const ordinary = tg.tidy(() => valueBits(call(op, tensors(x, y, [n], dtype))));
        const width = ordinary.length / n;
        list.forEach((special, k) => {
          for (let at = 0; at < n; ++at)
            for (const side of two ? [0, 1] : [0]) {
              if (two && (at + k + side) % 2) continue; // half of the binary cases: every lane and every special all the same
              const [sx, sy] = [x, y].map((v, i) =>
                i === side ? v.map((e, j) => (j === at ? special : e)) : v,
              ) as [number[], number[]];
              const got = tg.tidy(() => valueBits(call(op, tensors(sx, sy, [n], dtype))));
              const wanted = Buffer.from(ordinary);
              bitsAlone(sx[at]!, sy[at]!).copy(wanted, at * width);
              if (Buffer.compare(got, wanted) !== 0)
                expect.fail(
                  `${op.name} ${dtype}: ${special} as input ${side} at ${at} of ${n} gives other bits than alone, or changes its neighbours`,
                );
            }
        });
      }
    });

    it(`${dtype}: shapes, zero sizes${two ? ', broadcasting, numbers' : ''}`, () => {
      const shapes = two
        ? [
            [[], []],
            [[3], []],
            [[], [2, 3]],
            [[1], [4]],
            [[0], [1]],
            [[0, 3], [3]],
            [
              [2, 0],
              [2, 1],
            ],
            [[4, 3], [3]],
            [
              [4, 1],
              [1, 3],
            ],
            [
              [2, 3, 4],
              [3, 1],
            ],
            [
              [5, 1, 2],
              [1, 6, 1],
            ],
            [
              [1, 1],
              [2, 3],
            ],
            [[1024, 2], [2]],
            [
              [3, 1, 700],
              [20, 1],
            ],
            [
              [2, 1, 3, 1, 2, 1, 2, 1],
              [1, 3, 1, 2, 1, 2, 1, 2],
            ],
          ]
        : [[[]], [[1]], [[0]], [[3, 0, 2]], [[2, 3, 4]], [[1, 2, 1, 2, 1, 2, 1, 2]]];
      for (const pair of shapes) {
        const a = pair[0]!;
        const b = pair[1] ?? a;
        const out = broadcastShape(a, b);
        const [x, y] = [
          sample(21, count(a), domains[0], dtype),
          sample(22, count(b), domains[1], dtype),
        ];
        const [ix, iy] = [broadcastIndex(a, out), broadcastIndex(b, out)];
        tg.tidy(() => {
          const result = call(
            op,
            two ? [make(x, a, dtype), make(y, b, dtype)] : [make(x, a, dtype)],
          );
          expect(
            result.shape,
            `${op.name} ${JSON.stringify(a)} ${JSON.stringify(b)}`,
          ).to.deep.equal(out);
          expectElements(
            op,
            ref,
            result,
            ix.map((i) => x[i]!),
            iy.map((i) => y[i]!),
            settings(op, ref)[0]!.p,
            dtype,
          );
        });
      }
      if (!two) return;
      const x = sample(23, 7, domains[0], dtype);
      const y = 0.7;
      const fill = (v: number): number[] => x.map(() => (dtype === 'float32' ? Math.fround(v) : v));
      tg.tidy(() => {
        const { p } = settings(op, ref)[0]!;
        expectElements(op, ref, call(op, [make(x, [7], dtype), y]), x, fill(y), p, dtype);
        if (op.kind !== 'loss') {
          const inY = sample(24, 7, domains[1], dtype);
          expectElements(op, ref, call(op, [0.7, make(inY, [7], dtype)]), fill(0.7), inY, p, dtype);
        }
      });
    });

    it(`${dtype}: inputs that do not lie in order`, () => {
      const [x, y] = inputsOf(5 * 7 * 3, dtype, 31) as [number[], number[]];
      tg.tidy(() => {
        const inputs = tensors(x, y, [5, 7, 3], dtype);
        const wanted = bits(call(op, inputs));
        for (const way of [0, 1, 2]) {
          const { result, kernels } = ((moved) => traced(() => call(op, moved)))(
            inputs.map((t) => scattered(t, way)),
          );
          expect(Buffer.compare(bits(result), wanted), `${op.name} ${dtype}, way ${way}`).to.equal(
            0,
          );
          expect(kernels).to.deep.equal([{ isa, kernel: op.name, dtype, variant: 'gathered' }]);
        }
      });
    });
  }

  it('int32 and bool inputs', () => {
    const list: readonly number[] = SPECIAL.int32;
    const pairs = list.flatMap((a) => list.map((b): [number, number] => [a, b]));
    const [x, y] = [pairs.map((v) => v[0]), pairs.map((v) => v[1])];
    const whole = op.types === 'number' || op.kind === 'compare';
    tg.tidy(() => {
      if (whole) {
        const inputs = [make(x, [x.length], 'int32'), make(y, [y.length], 'int32')].slice(
          0,
          arity(op),
        );
        const exact = op.kind === 'compare' ? (a: number, b: number) => ref.f(a, b, 0, 0) : ref.int;
        if (!exact)
          throw new Error(
            `${op.name} takes int32: give its reference an \`int\` in test/catalogue/references.ts`,
          );
        const { result, kernels } = traced(() => call(op, inputs));
        expectClose(
          result,
          {
            shape: [x.length],
            data: x.map((a, i) => exact(a, y[i]!) + 0),
            dtype: op.kind === 'compare' ? 'bool' : 'int32',
          },
          0,
          0,
          op.name,
        );
        expect(kernels).to.deep.equal([
          { isa, kernel: op.name, dtype: 'int32', variant: 'in order' },
        ]);
        for (const n of [0, 1, 3, 7, 15, 17, 33])
          expect(
            bits(
              call(
                op,
                inputs.map((t) => tg.slice(t, { axis: 0, start: 0, end: n })),
              ),
            ).equals(bits(result).subarray(0, (n * bits(result).length) / x.length)),
            `${op.name} int32, ${n} elements`,
          ).to.equal(true);
      } else {
        const small = make([1, 2, 3], [3], 'int32');
        const floats = make([1, 2, 3], [3], 'float32');
        const result = call(op, two ? [small, small] : [small]);
        expect(result.dtype).to.equal('float32');
        expect(bits(result).equals(bits(call(op, two ? [floats, floats] : [floats])))).to.equal(
          true,
        );
      }
      const flags = make([1, 0, 1], [3], 'bool');
      const asInts = make([1, 0, 1], [3], 'int32');
      expect(
        bits(call(op, two ? [flags, flags] : [flags])).equals(
          bits(call(op, two ? [asInts, asInts] : [asInts])),
        ),
      ).to.equal(true);
    });
  });
}
