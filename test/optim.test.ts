// Optimizers: groups of parameters, state that resumes to the bit, refused input, the worked numbers of the
// lectures, and every fused float32 kernel against float64. Single steps are in golden.test.ts.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { optim, type Tensor } from 'tapegrad';
import { OPTIMIZERS } from '#lib/schema.gen.js';
import { bits, generator, make, sample } from './catalogue/harness.js';

type Options = Record<string, unknown>;
type Class = new (parameters: unknown, options?: Options) => optim.Optimizer;
/** Every rule of the schema by a class and options that use it. */
const KINDS: Readonly<Record<keyof typeof OPTIMIZERS, [string, Options][]>> = {
  sgd: [['SGD', { weightDecay: 0.01 }]],
  sgdMomentum: [
    ['SGD', { momentum: 0.9, dampening: 0.1 }],
    ['SGD', { momentum: 0.9, nesterov: true, weightDecay: 0.01 }],
  ],
  sgdVelocity: [
    ['SGD', { momentum: 0.9, rateInVelocity: true, dampening: 0.1 }],
    ['SGD', { momentum: 0.9, rateInVelocity: true, nesterov: true, weightDecay: 0.01 }],
  ],
  adagrad: [['Adagrad', { learningRateDecay: 0.01, initialAccumulator: 0.1, weightDecay: 0.01 }]],
  rmsprop: [
    ['RMSprop', { weightDecay: 0.01 }],
    ['RMSprop', { epsInside: true, eps: 1e-3 }],
  ],
  rmspropCentered: [['RMSprop', { centered: true, eps: 1e-3 }]],
  rmspropMomentum: [['RMSprop', { momentum: 0.8, weightDecay: 0.01 }]],
  rmspropCenteredMomentum: [['RMSprop', { momentum: 0.8, centered: true, eps: 1e-3 }]],
  adadelta: [['Adadelta', { weightDecay: 0.01 }]],
  adam: [
    ['Adam', { weightDecay: 0.01 }],
    ['AdamW', { weightDecay: 0.1 }],
  ],
  amsgrad: [['Adam', { amsgrad: true }]],
  adamax: [['Adamax', { weightDecay: 0.01 }]],
  nadam: [['Nadam', { weightDecay: 0.01 }]],
  radam: [['RAdam', { weightDecay: 0.01 }]],
  adasecant: [['AdaSecant', { learningRate: 0.1 }]],
  vsgd: [['VSGD', {}]],
};
const ALL = Object.values(KINDS).flat();
const make1 = (name: string, parameters: unknown, options: Options): optim.Optimizer =>
  new (optim as unknown as Record<string, Class>)[name]!(parameters, options);

const f64 = (data: number[], requiresGrad = true): Tensor =>
  tg.tensor(data, { dtype: 'float64', requiresGrad });
const values = (t: Tensor): number[] => [...t.dataSync()];
const title = (name: string, options: Options): string => `${name} ${JSON.stringify(options)}`;

/** Steps on a noisy quadratic whose noise depends on the step alone. */
function walk(optimizer: optim.Optimizer, from: number, steps: number): void {
  for (let t = from; t < from + steps; ++t)
    optimizer.minimize(() => {
      const parts = optimizer.parameters.map((p, i) => {
        const noise = make(sample(1000 * t + i, p.size, [-0.5, 0.5], p.dtype), p.shape, p.dtype);
        return p
          .sub(1 + i)
          .square()
          .mul(0.5)
          .add(noise.mul(p))
          .sum();
      });
      return parts.reduce((a, b) => a.add(b));
    });
}

describe('optimizers: groups', () => {
  const [a, b] = [[1, 2], [3]];
  const take = (optimizer: optim.Optimizer, ps: Tensor[], n = 3): number[][] => {
    for (let t = 0; t < n; ++t) {
      for (const p of ps) p.grad = p.mul(0.5).detach();
      optimizer.step();
    }
    return ps.map(values);
  };

  it('each group steps by its own options, as an optimizer of its own would', () => {
    for (const [name, options] of ALL.filter(([n]) => n !== 'VSGD')) {
      const [p, q, r, s] = [f64(a), f64(b), f64(a), f64(b)];
      const own = { ...options, learningRate: 0.3 };
      const both = make1(name, [{ parameters: [p] }, { parameters: [q], learningRate: 0.3 }], {
        ...options,
        learningRate: 0.01,
      });
      const apart = [make1(name, [r], { ...options, learningRate: 0.01 }), make1(name, [s], own)];
      const wanted = [take(apart[0]!, [r])[0], take(apart[1]!, [s])[0]];
      expect(take(both, [p, q]), title(name, options)).to.deep.equal(wanted);
      expect(wanted[1]).not.to.deep.equal(b);
    }
  });

  it('options of the optimizer are the groups’ defaults, weightDecay and all', () => {
    const [p, q] = [f64([1]), f64([1])];
    const optimizer = new optim.SGD([{ parameters: [p], weightDecay: 0 }, { parameters: [q] }], {
      learningRate: 0.5,
      weightDecay: 0.2,
    });
    for (const w of [p, q]) w.grad = f64([0], false);
    optimizer.step();
    expect([p.item(), q.item()]).to.deep.equal([1, 0.9]);
    expect(optimizer.groups.map((g) => g.options.weightDecay)).to.deep.equal([0, 0.2]);
  });

  it('addParameterGroup; rates can be set for one group or all', () => {
    const [p, q] = [f64([1]), f64([1])];
    const optimizer = new optim.SGD([p], { learningRate: 0.1 });
    optimizer.addParameterGroup({ parameters: [q], learningRate: (t) => 0.5 / (t + 1) });
    expect(optimizer.parameters).to.deep.equal([p, q]);
    for (let t = 0; t < 2; ++t) {
      p.grad = f64([1], false);
      q.grad = f64([1], false);
      optimizer.step();
    }
    expect(p.item()).to.be.closeTo(0.8, 1e-15);
    expect(q.item()).to.be.closeTo(0.25, 1e-15);
    optimizer.groups[1]!.learningRate = 0.125;
    expect(optimizer.learningRate).to.equal(0.1);
    optimizer.learningRate = 0.25;
    expect(optimizer.groups.map((g) => g.learningRate)).to.deep.equal([0.25, 0.25]);
  });

  it('a parameter without a gradient keeps its own count of steps', () => {
    const [p, q, r] = [f64([1]), f64([1]), f64([1])];
    const [both, alone] = [new optim.Adam([p, q]), new optim.Adam([r])];
    for (let t = 0; t < 4; ++t) {
      p.grad = f64([1], false);
      q.grad = t === 3 ? f64([2], false) : null;
      both.step();
    }
    r.grad = f64([2], false);
    alone.step();
    expect(q.item()).to.equal(r.item());
  });
});

describe('optimizers: state', () => {
  const start = (name: string, options: Options, dtype: tg.DType = 'float32'): optim.Optimizer => {
    const p = make([1, -2, 3, 4, 5, 6], [2, 3], dtype, true);
    const q = make([0.5], [], dtype, true);
    return make1(name, [{ parameters: [p] }, { parameters: [q], learningRate: 0.01 }], options);
  };
  for (const [name, options] of [...ALL, ['FullMatrixAdagrad', {}] as [string, Options]])
    it(`${title(name, options)}: 10 + save + load + 10 = 20 steps, to the bit`, () => {
      const whole = start(name, options);
      walk(whole, 0, 20);
      const first = start(name, options);
      walk(first, 0, 10);
      const { tensors, numbers } = first.stateDict();
      const saved = tg.io.encodeSafetensors(tensors, { metadata: { o: JSON.stringify(numbers) } });
      const { tensors: loaded, metadata } = tg.io.decodeSafetensors(saved);
      const second = start(name, {}); // the options come with the state
      second.parameters.forEach((p, i) => p.copyFrom(first.parameters[i]!));
      second.loadStateDict({
        tensors: loaded,
        numbers: JSON.parse(metadata['o']!) as optim.OptimizerNumbers,
      });
      expect(second.steps).to.equal(10);
      walk(second, 10, 10);
      whole.parameters.forEach((p, i) => {
        expect(bits(second.parameters[i]!).equals(bits(p)), `parameter ${i}`).to.equal(true);
        expect(bits(first.parameters[i]!).equals(bits(p)), 'it moved on').to.equal(false);
      });
    });

  it('what does not fit is refused, and nothing is changed', () => {
    const good = start('Adam', {});
    walk(good, 0, 3);
    const state = good.stateDict();
    const target = start('Adam', { learningRate: 0.5 });
    walk(target, 0, 2);
    const before = JSON.stringify(target.stateDict().numbers);
    const arrays = Object.values(target.stateDict().tensors).map(bits);
    const bad: [string, object, RegExp | string][] = [
      ['another class', { numbers: { ...state.numbers, optimizer: 'SGD' } }, 'another optimizer'],
      ['steps', { numbers: { ...state.numbers, steps: NaN } }, 'steps'],
      ['counts', { numbers: { ...state.numbers, parameterSteps: [3] } }, 'parameters'],
      ['groups', { numbers: { ...state.numbers, groups: [] } }, 'groups'],
      [
        'an option',
        {
          numbers: {
            ...state.numbers,
            groups: state.numbers.groups.map((g) => ({ ...g, options: { eps: -1 } })),
          },
        },
        'eps',
      ],
      ['a missing array', { tensors: { '0.0': state.tensors['0.0'] } }, '0.1 must be'],
      ['one too many', { tensors: { ...state.tensors, x: tg.ones([1]) } }, 'x is not part'],
      ['a shape', { tensors: { ...state.tensors, '1.1': tg.ones([2]) } }, '1.1 must be float32 []'],
      ['no tensors', { tensors: null }, 'state.tensors'],
    ];
    const { tensors: count } = tg.memory();
    for (const [what, change, message] of bad) {
      const given = { ...state, ...change };
      expect(() => target.loadStateDict(given), what).to.throw(message);
      expect(JSON.stringify(target.stateDict().numbers), what).to.equal(before);
    }
    Object.values(target.stateDict().tensors).forEach((t, i) => {
      expect(bits(t).equals(arrays[i]!)).to.equal(true);
    });
    expect(tg.memory().tensors).to.be.at.most(count + 2 + arrays.length * (bad.length + 1));
  });
});

describe('optimizers: bad input', () => {
  it('throws before anything is written', () => {
    const p = f64([1, 2]);
    p.grad = f64([1, 1], false);
    const group = (more: object): unknown => [{ parameters: [p], ...more }];
    const bad: [unknown, Options, typeof TypeError | typeof RangeError, string][] = [
      [[], {}, RangeError, 'empty'],
      [group({ parameters: [] }), {}, RangeError, 'empty'],
      [[{ learningRate: 1 }], {}, TypeError, 'parameters'],
      [[{ parameters: [p] }, { parameters: [p] }], {}, RangeError, 'twice'],
      [[p, p], {}, RangeError, 'twice'],
      [[p, { parameters: [p] }], {}, TypeError, 'parameter 1'],
      [group({ learningRate: NaN }), {}, RangeError, 'learningRate'],
      [group({ momentun: 1 }), {}, TypeError, 'momentun'],
      [group({ projection: { l2Ball: -1 } }), {}, RangeError, 'l2Ball'],
      [[p], { learningRate: NaN }, RangeError, 'learningRate'],
      [[p], { learningRate: -1 }, RangeError, 'learningRate'],
      [[p], { projection: { l1Ball: -1 } }, RangeError, 'l1Ball'],
      [[p], { projection: { l1Ball: NaN } }, RangeError, 'l1Ball'],
      [[p], { projection: { box: [1, 0] } }, RangeError, 'box'],
      [[p], { projection: { box: [0] } }, TypeError, 'box'],
      [[p], { projection: 'positive' }, TypeError, 'projection'],
      [[p], { projection: { l1Ball: 1, l2Ball: 1 } }, TypeError, 'projection'],
      [[p], { proximal: { l1: -1 } }, RangeError, 'l1'],
      [[p], { proximal: { l2: 1 } }, TypeError, 'l2'],
      [[p], { nesterov: true }, RangeError, 'nesterov'],
      [[p], { rateInVelocity: 1 }, TypeError, 'rateInVelocity'],
    ];
    for (const [parameters, options, type, message] of bad)
      expect(() => make1('SGD', parameters, options), JSON.stringify(options)).to.throw(
        type,
        message,
      );
    const optimizer = new optim.SGD([p], { learningRate: () => NaN });
    expect(() => optimizer.step()).to.throw(RangeError, 'learningRate');
    expect(values(p)).to.deep.equal([1, 2]);
    const q = f64([1]);
    const two = new optim.SGD([{ parameters: [p] }, { parameters: [q], learningRate: () => NaN }]);
    q.grad = f64([1], false);
    expect(() => two.step()).to.throw(RangeError, 'learningRate');
    expect([...values(p), q.item(), two.steps]).to.deep.equal([1, 2, 1, 0]);
    const one = new optim.SGD([p]);
    expect(() => one.addParameterGroup({ parameters: [p] })).to.throw(RangeError, 'twice');
    expect(one.groups.length).to.equal(1);
  });
});

describe('optimizers: float32 kernels', () => {
  it('KINDS names a class for every rule of the schema', () => {
    expect(Object.keys(KINDS)).to.deep.equal(Object.keys(OPTIMIZERS));
  });
  for (const [rule, kinds] of Object.entries(KINDS))
    for (const [name, options] of kinds)
      it(`${rule} (${title(name, options)}) follows float64 over 1000 steps`, () => {
        const n = 37;
        const start = sample(1, n, [-2, 2], 'float32');
        const ps = (['float32', 'float64'] as const).map((d) => make(start, [n], d, true));
        const both = ps.map((p) => make1(name, [p], options));
        for (let t = 0; t < 1000; ++t) {
          const noise = sample(t, n, [-0.5, 0.5], 'float32');
          ps.forEach((p, i) => {
            both[i]!.minimize(() =>
              p
                .square()
                .mul(0.5)
                .add(make(noise, [n], p.dtype).mul(p))
                .sum(),
            );
          });
        }
        const [got, wanted] = ps.map(values);
        got!.forEach((v, i) => {
          const w = wanted![i]!;
          expect(Math.abs(v - w), `element ${i}: ${v} for ${w}`).to.be.below(
            5e-5 * Math.max(1, Math.abs(w)),
          );
        });
        expect(values(ps[1]!)).not.to.deep.equal(start);
      });

  it('the new rules are what their papers write, in float64', () => {
    const rng = generator(5);
    const g = Array.from({ length: 200 }, () => 2 * rng() - 1);
    const run = (optimizer: optim.Optimizer, p: Tensor): number => {
      for (const v of g) {
        p.grad = f64([v], false);
        optimizer.step();
      }
      return p.item();
    };
    for (const nesterov of [false, true]) {
      const p = f64([1]);
      const rate = (t: number): number => 0.1 / (1 + t);
      const options = { momentum: 0.9, nesterov, learningRate: rate, rateInVelocity: true };
      let [w, v] = [1, 0];
      g.forEach((x, t) => {
        v = 0.9 * v - rate(t) * x;
        w += nesterov ? 0.9 * v - rate(t) * x : v;
      });
      expect(run(new optim.SGD([p], options), p)).to.be.closeTo(w, 1e-13);
      const q = f64([1]);
      expect(
        Math.abs(run(new optim.SGD([q], { ...options, rateInVelocity: false }), q) - w),
        'PyTorch’s form differs when η changes',
      ).to.be.above(1e-3);
    }
    for (const centered of [false, true]) {
      const p = f64([1]);
      let [w, r, m, v] = [1, 0, 0, 0];
      for (const x of g) {
        r = 0.99 * r + 0.01 * x * x;
        m = 0.99 * m + 0.01 * x;
        v = 0.8 * v + x / (Math.sqrt(centered ? r - m * m : r) + 1e-8);
        w -= 0.01 * v;
      }
      const options = { momentum: 0.8, centered };
      expect(run(new optim.RMSprop([p], options), p)).to.be.closeTo(w, 1e-10);
    }
  });
});

describe('lectures: optimizers', () => {
  it('D: Adagrad’s rates after g = .1, .2 are η/.1 and η/.2236; after 20, 10 they are η/20 and η/22.36', () => {
    const eta = 0.5;
    for (const [g, rates] of [
      [
        [0.1, 0.2],
        [eta / 0.1, eta / Math.sqrt(0.05)],
      ],
      [
        [20, 10],
        [eta / 20, eta / Math.sqrt(500)],
      ],
    ] as const) {
      const w = f64([0]);
      const optimizer = new optim.Adagrad([w], { learningRate: eta, eps: 0 });
      let before = 0;
      g.forEach((v, t) => {
        w.grad = f64([v], false);
        optimizer.step();
        expect((before - w.item()) / v).to.be.closeTo(rates[t]!, 1e-13 * rates[t]!);
        before = w.item();
      });
    }
    expect(eta / Math.sqrt(0.05)).to.be.closeTo(eta / 0.2236, 1e-3);
    expect(eta / Math.sqrt(500)).to.be.closeTo(eta / 22.36, 1e-5);
  });

  it('E: ten steps of gradient descent on x² from 10', () => {
    for (const [learningRate, wanted] of [
      [0.2, 0.060466],
      [0.05, 3.486784],
      [1.1, 61.917364],
    ] as const) {
      const x = f64([10]);
      const optimizer = new optim.SGD([x], { learningRate });
      for (let t = 0; t < 10; ++t) optimizer.minimize(() => x.square().sum());
      expect(x.item()).to.be.closeTo(wanted, 5e-7);
    }
  });

  it('D, E: both forms of momentum agree for a constant rate', () => {
    const [p, q] = [f64([10]), f64([10])];
    const options = { learningRate: 0.05, momentum: 0.9 };
    const both = [
      new optim.SGD([p], options),
      new optim.SGD([q], { ...options, rateInVelocity: true }),
    ];
    for (let t = 0; t < 50; ++t)
      both.forEach((o) => {
        o.minimize(() => o.parameters[0]!.square().sum());
      });
    expect(p.item()).to.be.closeTo(q.item(), 1e-13);
  });

  it('Goodfellow: δ inside the root divides by √(δ + r)', () => {
    const p = f64([1]);
    const optimizer = new optim.RMSprop([p], {
      learningRate: 0.1,
      decay: 0.9,
      eps: 0.01,
      epsInside: true,
    });
    p.grad = f64([2], false);
    optimizer.step();
    expect(p.item()).to.be.closeTo(1 - (0.1 * 2) / Math.sqrt(0.01 + 0.4), 1e-15);
  });
});
