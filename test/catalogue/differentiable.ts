// The tests of derivatives that every differentiable op gets: full Jacobian, composed = fused, second
// derivatives, conventions at kinks, bits of the backward kernels at every position, and which of them ran.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { execute } from '#lib/apply.js';
import type { OpSpec } from '#lib/schema.gen.js';
import { RULES } from '#lib/vjps.gen.js';
import { settings } from './elementwise.js';
import { checkComposed, checkJacobian, checkSecond, type Subject } from './gradients.js';
import {
  REALS,
  bits,
  call,
  count,
  expectClose,
  make,
  sample,
  traced,
  type NDArray,
} from './harness.js';
import { elementwiseReference, type Elementwise } from './references.js';
import { structuredReference } from './structured.js';

/** What a check is run on; the three checks share the cases. */
interface Case {
  readonly f: Subject;
  readonly inputs: readonly NDArray[];
  readonly what: string;
}

function derivativeTests(cases: () => readonly Case[]): void {
  it('the full Jacobian agrees with differences', () => {
    for (const { f, inputs, what } of cases()) checkJacobian(f, inputs, what);
  });
  it('with createGraph the rule composed of ops gives what the fused kernel gives', () => {
    for (const { f, inputs, what } of cases()) checkComposed(f, inputs, what);
  });
  it('second derivatives agree with differences of first ones', () => {
    for (const { f, inputs, what } of cases()) checkSecond(f, inputs, what);
  });
}

/** Samples in the op's domain, those next to a kink moved away. */
function smooth(
  ref: Elementwise,
  shapes: readonly (readonly number[])[],
  p: readonly number[],
): NDArray[] {
  for (let seed = 40; ; ++seed) {
    const inputs = shapes.map((shape, i) => ({
      shape,
      data: sample(
        seed + 100 * i,
        count(shape),
        i ? (ref.domainY ?? ref.domain) : ref.domain,
        'float64',
      ),
    }));
    const { kink } = ref;
    if (!kink) return inputs;
    const x = inputs[0]!;
    const y = inputs[1];
    // Broadcast pairs meet in all combinations: stay away in each of them.
    if (
      x.data.every((a) => (y?.data ?? [0]).every((b) => Math.abs(kink(a, b, p[0]!, p[1]!)) > 1e-3))
    )
      return inputs;
  }
}

export function elementwiseDerivativeTests(op: OpSpec, isa: string): void {
  const ref = elementwiseReference(op.name);
  const two = op.inputs.length === 2;
  const shapes = two
    ? [
        [[5], [5]],
        [[3, 2], [2]],
        [[2, 1], [3]],
        [[], [4]],
        [[3], []],
        [[0], [1]],
      ]
    : [[[7]], [[]], [[2, 2]], [[0]]];
  derivativeTests(() =>
    settings(op, ref).flatMap(({ options, p }) =>
      shapes.map((s) => ({
        f: (x) => call(op, x, options),
        inputs: smooth(ref, s, p),
        what: `${op.name} ${JSON.stringify(options ?? {})} of ${JSON.stringify(s)}`,
      })),
    ),
  );
  if (two)
    it('with a number as the other operand, and with itself', () => {
      const [x] = smooth(ref, [[4]], settings(op, ref)[0]!.p) as [NDArray];
      const cases: Case[] = [
        { f: ([t]) => call(op, [t!, 0.7]), inputs: [x], what: `${op.name}(x, 0.7)` },
      ];
      if (op.kind !== 'loss')
        cases.push({ f: ([t]) => call(op, [0.7, t!]), inputs: [x], what: `${op.name}(0.7, x)` });
      if (!ref.kink)
        cases.push({
          f: ([t]) => call(op, [t!, t!]),
          inputs: [{ ...x, data: x.data.map(Math.abs) }],
          what: `${op.name}(x, x)`,
        });
      for (const { f, inputs, what } of cases) {
        checkJacobian(f, inputs, what);
        checkComposed(f, inputs, what);
      }
    });
  if (two)
    it('operands of two dtypes meet in the wider one, and each gets its gradient in its own', () => {
      tg.tidy(() => {
        const [a, b] = smooth(ref, [[4], [4]], settings(op, ref)[0]!.p) as [NDArray, NDArray];
        for (const [first, second] of [
          ['float32', 'float64'],
          ['float64', 'float32'],
        ] as const) {
          const inputs = [make(a.data, [4], first, true), make(b.data, [4], second, true)];
          const widened = inputs.map((t) => t.detach().to('float64'));
          widened.forEach((t) => (t.requiresGrad = true));
          const [mixed, wide] = [call(op, inputs), call(op, widened)];
          expect(bits(mixed).equals(bits(wide))).to.equal(true);
          const gradient = make([1, -2, 3, 0.5], [4], 'float64');
          const grads = tg.gradients(mixed, inputs, { gradient });
          tg.gradients(wide, widened, { gradient }).forEach((g, i) => {
            expect(grads[i]!.dtype).to.equal(inputs[i]!.dtype);
            expect(bits(grads[i]!).equals(bits(g!.to(inputs[i]!.dtype)))).to.equal(true);
          });
        }
      });
    });
  if (ref.conventions)
    it('the documented (sub)gradients at kinks', () => {
      for (const [at, wanted] of ref.conventions!)
        for (const createGraph of [false, true])
          tg.tidy(() => {
            const x = at.map((v) => make([v], [1], 'float64', true));
            tg.gradients(call(op, x), x, {
              gradient: make([1], [1], 'float64'),
              createGraph,
            }).forEach((g, i) => {
              const got = g?.item() ?? 0;
              if (!(Object.is(got, wanted[i]) || got === wanted[i]))
                expect.fail(
                  `${op.name} at ${at.join(', ')}: gradient ${i} is ${got}, expected ${wanted[i]}`,
                );
            });
          });
    });

  for (const dtype of REALS)
    it(`${dtype}: backward kernels run where meant, with the same bits at every position`, () => {
      const keeps = [...(op.keeps ?? '')];
      const n = 53;
      const [x, y] = [0, 1].map((i) =>
        sample(61 + i, n, i ? (ref.domainY ?? ref.domain) : ref.domain, dtype),
      ) as [number[], number[]];
      [op.dxCode, op.dyCode].forEach((code, i) => {
        if (code === undefined) return;
        tg.tidy(() => {
          const inputs = (two ? [x, y] : [x]).map((v) => make(v, [n], dtype));
          const result = call(op, inputs);
          const g = make(sample(63, n, [-2, 2], dtype), [n], dtype);
          const kept = keeps.map((k) =>
            k === 'x' ? inputs[0]! : k === 'y' && two ? inputs[1]! : result,
          );
          const p = settings(op, ref)[0]!.p;
          const whole = bits(execute(code, [g, ...kept], p));
          const width = whole.length / n;
          for (let start = 0; start < 9; ++start)
            for (let size = 0; size <= n - start; ++size)
              tg.tidy(() => {
                const part = bits(
                  execute(
                    code,
                    [g, ...kept].map((t) => tg.slice(t, { axis: 0, start, end: start + size })),
                    p,
                  ),
                );
                if (!part.equals(whole.subarray(start * width, (start + size) * width)))
                  expect.fail(
                    `${op.name} backward ${i} ${dtype}: elements ${start} … ${start + size - 1} have other bits alone`,
                  );
              });
          // What the tape runs: the fused kernel, unless the rule is a single op.
          const leaves = (two ? [x, y] : [x]).map((v, k) => make(v, [n], dtype, k === i));
          const out = call(op, leaves);
          const { kernels } = traced(() => tg.gradients(out, [leaves[i]!], { gradient: g }));
          const { ops } = RULES[op.name]![i]!;
          if (ops > 1)
            expect(kernels).to.deep.equal([
              { isa, kernel: `${op.name} (backward)`, dtype, variant: 'in order' },
            ]);
          else expect(kernels.length).to.be.at.most(1);
        });
      });
    });
}

export function structuredDerivativeTests(op: OpSpec): void {
  const ref = structuredReference(op.name);
  for (const { inputs, options, gradient } of ref.conventions ?? [])
    it(`the documented subgradient of ${JSON.stringify(inputs[0]!.data)} ${JSON.stringify(options ?? {})}`, () => {
      for (const createGraph of [false, true])
        tg.tidy(() => {
          const x = make(inputs[0]!.data, inputs[0]!.shape, 'float64', true);
          const [g] = tg.gradients(call(op, [x], options).sum(), [x], { createGraph });
          expectClose(g!, { shape: inputs[0]!.shape, data: gradient }, 1e-15, 0, op.name);
        });
    });
  derivativeTests(() =>
    ref.examples
      .filter(({ inputs }) => inputs.reduce((n, a) => n + a.data.length, 0) <= 64)
      // The mean of nothing is NaN, and so is its slope.
      .filter(({ inputs, options }) => !ref.f!(inputs, options ?? {}).data.some(Number.isNaN))
      .map(({ inputs, options }) => ({
        f: (x) => call(op, x, options),
        inputs,
        what: `${op.name} ${JSON.stringify(options ?? {})} of ${inputs.map((a) => JSON.stringify(a.shape)).join(', ')}`,
      })),
  );
}
