// Every op of the schema against a reference in float64: values, special values in every lane and tail,
// shapes, memory order, derivatives, misuse, and that the kernel meant was the one that ran. The tests are
// made from lib/schema.gen.ts: a new op has them as soon as test/catalogue/ knows its reference.
// TAPEGRAD_TEST=kernels leaves out what does not depend on the instruction set (see isa.test.ts).
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { DTYPES } from '#lib/schema.gen.js';
import { bfloat16Tests } from './catalogue/bfloat16.js';
import {
  elementwiseDerivativeTests,
  structuredDerivativeTests,
} from './catalogue/differentiable.js';
import { elementwiseTests } from './catalogue/elementwise.js';
import { errorTests } from './catalogue/errors.js';
import { ELEMENTWISE, SPECS, flushed, make, toBfloat16 } from './catalogue/harness.js';
import { ELEMENTWISE_REFERENCES } from './catalogue/references.js';
import { STRUCTURED_REFERENCES, structuredReference } from './catalogue/structured.js';
import { structuredTests } from './catalogue/shaped.js';

const isa = tg.isa().used;
const kernelsOnly = process.env['TAPEGRAD_TEST'] === 'kernels';

describe(`catalogue on ${isa}`, function () {
  this.timeout(600_000);

  it('has no reference without an op', () => {
    const names = new Set(SPECS.map((s) => s.name));
    expect(
      [...Object.keys(ELEMENTWISE_REFERENCES), ...Object.keys(STRUCTURED_REFERENCES)].filter(
        (n) => !names.has(n),
      ),
    ).to.deep.equal([]);
  });

  for (const op of SPECS)
    describe(op.name, () => {
      const elementwise = ELEMENTWISE.has(op.kind);
      const missing = !(op.name in (elementwise ? ELEMENTWISE_REFERENCES : STRUCTURED_REFERENCES));
      if (missing) {
        it('has a reference', () => {
          throw new Error(
            `the op ${op.name} has no reference: add ${elementwise ? 'a line to ELEMENTWISE_REFERENCES in test/catalogue/references.ts' : 'an entry to test/catalogue/shapes.ts or reductions.ts'}`,
          );
        });
        return;
      }
      if (elementwise) elementwiseTests(op, isa);
      else structuredTests(op, isa);
      if (elementwise && op.kind !== 'compare') elementwiseDerivativeTests(op, isa);
      else if (!elementwise && !structuredReference(op.name).noGradient && !kernelsOnly)
        structuredDerivativeTests(op);
      bfloat16Tests(op, isa, kernelsOnly);
      if (!kernelsOnly) errorTests(op);
    });

  it('softmax takes a number without dimensions as a row of one', () => {
    const x = tg.tensor(3, { dtype: 'float64', requiresGrad: true });
    expect([...x.softmax().dataSync()]).to.deep.equal([1]);
    expect([...x.logSoftmax().dataSync()]).to.deep.equal([0]);
    x.logSoftmax().backward();
    expect([...x.grad!.dataSync()]).to.deep.equal([0]);
  });

  describe('cast', () => {
    it('brings the gradient back to the dtype of its input', () => {
      for (const [from, to] of [
        ['float32', 'float64'],
        ['float64', 'float32'],
        ['bfloat16', 'float32'],
        ['float64', 'bfloat16'],
      ] as const) {
        const x = make([1.5, -2], [2], from, true);
        x.to(to)
          .mul(make([3, 4], [2], to))
          .sum()
          .backward();
        expect(x.grad!.dtype).to.equal(from);
        expect([...x.grad!.dataSync()]).to.deep.equal([3, 4]);
      }
    });
    const values = [
      0,
      1.5,
      -1.5,
      2.999,
      -0.25,
      1e10,
      -1e10,
      Infinity,
      -Infinity,
      NaN,
      16777217,
      1e-40,
    ];
    const limit = (v: number): number =>
      Number.isNaN(v) ? 0 : Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(v))) + 0;
    const to = {
      bfloat16: toBfloat16,
      float32: Math.fround,
      float64: (v: number): number => v,
      int32: limit,
      bool: (v: number): number => Number(v !== 0),
    };
    for (const from of DTYPES)
      for (const target of DTYPES)
        it(`${from} to ${target}`, () => {
          tg.tidy(() => {
            // bfloat16 is half of a float32's bits: casts to and from it may move denormals as they are.
            const moves = from === 'bfloat16' || target === 'bfloat16';
            const used = moves ? values.filter((v) => v !== 1e-40) : values;
            const repeated = Array.from({ length: 53 }, (_, i) => used[i % used.length]!);
            const exact = from === 'int32' ? repeated.map(limit) : repeated.map(to[from]);
            const t =
              from === 'bool' ? tg.tensor(exact.map((v) => v !== 0)) : make(exact, [53], from);
            const result = tg.cast(t, { dtype: target });
            expect(result.dtype).to.equal(target);
            // A cast computes, unless there is nothing to do: denormals count as zeros.
            const wanted = (v: number): number =>
              from === target ? v : flushed(to[target](flushed(v, from)), target);
            expect([...result.dataSync()].map((v) => v + 0)).to.deep.equal(
              exact.map((v) => wanted(v) + 0),
            );
          });
        });
  });
});
