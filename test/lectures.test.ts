// The worked numbers of the lectures on backpropagation that tapegrad implements; the letter in a title is
// the lecture: A Intro to Deep Learning, B Deep Learning 1 (Tsinghua), C feature learning (NYU),
// D optimization for data sciences (Côte d'Azur), E FIT3181 (Monash).
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { type Tensor, TapegradError } from 'tapegrad';
import { native } from '#lib/native.js';
import { collect } from './collect.js';

const f64 = (data: Parameters<typeof tg.tensor>[0], requiresGrad = true): Tensor =>
  tg.tensor(data, { dtype: 'float64', requiresGrad });
const close = (
  got: Tensor | null,
  wanted: Tensor | number | readonly number[],
  tolerance = 1e-14,
): void => {
  if (got === null) expect.fail('no gradient');
  const numbers =
    typeof wanted === 'number'
      ? [wanted]
      : 'dataSync' in wanted
        ? [...wanted.dataSync()]
        : [...(wanted as number[])];
  if (typeof wanted === 'object' && 'dataSync' in wanted)
    expect(got.shape).to.deep.equal(wanted.shape);
  const d = got.dataSync();
  expect(d.length).to.equal(numbers.length);
  numbers.forEach((v, i) =>
    expect(d[i], `element ${i}`).to.be.closeTo(v, tolerance * Math.max(1, Math.abs(v))),
  );
};
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Checks a function's value and gradient through both idioms: backward() into .grad, and a gradient tape. */
function expectGradients(
  f: (...x: Tensor[]) => Tensor,
  at: readonly Tensor[],
  value: number | null,
  wanted: readonly (Tensor | number | readonly number[])[],
  tolerance?: number,
): void {
  const loss = f(...at);
  if (value !== null) close(loss, value, tolerance);
  loss.backward();
  at.forEach((x, i) => {
    close(x.grad, wanted[i]!, tolerance);
  });
  const tape = tg.gradientTape(() => f(...at));
  if (value !== null) close(tape.value, value, tolerance);
  tape.gradient(at).forEach((g, i) => {
    close(g, wanted[i]!, tolerance);
  });
}

describe('lectures: worked examples', () => {
  it('B: f = (x+y)z at (-2, 5, -4) is -12 with gradient (-4, -4, 3)', () => {
    expectGradients((x, y, z) => x.add(y).mul(z), [f64(-2), f64(5), f64(-4)], -12, [-4, -4, 3]);
  });

  it('E: f = (x+y)z at (2, 3, -2) is -10 with gradient (-2, -2, 5)', () => {
    expectGradients((x, y, z) => x.add(y).mul(z), [f64(2), f64(3), f64(-2)], -10, [-2, -2, 5]);
  });

  it('B: f = (x+σ(y)) / (σ(x)+(x+y)²) at (3, -4)', () => {
    expectGradients(
      (x, y) => x.add(y.sigmoid()).div(x.sigmoid().add(x.add(y).square())),
      [f64(3), f64(-4)],
      1.5456448841066441,
      [2.0595697955721652, 1.5922327514838093],
    );
  });

  it('E: the gradient of log(eˣ+eʸ+eᶻ) is softmax([x, y, z])', () => {
    const at = [0.3, -1.2, 2];
    const p = [...tg.softmax(f64(at, false)).dataSync()];
    expectGradients(
      (x, y, z) => x.exp().add(y.exp()).add(z.exp()).log(),
      at.map((v) => f64(v)),
      null,
      p,
    );
    expectGradients((v) => v.logSumExp(), [f64(at)], null, [p]);
    close(tg.sum(f64(p, false)), 1);
  });

  it('E: h = σ(Wx+b) has the Jacobian diag(h(1-h))W', () => {
    const rows = [
      [-1, 1, 1],
      [1, -1, 1],
      [1, 1, -1],
      [-1, -1, -1],
    ];
    const x = f64([1, -1, 1]);
    const forward = (): Tensor =>
      tg
        .matmul(f64(rows, false), x)
        .add(tg.ones([4], { dtype: 'float64' }))
        .sigmoid();
    const h = forward();
    // W x + b = (0, 4, 0, 0): sigmoid(4) = 0.98201379
    close(h, [0.5, 0.98201379, 0.5, 0.5], 5e-9);
    rows.forEach((row, i) => {
      const [dx] = tg.gradients(forward(), [x], {
        gradient: f64(
          rows.map((_, k) => Number(k === i)),
          false,
        ),
      });
      const slope = i === 1 ? 0.01766271 : 0.25;
      close(
        dx!,
        row.map((w) => slope * w),
        5e-9,
      );
      close(
        dx!,
        row.map((w) => w * h.dataSync()[i]! * (1 - h.dataSync()[i]!)),
      );
    });
  });

  it('A: f = x₁ - x₂ with x₂ = x₃ + x₄ has ∂f/∂x₃ = -1', () => {
    expectGradients(
      (x1, x3, x4) => x1.sub(x3.add(x4)),
      [f64(1.5), f64(0.5), f64(-2)],
      3,
      [1, -1, -1],
    );
  });

  it('A: f = (x₃+x₄) - σ(w₃x₃+w₄x₄) sums two paths: ∂f/∂x₃ = 1 - σ′w₃', () => {
    const [x3, x4, w3, w4] = [0.7, -0.4, 1.3, 0.6];
    const s = sigmoid(w3 * x3 + w4 * x4);
    expectGradients(
      (a, b, u, v) => a.add(b).sub(u.mul(a).add(v.mul(b)).sigmoid()),
      [f64(x3), f64(x4), f64(w3), f64(w4)],
      x3 + x4 - s,
      [1 - s * (1 - s) * w3, 1 - s * (1 - s) * w4, -s * (1 - s) * x3, -s * (1 - s) * x4],
    );
  });

  it('A: one hidden layer f = wᵀσ(Ux), L = ½(f-y)²', () => {
    const [x, y] = [f64([0.5, -1, 2], false), 0.3];
    const [U, w] = [
      f64([
        [0.1, -0.2, 0.3],
        [0.5, 0.4, -0.6],
      ]),
      f64([0.7, -1.1]),
    ];
    const h = tg.noGrad(() => tg.matmul(U, x).sigmoid());
    const f = tg.noGrad(() => tg.matmul(w, h).item());
    const dU = tg.noGrad(() =>
      tg.matmul(
        w
          .mul(h)
          .mul(h.mul(-1).add(1))
          .mul(f - y)
          .unsqueeze(1),
        x.unsqueeze(0),
      ),
    );
    expectGradients(
      (V, v) => tg.losses.squaredError(tg.matmul(v, tg.matmul(V, x).sigmoid()), y),
      [U, w],
      (f - y) ** 2 / 2,
      [dU, h.mul(f - y)],
    );
  });

  it('D: tanh MLP 2 → 4 → 2 with softmax and cross-entropy', () => {
    tg.manualSeed(1);
    const randn = (...shape: number[]): Tensor =>
      tg.randn(shape, { dtype: 'float64', requiresGrad: true });
    const [Wh, bh, Wy, by] = [randn(4, 2), randn(4), randn(2, 4), randn(2)];
    const x = f64([[0.8, -0.3]], false);
    const target = tg.tensor([1], { dtype: 'int32' });
    const wanted = tg.noGrad(() => {
      const h = tg.linear(x, Wh, bh).tanh();
      const deltaY = tg.softmax(tg.linear(h, Wy, by)).sub(f64([[0, 1]], false)); // ŷ - y
      const deltaH = tg.matmul(deltaY, Wy).mul(h.square().mul(-1).add(1)); // (1-h²) ⊙ Wʸᵀδʸ
      return [
        tg.matmul(deltaH.T, x),
        deltaH.reshape([4]),
        tg.matmul(deltaY.T, h),
        deltaY.reshape([2]),
      ];
    });
    expectGradients(
      (A, a, B, b) => tg.losses.crossEntropy(tg.linear(tg.linear(x, A, a).tanh(), B, b), target),
      [Wh, bh, Wy, by],
      null,
      wanted,
    );
  });

  for (const form of ['column', 'row'] as const)
    it(`E: three-layer net in ${form} form`, () => {
      tg.manualSeed(2);
      const [sizes, label] = [[3, 5, 4, 3], 2];
      const W = [1, 2, 3].map((k) =>
        tg.randn([sizes[k]!, sizes[k - 1]!], { dtype: 'float64', requiresGrad: true }),
      );
      const b = [1, 2, 3].map((k) =>
        tg.randn([sizes[k]!], { dtype: 'float64', requiresGrad: true }),
      );
      const x = tg.randn([3], { dtype: 'float64', requiresGrad: true });
      const net = (): Tensor => {
        const column = form === 'column';
        let h = column ? x.reshape([3, 1]) : x.reshape([1, 3]);
        for (let k = 0; k < 3; ++k) {
          h = column
            ? tg.matmul(W[k]!, h).add(b[k]!.reshape([-1, 1]))
            : tg.matmul(h, W[k]!.T).add(b[k]!);
          if (k < 2) h = h.sigmoid();
        }
        return tg.losses.crossEntropy(column ? h.T : h, tg.tensor([label], { dtype: 'int32' }));
      };
      // By the lecture's recurrence: g³ = p - 1_y, ∂Wᵏ = gᵏᵀ hᵏ⁻¹ᵀ, g² = g³W³, ḡ² = g² diag(σ′), …, ∂l/∂x = ḡ¹W¹
      const wanted = tg.noGrad(() => {
        const h = [x.reshape([1, 3])];
        for (let k = 0; k < 2; ++k) h.push(tg.linear(h[k]!, W[k]!, b[k]!).sigmoid());
        let g = tg.softmax(tg.linear(h[2]!, W[2]!, b[2]!)).sub(f64([[0, 0, 1]], false));
        const grads: Tensor[] = [];
        for (let k = 2; k >= 0; --k) {
          grads.unshift(tg.matmul(g.T, h[k]!), g.reshape([-1]));
          g = tg.matmul(g, W[k]!);
          if (k > 0) g = g.mul(h[k]!.mul(h[k]!.mul(-1).add(1)));
        }
        return [...grads, g.reshape([3])];
      });
      expectGradients(net, [W[0]!, b[0]!, W[1]!, b[1]!, W[2]!, b[2]!, x], null, wanted);
    });

  it('C: least squares and ridge as graphs: ∂ℓ/∂w = -2rx (+ 2λw), ∂ℓ/∂b = -2r', () => {
    const [x, y, lambda] = [[1.5, -2, 0.5], 3, 0.1];
    const [w, b] = [[0.2, -0.4, 1], 0.25];
    const r = y - (w.reduce((s, v, i) => s + v * x[i]!, 0) + b);
    const leastSquares = (v?: Tensor, c?: Tensor): Tensor =>
      tg.losses.meanSquaredError(tg.matmul(v!, f64(x, false)).add(c!), y);
    expectGradients(leastSquares, [f64(w), f64(b)], r * r, [x.map((v) => -2 * r * v), -2 * r]);
    expectGradients(
      (v, c) => leastSquares(v, c).add(v.square().sum().mul(lambda)),
      [f64(w), f64(b)],
      r * r + lambda * w.reduce((s, v) => s + v * v, 0),
      [x.map((v, i) => -2 * r * v + 2 * lambda * w[i]!), -2 * r],
    );
  });
});

describe('lectures: the backward pass', () => {
  it('A B C D E: a node sums the partials of all its children before its own rule', () => {
    const x = f64(0.5);
    const h = x.exp();
    const f = h.mul(3).add(h.square()).add(h.mul(h)).sub(h); // f = 2h + 2h²
    const calls: string[] = [];
    const door = native as { run: (...args: unknown[]) => number };
    const run = door.run;
    door.run = (...args) => {
      const handle = run(...args);
      calls.push(native.trace(0).kernel);
      return handle;
    };
    try {
      f.backward();
    } finally {
      door.run = run;
    }
    const e = Math.exp(0.5);
    close(x.grad, (2 + 4 * e) * e);
    // exp's rule g · y ran once, at the very end, on the sum.
    expect(calls.at(-1)).to.equal('mul');
    const [dh] = tg.gradients(x.exp().mul(3), [x]);
    close(dh!, 3 * e);
  });

  it('A B E: backward frees what the forward stored', () => {
    const x = tg.ones([1000], { dtype: 'float64', requiresGrad: true });
    const before = tg.memory();
    const loss = x.exp().sin().square().sum();
    expect(tg.memory().bytes).to.be.at.least(before.bytes + 3 * 8000);
    loss.backward();
    // The gradient and the loss itself are left; memory is handed out in slightly larger pieces.
    const after = tg.memory();
    expect(after.tensors - before.tensors).to.equal(2);
    expect(after.bytes - before.bytes).to.be.at.most(8000 + 512);
    expect(() => {
      loss.backward();
    })
      .to.throw(TapegradError, /retainGraph/)
      .with.property('code', 'TG_GRAPH');
    loss.dispose();
    x.grad!.dispose();
    expect(tg.memory().bytes).to.equal(before.bytes);
  });

  it('A B: noGrad records nothing and keeps nothing', () => {
    const x = tg.ones([1000], { dtype: 'float64', requiresGrad: true });
    collect();
    const before = tg.memory();
    const y = tg.noGrad(() => tg.tidy(() => x.exp().sin().square().sum()));
    expect(y.requiresGrad).to.equal(false);
    expect(y.isLeaf).to.equal(true);
    expect(tg.memory().tensors).to.equal(before.tensors + 1);
    expect(() => {
      y.backward();
    }).to.throw(TapegradError, /noGrad/);
    expect(tg.isGradEnabled()).to.equal(true);
  });

  it('A B C: the graph is dynamic: it is built by running the code', () => {
    for (const [start, steps] of [
      [1, 4],
      [3, 2],
    ] as const) {
      const x = f64(start);
      let y: Tensor = x;
      let n = 0;
      while (y.item() < 16 && ++n < 10) y = y.mul(2);
      if (start === 3) --n; // 3 · 2³ = 24
      expect(n).to.equal(steps);
      y.backward();
      close(x.grad, start === 1 ? 16 : 8);
    }
  });

  for (const reduction of ['mean', 'sum'] as const)
    it(`A B E: a minibatch's gradient is the ${reduction} of its examples' gradients`, () => {
      tg.manualSeed(3);
      const w = tg.randn([3, 4], { dtype: 'float64', requiresGrad: true });
      const x = tg.randn([6, 4], { dtype: 'float64' });
      const y = tg.tensor([0, 2, 1, 1, 0, 2], { dtype: 'int32' });
      const gradient = (from: number, to: number): Tensor => {
        const rows = (t: Tensor): Tensor => tg.slice(t, { axis: 0, start: from, end: to });
        return tg.gradients(
          tg.losses.crossEntropy(tg.matmul(rows(x), w.T), rows(y), { reduction }),
          [w],
        )[0]!;
      };
      let total = gradient(0, 1);
      for (let i = 1; i < 6; ++i) total = total.add(gradient(i, i + 1));
      close(gradient(0, 6), reduction === 'mean' ? total.div(6) : total);
    });

  it('A: loss.backward(); optimizer.step(); optimizer.zeroGrad(), and E: a gradient tape, walk the same path', () => {
    const [x, y] = [f64([1, 2, 3], false), f64([2, 4, 6], false)];
    const loss = (w: Tensor): Tensor => tg.losses.meanSquaredError(x.mul(w), y);
    const a = f64(0.5);
    const optimizer = new tg.optim.SGD([a], { learningRate: 0.05 });
    const b = f64(0.5);
    for (let i = 0; i < 20; ++i) {
      loss(a).backward();
      optimizer.step();
      optimizer.zeroGrad();
      const [db] = tg.gradientTape(() => loss(b)).gradient([b]);
      b.copyFrom(b.detach().sub(db!.mul(0.05)));
      expect(a.item()).to.be.closeTo(b.item(), 1e-15);
    }
    expect(a.item()).to.be.closeTo(2, 1e-5);
  });
});
