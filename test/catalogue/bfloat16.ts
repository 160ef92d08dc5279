// The tests of bfloat16 that every op of floats gets: the bits of the float32 op on the same values, rounded
// once (references judge float32 itself), near the float64 reference, and gradients near those of float32.
// Products may sum in another order, so they are judged by their error bound.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';
import type { OpSpec } from '#lib/schema.gen.js';
import type { Example } from './arrays.js';
import { settings } from './elementwise.js';
import {
  ELEMENTWISE,
  call,
  make,
  sample,
  scattered,
  toTensor,
  traced,
  valueBits,
  type Options,
} from './harness.js';
import { SPECIAL, elementwiseReference } from './references.js';
import { structuredReference } from './structured.js';

const HALF_ULP = 2 ** -8; // relative, of 8 bits of precision
const PRODUCTS = new Set(['matmul', 'linear']);
const isReal = (t: Tensor): boolean => t.dtype === 'float32' || t.dtype === 'bfloat16';
const to = (t: Tensor, dtype: 'float32' | 'bfloat16'): Tensor => (isReal(t) ? t.to(dtype) : t);

/** Numbers as bfloat16 holds them. */
const rounded = (values: readonly number[]): number[] =>
  tg.tidy(() => [...make(values, [values.length], 'bfloat16').dataSync()]);

/** The op on bfloat16 has the result of the op on the same float32 values, rounded. */
function expectAsFloat32(
  op: OpSpec,
  inputs: readonly (Tensor | number)[],
  options: Options | undefined,
  what: string,
): void {
  const wide = inputs.map((t) => (typeof t === 'number' ? t : to(t, 'float32')));
  const asBfloat16 = options?.['dtype'] === 'float32' ? { ...options, dtype: 'bfloat16' } : options;
  const got = call(op, inputs, asBfloat16);
  const exact = call(op, wide, options);
  const wanted = to(exact, 'bfloat16');
  expect(got.shape, what).to.deep.equal(wanted.shape);
  expect(got.dtype, what).to.equal(wanted.dtype);
  if (!PRODUCTS.has(op.name)) {
    if (!valueBits(got).equals(valueBits(wanted)))
      expect.fail(
        `${what}: ${got.toString()} differs from float32's, rounded: ${wanted.toString()}`,
      );
    return;
  }
  // |A||B| for the bound; the terms of these examples are few.
  const magnitude = call(
    op,
    wide.map((t) => (t as Tensor).abs()),
  ).dataSync();
  const wantedData = exact.dataSync();
  got.dataSync().forEach((v, i) => {
    const w = wantedData[i]!;
    if (!(Object.is(v, w) || Math.abs(v - w) <= HALF_ULP * Math.abs(w) + 2 ** -18 * magnitude[i]!))
      expect.fail(`${what}[${i}]: ${v}, float32 gives ${w}`);
  });
}

function elementwiseTests(op: OpSpec, isa: string): void {
  const ref = elementwiseReference(op.name);
  const two = op.inputs.length === 2;
  const domains = [ref.domain, ref.domainY ?? ref.domain];
  const pairOf = (n: number, shape: readonly number[] = [n]): Tensor[] =>
    op.inputs.map((_, i) => make(sample(80 + i, n, domains[i]!, 'float32'), shape, 'bfloat16'));

  it('bfloat16: the float32 result rounded once, at every size, position and order in memory', () => {
    for (const { options } of settings(op, ref))
      tg.tidy(() => {
        const inputs = pairOf(40_000);
        const { result, kernels } = traced(() => call(op, inputs, options));
        expect(result.dtype).to.equal(op.kind === 'compare' ? 'bool' : 'bfloat16');
        expect(kernels).to.deep.equal([
          { isa, kernel: op.name, dtype: 'bfloat16', variant: 'in order' },
        ]);
        expectAsFloat32(op, inputs, options, `${op.name} of 40,000`);
      });
    for (const [start, n] of [
      [0, 0],
      [0, 1],
      [1, 7],
      [3, 33],
      [5, 1025],
    ] as const)
      tg.tidy(() => {
        const parts = pairOf(1100).map((t) => tg.slice(t, { axis: 0, start, end: start + n }));
        expectAsFloat32(op, parts, undefined, `${op.name} of elements ${start} … ${start + n - 1}`);
      });
    for (const way of [0, 1, 2])
      tg.tidy(() => {
        const moved = pairOf(105, [5, 7, 3]).map((t) => scattered(t, way));
        expectAsFloat32(op, moved, undefined, `${op.name}, way ${way}`);
      });
    if (!two) return;
    tg.tidy(() => {
      const [x, y] = pairOf(12, [4, 3]) as [Tensor, Tensor];
      const row = tg.slice(y, { axis: 0, start: 0, end: 1 });
      expectAsFloat32(op, [x, row], undefined, `${op.name}, a row broadcast`);
      // A number keeps its digits: it is not rounded to bfloat16.
      expectAsFloat32(op, [x, 0.7], undefined, `${op.name}(x, 0.7)`);
      if (op.kind !== 'loss') expectAsFloat32(op, [0.7, y], undefined, `${op.name}(0.7, y)`);
    });
  });

  it('bfloat16: near the reference', () => {
    tg.tidy(() => {
      const inputs = pairOf(500);
      const [x, y] = inputs.map((t) => [...t.dataSync()]);
      const [p0, p1] = settings(op, ref)[0]!.p;
      call(op, inputs)
        .dataSync()
        .forEach((v, i) => {
          const [a, b] = [x![i]!, y?.[i] ?? 0];
          const wanted = ref.f(a, b, p0!, p1!);
          const scale = ref.scale?.(a, b) ?? Math.abs(wanted);
          if (!(v === wanted || Math.abs(v - wanted) <= HALF_ULP * Math.abs(wanted) + 1e-6 * scale))
            expect.fail(`${op.name}(${a}, ${b}) is ${v}, expected ${wanted}`);
        });
    });
  });

  it('bfloat16: special values', () => {
    const list = rounded(SPECIAL.float32);
    const pairs = two
      ? list.flatMap((a) => list.map((b): [number, number] => [a, b]))
      : list.map((a): [number, number] => [a, 0]);
    for (const { options } of settings(op, ref))
      tg.tidy(() => {
        const columns = op.inputs.map((_, i) => pairs.map((p) => p[i]!));
        const inputs = columns.map((c) => make(c, [c.length], 'bfloat16'));
        expectAsFloat32(op, inputs, options, `${op.name} of special values`);
      });
  });
}

const named = ({ inputs, options }: Example): string =>
  `${JSON.stringify(options ?? {})} of ${inputs.map((a) => JSON.stringify(a.shape)).join(', ')}`;

function structuredTests(op: OpSpec): void {
  const { examples } = structuredReference(op.name);
  it('bfloat16: the float32 result rounded once, from memory in and out of order', () => {
    for (const example of examples)
      tg.tidy(() => {
        const inputs = example.inputs.map((a) => to(toTensor(a, 'float32'), 'bfloat16'));
        const what = `${op.name} ${named(example)}`;
        if (op.name === 'uniform' && example.options) return; // see bfloat16.test.ts
        expectAsFloat32(op, inputs, example.options, what);
        for (const way of [0, 1, 2])
          expectAsFloat32(
            op,
            inputs.map((t) => scattered(t, way)),
            example.options,
            `${what}, way ${way}`,
          );
      });
  });
}

/** Gradients on bfloat16 beside those of float32 at the same point. */
function expectGradients(
  f: (inputs: readonly Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  what: string,
): void {
  for (const createGraph of [false, true])
    tg.tidy(() => {
      const gradientsIn = (dtype: 'float32' | 'bfloat16'): (Tensor | null)[] => {
        const x = inputs.map((t) => to(t, dtype).detach());
        const leaves = x.filter(isReal);
        for (const t of leaves) t.requiresGrad = true;
        const y = f(x);
        const gradient = make(sample(90, y.size, [-1, 1], 'float32'), y.shape, 'bfloat16');
        return tg.gradients(y, leaves, { gradient: gradient.to(dtype), createGraph });
      };
      const wanted = gradientsIn('float32');
      gradientsIn('bfloat16').forEach((g, i) => {
        const w = wanted[i];
        if (!g || !w) {
          expect(g ?? null, what).to.equal(w ?? null);
          return;
        }
        expect(g.dtype, what).to.equal('bfloat16');
        expect(g.shape, what).to.deep.equal(w.shape);
        const reference = w.dataSync();
        const largest = Math.max(0, ...[...reference].map(Math.abs));
        g.dataSync().forEach((v, j) => {
          // A few roundings, of the result that a rule reads among them.
          if (!(Math.abs(v - reference[j]!) <= 2 ** -5 * Math.max(largest, 2 ** -6)))
            expect.fail(
              `${what}, gradient ${i}[${j}]${createGraph ? ' (createGraph)' : ''}: ${v}, in float32 ${reference[j]!}`,
            );
        });
      });
    });
}

function gradientTests(op: OpSpec): void {
  it('bfloat16: gradients in bfloat16, near those of float32', () => {
    if (ELEMENTWISE.has(op.kind)) {
      const ref = elementwiseReference(op.name);
      const domains = [ref.domain, ref.domainY ?? ref.domain];
      tg.tidy(() => {
        const inputs = op.inputs.map((_, i) =>
          make(sample(95 + i, 24, domains[i]!, 'float32'), [24], 'bfloat16'),
        );
        expectGradients((x) => call(op, x), inputs, op.name);
        if (inputs.length === 2)
          expectGradients((x) => call(op, [x[0]!, 0.7]), [inputs[0]!], `${op.name}(x, 0.7)`);
      });
      return;
    }
    for (const example of structuredReference(op.name).examples) {
      const size = example.inputs.reduce((n, a) => n + a.data.length, 0);
      if (size > 400 || structuredReference(op.name).check) continue;
      tg.tidy(() => {
        const inputs = example.inputs.map((a) => to(toTensor(a, 'float32'), 'bfloat16'));
        if (call(op, inputs, example.options).dataSync().some(Number.isNaN)) return;
        const f = (x: readonly Tensor[]): Tensor => call(op, x, example.options);
        expectGradients(f, inputs, `${op.name} ${named(example)}`);
      });
    }
  });
}

export function bfloat16Tests(op: OpSpec, isa: string, kernelsOnly: boolean): void {
  const elementwise = ELEMENTWISE.has(op.kind);
  if (elementwise) elementwiseTests(op, isa);
  else structuredTests(op);
  const differentiable = elementwise
    ? op.kind !== 'compare'
    : !structuredReference(op.name).noGradient && op.name !== 'cast' && op.inputs.length > 0;
  if (differentiable && !kernelsOnly) gradientTests(op);
}
