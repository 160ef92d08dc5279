// Gradient checks: full Jacobians against central differences, gradients of gradients against differences
// of gradients, and the composed rule of `createGraph` against the fused kernel. Knows no op.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';
import { count, generator, make, type NDArray } from './harness.js';

/** Any differentiable function of tensors; the float inputs of `inputs` are what it is differentiated by. */
export type Subject = (inputs: readonly Tensor[]) => Tensor;

const isFloat = (a: NDArray): boolean => a.dtype === undefined || a.dtype === 'float64';
const noise = (seed: number, n: number): number[] => {
  const next = generator(seed);
  return Array.from({ length: n }, () => 2 * next() - 1);
};
const tensors = (inputs: readonly NDArray[], requiresGrad: boolean): Tensor[] =>
  inputs.map((a) => make(a.data, a.shape, a.dtype ?? 'float64', requiresGrad && isFloat(a)));
const nudged = (inputs: readonly NDArray[], i: number, j: number, by: number): NDArray[] =>
  inputs.map((a, k) =>
    k === i ? { ...a, data: a.data.map((v, l) => (l === j ? v + by : v)) } : a,
  );
/** About the cube root of the rounding error: the best step of a central difference. */
const stepAt = (x: number): number => 2 ** -17 * Math.max(1, Math.abs(x));

/** The derivative of values with respect to one element of one input. */
function difference(
  values: (inputs: readonly NDArray[]) => number[],
  inputs: readonly NDArray[],
  i: number,
  j: number,
): number[] {
  const h = stepAt(inputs[i]!.data[j]!);
  const [above, below] = [values(nudged(inputs, i, j, h)), values(nudged(inputs, i, j, -h))];
  return above.map((v, k) => (v - below[k]!) / (2 * h));
}

function expectSlope(got: number, wanted: number, what: string): void {
  if (!(Math.abs(got - wanted) <= 1e-6 * Math.abs(wanted) + 5e-9))
    expect.fail(`${what}: ${got}, by differences ${wanted}`);
}

const zeros = (a: NDArray): number[] => new Array<number>(a.data.length).fill(0);
/** A gradient has the shape and dtype of what it is the gradient of. */
function numbers(t: Tensor | null | undefined, a: NDArray): number[] {
  if (!t) return zeros(a);
  expect(t.shape, 'shape of a gradient').to.deep.equal([...a.shape]);
  expect(t.dtype).to.equal('float64');
  return [...t.dataSync()];
}

/** Gradients of Σ cotangent · f with respect to the float inputs. */
function gradientsOf(
  f: Subject,
  inputs: readonly NDArray[],
  cotangent: readonly number[],
  createGraph: boolean,
): number[][] {
  return tg.tidy(() => {
    const x = tensors(inputs, true);
    const y = f(x);
    const g = tg.gradients(
      y,
      x.filter((t) => t.requiresGrad),
      { gradient: make(cotangent, y.shape, 'float64'), createGraph },
    );
    let at = 0;
    return inputs.map((a) => (isFloat(a) ? numbers(g[at++], a) : []));
  });
}

/** Every element of the Jacobian. */
export function checkJacobian(f: Subject, inputs: readonly NDArray[], what: string): void {
  const values = (at: readonly NDArray[]): number[] =>
    tg.tidy(() => [...f(tensors(at, false)).dataSync()]);
  const outputs = values(inputs).length;
  const rows = Array.from({ length: outputs }, (_, k) =>
    gradientsOf(
      f,
      inputs,
      Array.from({ length: outputs }, (_v, l) => Number(k === l)),
      false,
    ),
  );
  inputs.forEach((a, i) => {
    if (!isFloat(a)) return;
    for (let j = 0; j < a.data.length; ++j)
      difference(values, inputs, i, j).forEach((wanted, k) => {
        expectSlope(rows[k]![i]![j]!, wanted, `${what}: ∂output[${k}]/∂input ${i}[${j}]`);
      });
  });
  if (outputs === 0)
    gradientsOf(f, inputs, [], false).forEach((g, i) => {
      if (isFloat(inputs[i]!))
        expect(g, `${what}: gradient of an empty result`).to.deep.equal(zeros(inputs[i]!));
    });
}

/** The fused backward kernels and the rules replayed by the tape are the same function. */
export function checkComposed(f: Subject, inputs: readonly NDArray[], what: string): void {
  const outputs = tg.tidy(() => f(tensors(inputs, false)).size);
  const cotangent = noise(5, outputs);
  const [fused, composed] = [
    gradientsOf(f, inputs, cotangent, false),
    gradientsOf(f, inputs, cotangent, true),
  ];
  fused.forEach((g, i) => {
    g.forEach((v, j) => {
      const c = composed[i]![j]!;
      if (!(Object.is(c, v) || Math.abs(c - v) <= 1e-12 * Math.abs(v) + 1e-13))
        expect.fail(`${what}: input ${i}[${j}]: composed ${c}, fused ${v}`);
    });
  });
}

/** The gradient of s = Σᵢ wᵢ · (Jᵀc)ᵢ, by x and by the cotangent c: random w and c leave no element out. */
export function checkSecond(f: Subject, inputs: readonly NDArray[], what: string): void {
  const outputShape = tg.tidy(() => f(tensors(inputs, false)).shape);
  const cotangent: NDArray = { shape: outputShape, data: noise(6, count(outputShape)) };
  const all = [...inputs, cotangent];
  const weights = inputs.map((a, i) => noise(7 + i, a.data.length));
  const value = (at: readonly NDArray[]): number[] => {
    const g = gradientsOf(f, at.slice(0, -1), at.at(-1)!.data, false);
    return g.flatMap((gi, i) => gi.map((v, j) => v * weights[i]![j]!)); // to be summed after the difference
  };
  const second = tg.tidy(() => {
    const x = tensors(all, true);
    const c = x.at(-1)!;
    const leaves = x.slice(0, -1).filter((t) => t.requiresGrad);
    const g = tg.gradients(f(x.slice(0, -1)), leaves, { gradient: c, createGraph: true });
    let at = 0;
    let s: Tensor | null = null;
    inputs.forEach((a, i) => {
      const gi = isFloat(a) ? g[at++] : null;
      if (!gi?.requiresGrad) return;
      const part = gi.mul(make(weights[i]!, a.shape, 'float64')).sum();
      s = s ? s.add(part) : part;
    });
    const slopes = s ? tg.gradients(s, [...leaves, c]) : [];
    at = 0;
    return all.map((a) => (isFloat(a) ? numbers(slopes[at++], a) : []));
  });
  all.forEach((a, i) => {
    if (!isFloat(a)) return;
    for (let j = 0; j < a.data.length; ++j)
      expectSlope(
        second[i]![j]!,
        difference(value, all, i, j).reduce((a, b) => a + b, 0),
        `${what}: second derivative by ${i < inputs.length ? `input ${i}` : 'the cotangent'}[${j}]`,
      );
  });
}
