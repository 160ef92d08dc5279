// Every instruction set this machine offers, each in a process of its own: the golden cases and the
// catalogue's kernels. And the same bits for every number of threads, at sizes that really split.
import { expect } from 'chai';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';
import { bits, traced } from './catalogue/harness.js';
import { runTests, type Outcome } from './children.js';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
/** Runs test files on an instruction set; what runs them in this process is tested by themselves. */
const runOn = (isa: string, files: string[]): Promise<Outcome> =>
  runTests({ TAPEGRAD_ISA: isa, TAPEGRAD_TEST: 'kernels' }, files);

describe('instruction sets', function () {
  this.timeout(600_000);
  const { used, available } = tg.isa();

  it('uses the best one unless told', () => {
    expect(available).to.include(used);
    if (!process.env['TAPEGRAD_ISA']) expect(used).to.equal(available[0]);
  });

  // The children would start children.
  if (process.env['TAPEGRAD_TEST'] !== 'kernels')
    for (const isa of available)
      if (isa !== used)
        it(`golden cases and catalogue on ${isa}`, async () => {
          const { code, signal, report, stderr } = await runOn(isa, [
            here('golden.test.js'),
            here('catalogue.test.js'),
          ]);
          expect(
            (report?.failures ?? []).map((f) => `${f.fullTitle}: ${f.err.message}`).join('\n'),
            stderr,
          ).to.equal('');
          expect({ code, signal }).to.deep.equal({ code: 0, signal: null });
          expect(report!.stats.pending).to.equal(0);
          // The catalogue names the set that it found in use and asserts it of every kernel.
          const titles = report!.passes.map((p) => p.fullTitle);
          expect(titles.filter((t) => t.startsWith(`catalogue on ${isa} `)).length).to.be.above(
            500,
          );
          expect(titles.filter((t) => t.startsWith('golden ')).length).to.be.above(300);
        });

  it('refuses one that this machine has not', async () => {
    const { code, stderr } = await runOn('sse9', [here('golden.test.js')]);
    expect(code).to.not.equal(0);
    expect(stderr).to.include(
      `TAPEGRAD_ISA is 'sse9', but this machine offers: ${available.join(' ')}`,
    );
  });
});

const randn = (...shape: number[]): Tensor => tg.randn(shape);
/** What must not depend on the number of threads: a name, and tensors made and computed from a seed. */
const COMPUTATIONS: Record<string, () => Tensor[]> = {
  'elementwise, in order and broadcast': () => {
    const x = randn(300, 401);
    return [x.tanh(), x.add(randn(401)), x.T.exp(), x.mul(randn(300, 1)), x.greater(0).to('int32')];
  },
  'reductions over all, rows and columns': () => {
    const x = randn(611, 533);
    return [
      x.sum(),
      x.mean(0),
      x.sum(1),
      x.variance(),
      x.logSumExp(0),
      x.max(1),
      x.argmax(),
      x.T.sum(0),
      randn(400_000).sum(),
      randn(20, 30, 500).sum({ axis: [0, 2] }),
    ];
  },
  'sum over what was broadcast': () => {
    const [x, b] = [randn(700, 300), tg.zeros([300], { requiresGrad: true })];
    return [tg.gradients(x.add(b).tanh().sum(), [b])[0]!];
  },
  'matrix products, plain and transposed': () => {
    const [a, b, c, d] = [randn(257, 391), randn(391, 173), randn(391, 257), randn(173, 391)];
    return [
      tg.matmul(a, b),
      tg.matmul(c.T, b),
      tg.matmul(a, d.T),
      tg.matmul(c.T, d.T),
      tg.matmul(randn(7, 129, 65), randn(7, 65, 66)),
      tg.matmul(randn(1, 4000), randn(4000, 3)),
      tg.matmul(randn(3, 9000), randn(9000, 5)),
    ];
  },
  'linear with its gradients': () => {
    const [x, w, b] = [randn(128, 784), randn(256, 784), randn(256)].map(
      (t) => ((t.requiresGrad = true), t),
    ) as [Tensor, Tensor, Tensor];
    const y = tg.linear(x, w, b);
    return [
      y.detach(),
      ...tg.gradients(y.square().mean(), [x, w, b], { retainGraph: true }).map((g) => g!),
    ];
  },
  'softmax and cross-entropy': () => {
    const x = randn(900, 211);
    x.requiresGrad = true;
    const target = tg.randint(0, 211, [900]);
    return [
      tg.softmax(x),
      tg.softmax(x, { axis: 0 }),
      tg.logSoftmax(x),
      tg.losses.crossEntropy(x, target, { reduction: 'none' }),
      tg.gradients(tg.losses.crossEntropy(x, target), [x])[0]!,
      tg.gradients(tg.softmax(x).square().sum(), [x])[0]!,
    ];
  },
  'copies and selections': () => {
    const x = randn(300, 301);
    return [
      tg.clone(x.T),
      tg.concat([x, x], { axis: 1 }),
      tg.pad(x, {
        padding: [
          [1, 2],
          [3, 4],
        ],
      }),
      tg.indexSelect(x, tg.randint(0, 300, [500])),
      x.to('float64'),
    ];
  },
  // The optimizers cut at 16 parts a thread, of 4096 elements at least.
  'norm of the gradients, clipping and a step over a million weights': () => {
    const parameters = [1_300_003, 77, 40_000].map((n) => {
      const p = randn(n);
      p.requiresGrad = true;
      p.grad = randn(n);
      return p;
    });
    const norm = tg.clipGradNorm(parameters, 1);
    const optimizer = new tg.optim.Adam(parameters);
    optimizer.step();
    optimizer.dispose();
    return [
      tg.tensor(norm, { dtype: 'float64' }),
      ...parameters,
      ...parameters.map((p) => p.grad!),
    ];
  },
  'random numbers': () => [tg.rand([100_003]), randn(100_003), tg.randint(0, 1000, [100_003])],
};

const THREADS = [1, 2, 5];
function onThreads<T>(count: number, fn: () => T): T {
  const before = tg.numThreads();
  tg.setNumThreads(count);
  try {
    return fn();
  } finally {
    tg.setNumThreads(before);
  }
}

describe('the same bits for every number of threads', function () {
  this.timeout(600_000);

  for (const [name, compute] of Object.entries(COMPUTATIONS))
    it(name, () => {
      const results = THREADS.map((count) =>
        onThreads(count, () =>
          tg.tidy(() => {
            expect(tg.numThreads()).to.equal(count);
            tg.manualSeed(11);
            return compute().map(bits);
          }),
        ),
      );
      for (const [i, other] of results.entries())
        other.forEach((b, k) =>
          expect(b.equals(results[0]![k]!), `result ${k} with ${THREADS[i]} threads`).to.equal(
            true,
          ),
        );
    });

  for (const Optimizer of [tg.optim.SGD, tg.optim.Adam, tg.optim.AdamW])
    it(`20 training steps of an MLP with ${Optimizer.name}`, () => {
      const train = (): Buffer[] => {
        tg.manualSeed(12);
        const model = new tg.nn.Sequential(
          new tg.nn.Linear(90, 256),
          new tg.nn.ReLU(),
          new tg.nn.Linear(256, 130),
          new tg.nn.Tanh(),
          new tg.nn.Linear(130, 10),
        );
        const parameters = [...model.parameters()];
        const optimizer = new Optimizer(parameters, { learningRate: 1e-2 });
        const [x, y] = [randn(96, 90), tg.randint(0, 10, [96])];
        const losses: number[] = [];
        for (let step = 0; step < 20; ++step)
          tg.tidy(() => {
            optimizer.zeroGrad();
            const loss = tg.losses.crossEntropy(model.forward(x), y);
            losses.push(loss.item());
            loss.backward();
            tg.clipGradNorm(parameters, 1);
            optimizer.step();
          });
        expect(losses.at(-1)).to.be.below(losses[0]!);
        return [...parameters.map(bits), Buffer.from(Float64Array.from(losses).buffer)];
      };
      const results = THREADS.map((count) => onThreads(count, train));
      for (const [i, other] of results.entries())
        other.forEach((b, k) =>
          expect(b.equals(results[0]![k]!), `parameter ${k} with ${THREADS[i]} threads`).to.equal(
            true,
          ),
        );
    });

  it('the kernels that ran are the same, too', () => {
    const runs = THREADS.map((count) =>
      onThreads(count, () =>
        tg.tidy(() => traced(COMPUTATIONS['matrix products, plain and transposed']!).kernels),
      ),
    );
    expect(runs[0]!.length).to.be.above(7);
    for (const other of runs) expect(other).to.deep.equal(runs[0]);
  });
});
