// Every op of the schema on the CUDA device against the CPU: results and gradients, from memory in and out of order,
// and that the kernel ran there. The CPU's own results are compared with references in catalogue.test.ts.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';
import { encode, generate } from '#lib/apply.js';
import { native } from '#lib/native.js';
import type { OpSpec } from '#lib/schema.gen.js';
import { settings } from './catalogue/elementwise.js';
import {
  ELEMENTWISE,
  REALS,
  SPECS,
  call,
  count,
  expectClose,
  make,
  sample,
  scattered,
  toTensor,
  type NDArray,
  type Options,
  type Real,
} from './catalogue/harness.js';
import { elementwiseReference } from './catalogue/references.js';
import { structuredReference } from './catalogue/structured.js';
import { needsDevice } from './cuda/device.js';

/** How far the two may be apart: sums are taken in another order, and functions have another last digit. */
const TOLERANCE = { float64: 1e-9, float32: 5e-5 } as const;

interface Case {
  readonly inputs: readonly (NDArray | number)[];
  readonly options?: Options | undefined;
}

/** Samples of the domain in shapes that broadcast or not, and with a number. */
function elementwiseCases(op: OpSpec): Case[] {
  const ref = elementwiseReference(op.name);
  const two = op.inputs.length === 2;
  const shapes = two
    ? [
        [[37], [37]],
        [[3, 5], [5]],
        [[4, 1], [3]],
        [[], [4]],
        [[0], [1]],
      ]
    : [[[300]], [[]], [[0, 3]]];
  const at = (shape: number[], i: number): NDArray => ({
    shape,
    data: sample(3 + i, count(shape), i ? (ref.domainY ?? ref.domain) : ref.domain, 'float32'),
  });
  return settings(op, ref).flatMap(({ options }) => [
    ...shapes.map((s) => ({ inputs: s.map(at), options })),
    ...(two ? [{ inputs: [at([6], 0), 0.7], options }] : []),
  ]);
}
const casesOf = (op: OpSpec): readonly Case[] =>
  ELEMENTWISE.has(op.kind) ? elementwiseCases(op) : structuredReference(op.name).examples;

const hasGradient = (op: OpSpec): boolean =>
  ELEMENTWISE.has(op.kind) || !structuredReference(op.name).noGradient;
const plain = (t: Tensor): NDArray => ({ shape: t.shape, dtype: t.dtype, data: [...t.dataSync()] });

/** The op's result, and the gradients of the inputs that have one. */
function run(
  op: OpSpec,
  c: Case,
  dtype: Real,
  layout: number | null,
  device: 'cpu' | 'cuda',
): { result: Tensor; grads: (Tensor | null)[] } {
  if (c.inputs.length === 0)
    return { result: generate(op, encode(op, { dtype, ...c.options }), device), grads: [] };
  const inputs = c.inputs.map((a) => {
    if (typeof a === 'number') return a;
    const t = toTensor(a, dtype).to(device);
    const laid = layout === null || t.size === 0 ? t : scattered(t, layout);
    if (laid.dtype === dtype && hasGradient(op)) laid.requiresGrad = true;
    return laid;
  });
  const result = call(op, inputs, c.options);
  const wanted = inputs.filter((t): t is Tensor => typeof t !== 'number' && t.requiresGrad);
  if (!result.requiresGrad) return { result, grads: [] };
  const gradient = make(sample(9, result.size, [-1, 1], 'float32'), result.shape, result.dtype).to(
    device,
  );
  return { result, grads: tg.gradients(result, wanted, { gradient }) };
}

describe('catalogue on CUDA', function () {
  this.timeout(600_000);
  before(function () {
    needsDevice(this);
  });

  for (const op of SPECS)
    for (const dtype of REALS)
      it(`${op.name} ${dtype}`, () => {
        for (const c of casesOf(op))
          for (const layout of [null, 0, 1])
            tg.tidy(() => {
              const what = `${op.name} ${JSON.stringify(c.options ?? {})}, layout ${String(layout)}`;
              const [wanted, got] = (['cpu', 'cuda'] as const).map((device) =>
                run(op, c, dtype, layout, device),
              );
              const tolerance = TOLERANCE[dtype];
              const scale = (t: Tensor): number =>
                Math.max(0, ...Array.from(t.dataSync(), Math.abs).filter(Number.isFinite));
              expect(got!.result.device, what).to.equal('cuda');
              expectClose(
                got!.result,
                plain(wanted!.result),
                tolerance,
                tolerance * scale(wanted!.result),
                what,
              );
              wanted!.grads.forEach((g, i) => {
                const own = got!.grads[i];
                expect(own === null, `${what}: no gradient ${i}`).to.equal(g === null);
                if (!g || !own) return;
                expect(own.device, what).to.equal('cuda');
                expectClose(
                  own,
                  plain(g),
                  tolerance,
                  tolerance * scale(g),
                  `${what}: gradient ${i}`,
                );
              });
            });
        expect(native.trace(1).isa).to.equal('cuda');
      });
});
