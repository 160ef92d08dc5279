// Every op of the catalogue and every loss inside a compiled function: results and gradients have the bits of
// eager calls, since the same kernels run. The cases are those of test/catalogue/.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';
import type { OpSpec } from '#lib/schema.gen.js';
import { settings } from './catalogue/elementwise.js';
import {
  ELEMENTWISE,
  REALS,
  SPECS,
  call,
  count,
  sample,
  scattered,
  toTensor,
  valueBits,
  type NDArray,
  type Options,
  type Real,
} from './catalogue/harness.js';
import { elementwiseReference } from './catalogue/references.js';
import { structuredReference } from './catalogue/structured.js';
import { tensorsIn } from '#lib/tree.js';

interface Case {
  readonly inputs: readonly NDArray[];
  readonly options?: Options | undefined;
  /** Whether a gradient flows to the inputs. */
  readonly differentiable: boolean;
}

function casesOf(op: OpSpec): Case[] {
  if (!ELEMENTWISE.has(op.kind)) {
    const { examples, noGradient } = structuredReference(op.name);
    return examples.map(({ inputs, options }) => ({
      inputs,
      options,
      differentiable: !noGradient,
    }));
  }
  const ref = elementwiseReference(op.name);
  const pairs = [
    [[53], [53]],
    [[3, 5], [5]],
    [[4, 1], [3]],
    [[], [6]],
    [[0], [1]],
  ];
  return settings(op, ref).flatMap(({ options }) =>
    pairs.map((shapes) => ({
      inputs: shapes.slice(0, op.inputs.length).map((shape, i) => ({
        shape,
        data: sample(
          300 + i,
          count(shape),
          i ? (ref.domainY ?? ref.domain) : ref.domain,
          'float32',
        ),
      })),
      options,
      differentiable: op.kind !== 'compare',
    })),
  );
}

/** The result, and where there are any the gradients of a weighted sum of it. */
function withGradients(op: OpSpec, { options, differentiable }: Case) {
  return (...inputs: Tensor[]): Tensor[] => {
    const out = call(op, inputs, options);
    const leaves = inputs.filter((t) => t.requiresGrad);
    if (!differentiable || leaves.length === 0 || !out.requiresGrad) return [out];
    const weight = tg.linspace(-1, 2, out.size, { dtype: out.dtype as Real }).reshape(out.shape);
    const grads = tg.gradients(out.mul(weight).sum(), leaves, { retainGraph: true });
    return [out, ...grads.filter((g): g is Tensor => g !== null)];
  };
}

function expectSameBits(op: OpSpec, c: Case, dtype: Real, way: number | null): void {
  const what = `${op.name} ${dtype} ${JSON.stringify(c.options ?? {})} of ${JSON.stringify(c.inputs.map((a) => a.shape))}`;
  tg.tidy(() => {
    const leaves = (): Tensor[] =>
      c.inputs.map((a) => {
        const plain = toTensor(a, dtype);
        const t = way === null || plain.size === 0 ? plain : scattered(plain, way).detach();
        if (c.differentiable && t.dtype === dtype) t.requiresGrad = true;
        return t;
      });
    const fn = withGradients(op, c);
    tg.manualSeed(7);
    const wanted = fn(...leaves());
    tg.manualSeed(7);
    using step = tg.compile(fn);
    const got = tensorsIn(step.runSync(...leaves()));
    expect(got.length, `${what}: results`).to.equal(wanted.length);
    wanted.forEach((t, i) => {
      expect(got[i]!.shape, `${what}: shape ${i}`).to.deep.equal(t.shape);
      expect(got[i]!.dtype, `${what}: dtype ${i}`).to.equal(t.dtype);
      if (!valueBits(got[i]!).equals(valueBits(t)))
        expect.fail(
          `${what}: ${i ? 'a gradient' : 'the result'} has other bits: ${got[i]!.toString()} for ${t.toString()}`,
        );
    });
  });
}

describe('compiled ops', function () {
  this.timeout(600_000);
  for (const op of SPECS) {
    if (op.name === 'drop') continue; // its key is given by dropout: see compile-nets.test.ts
    it(op.name, () => {
      const cases = casesOf(op);
      expect(cases).to.not.have.length(0);
      for (const c of cases)
        for (const dtype of REALS) for (const way of [null, 0]) expectSameBits(op, c, dtype, way);
    });
  }
});
