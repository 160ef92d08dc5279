// Cases computed by PyTorch in float64 (test/golden/): ops with their gradients, optimizer steps, whole
// trainings. What a later milestone brings is listed once, in LATER, and must not be listed longer.
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';
import {
  expectClose,
  make,
  scattered,
  toTensor,
  type NDArray,
  type Real,
} from './catalogue/harness.js';

/** Names in the golden files that are not implemented yet. */
const LATER = {
  ops: [] as string[],
  optimizers: [] as string[],
};

interface OpCase {
  name: string;
  op: string;
  attrs: Record<string, unknown>;
  inputs: NDArray[];
  output: NDArray;
  cotangent?: NDArray;
  grads?: (NDArray | null)[];
}
interface OptimizerCase {
  name: string;
  optimizer: string;
  attrs: Record<string, unknown>;
  gradients: number[][];
  parameters: number[][];
}
interface TrainingCase {
  name: string;
  dims: number[];
  activation: 'tanh' | 'sigmoid';
  loss: 'crossEntropy' | 'mse';
  optimizer: { name: string } & Record<string, unknown>;
  x: NDArray;
  y: NDArray;
  weights: NDArray[];
  losses: number[];
  finalParameters: NDArray[];
}
const read = <T>(name: string): T[] =>
  JSON.parse(
    readFileSync(new URL(`../../test/golden/${name}.json`, import.meta.url), 'utf8'),
  ) as T[];

const TOLERANCE = { float64: [1e-10, 1e-12], float32: [5e-5, 1e-5] } as const;
const TAKES_LIST = new Set(['concat', 'stack']);
type AnyOp = (...args: unknown[]) => Tensor;
const opNamed = (name: string): AnyOp | undefined =>
  ((tg as unknown as Record<string, unknown>)[name] ??
    (tg.losses as unknown as Record<string, unknown>)[name]) as AnyOp | undefined;

/** How the inputs lie in memory. */
const LAYOUTS = {
  'in order': null,
  transposed: 0,
  'every second element': 1,
  'inside padding': 2,
} as const;

function runOpCase(c: OpCase, dtype: Real, way: number | null): void {
  const [rtol, atol] = TOLERANCE[dtype];
  const here = (a: NDArray): NDArray => ({ ...a, dtype: a.dtype === 'float64' ? dtype : a.dtype! });
  tg.tidy(() => {
    const inputs = c.inputs.map((a, i) => {
      const plain = toTensor(here(a), dtype);
      const t = way === null || plain.size === 0 ? plain : scattered(plain, way);
      if (c.grads?.[i]) t.requiresGrad = true;
      return t;
    });
    const args: unknown[] = TAKES_LIST.has(c.op) ? [inputs] : [...inputs];
    if (Object.keys(c.attrs).length > 0) args.push(c.attrs);
    const out = opNamed(c.op)!(...args);
    expectClose(out, here(c.output), rtol, atol, c.name);
    if (!c.grads) return;
    out.backward({ gradient: toTensor(here(c.cotangent!), dtype) });
    c.grads.forEach((g, i) => {
      const got = inputs[i]!.grad;
      expect(got === null, `${c.name}: no gradient ${i}`).to.equal(g === null);
      if (g && got) expectClose(got, here(g), rtol, atol, `${c.name}: gradient ${i}`);
      got?.dispose();
    });
  });
}

describe('golden ops', () => {
  const cases = read<OpCase>('ops');
  const names = new Set(cases.map((c) => c.op));

  it('names exactly what is not implemented yet', () => {
    expect([...names].filter((op) => !opNamed(op)).sort()).to.deep.equal([...LATER.ops].sort());
  });

  for (const op of names)
    if (!LATER.ops.includes(op))
      for (const dtype of ['float64', 'float32'] as const)
        for (const [layout, way] of Object.entries(LAYOUTS))
          it(`${op} ${dtype}, inputs ${layout}`, () => {
            for (const c of cases) if (c.op === op) runOpCase(c, dtype, way);
          });
});

type AnyOptimizer = new (
  parameters: Iterable<Tensor>,
  options: Record<string, unknown>,
) => tg.optim.Optimizer;
const optimizerNamed = (name: string): AnyOptimizer | undefined => {
  const all = tg.optim as unknown as Record<string, AnyOptimizer>;
  return Object.keys(all)
    .filter((k) => k.toLowerCase() === name && k !== name)
    .map((k) => all[k]!)[0];
};

describe('golden optimizers', () => {
  const cases = read<OptimizerCase>('optimizers');

  it('names exactly what is not implemented yet', () => {
    const missing = new Set(cases.map((c) => c.optimizer).filter((name) => !optimizerNamed(name)));
    expect([...missing].sort()).to.deep.equal([...LATER.optimizers].sort());
  });

  for (const c of cases) {
    if (LATER.optimizers.includes(c.optimizer)) continue;
    it(c.name, () => {
      const n = c.parameters[0]!.length;
      const p = make(c.parameters[0]!, [n], 'float64', true);
      const optimizer = new (optimizerNamed(c.optimizer)!)([p], c.attrs);
      c.gradients.forEach((g, t) => {
        p.grad = make(g, [n], 'float64');
        optimizer.step();
        expectClose(
          p,
          { shape: [n], data: c.parameters[t + 1]! },
          1e-9,
          1e-12,
          `${c.name} after step ${t + 1}`,
        );
      });
    });
  }
});

describe('golden training', () => {
  for (const c of read<TrainingCase>('training'))
    it(c.name, () => {
      const layers = c.dims
        .slice(1)
        .map((out, i) => new tg.nn.Linear(c.dims[i]!, out, { dtype: 'float64' }));
      layers.forEach((layer, i) => {
        layer.weight.copyFrom(toTensor(c.weights[2 * i]!, 'float64'));
        layer.bias!.copyFrom(toTensor(c.weights[2 * i + 1]!, 'float64'));
      });
      const parameters = layers.flatMap((layer) => [layer.weight, layer.bias!]);
      const { name, ...options } = c.optimizer;
      const optimizer = new (optimizerNamed(name)!)(parameters, options);
      const [x, y] = [toTensor(c.x, 'float64'), toTensor(c.y, 'float64')];
      const lossNow = (): Tensor => {
        const out = layers.reduce((h, layer, i) => {
          const z = layer.forward(h);
          return i + 1 < layers.length ? z[c.activation]() : z;
        }, x);
        return c.loss === 'mse'
          ? tg.losses.meanSquaredError(out, y)
          : tg.losses.crossEntropy(out, y);
      };
      c.losses.forEach((wanted, t) => {
        tg.tidy(() => {
          const loss = lossNow();
          expect(loss.item(), `loss before step ${t}`).to.be.closeTo(wanted, 1e-8);
          optimizer.minimize(loss);
        });
      });
      parameters.forEach((p, i) => {
        expectClose(p, c.finalParameters[i]!, 1e-8, 1e-10, `parameter ${i}`);
      });
    });
});
