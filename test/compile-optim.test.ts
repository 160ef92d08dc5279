// Optimizers inside a compiled function: after several steps parameters, state arrays and counts have the bits that
// eager steps give, whatever the schedule, and a compiled step continues an eager one.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { losses, optim, schedules, type Tensor } from 'tapegrad';
import { batch, expectSame, stateOf, type World } from './compile/tools.js';

type Make = (parameters: Tensor[]) => optim.Optimizer;
const parametersOf = (dtype: 'float32' | 'float64'): Tensor[] =>
  [batch(1, [4, 3], dtype), batch(2, [3], dtype)].map((t) => {
    t.requiresGrad = true;
    return t;
  });

/** Linear regression with something between the gradients and the step. */
function regression(
  make: Make,
  between: (parameters: Tensor[]) => void = () => undefined,
  dtype: 'float32' | 'float64' = 'float32',
): World {
  const parameters = parametersOf(dtype);
  const [w, b] = parameters as [Tensor, Tensor];
  const optimizer = make(parameters);
  return {
    fn: (x: Tensor, y: Tensor) => {
      optimizer.zeroGrad();
      const loss = losses.meanSquaredError(x.matmul(w).add(b), y);
      loss.backward();
      between(parameters);
      optimizer.step();
      return loss;
    },
    args: (k) => [batch(10 + k, [5, 4], dtype), batch(20 + k, [5, 3], dtype)],
    state: () => stateOf(parameters, optimizer),
    counts: () => ({
      steps: optimizer.steps,
      rate: optimizer.learningRate,
      numbers: optimizer.stateDict().numbers,
    }),
  };
}

const decay = { learningRate: 0.05, weightDecay: 0.01 };
const OPTIMIZERS: Readonly<Record<string, Make>> = {
  SGD: (p) => new optim.SGD(p, { learningRate: 0.1 }),
  'SGD with momentum': (p) => new optim.SGD(p, { ...decay, momentum: 0.9, nesterov: true }),
  'SGD with dampening': (p) => new optim.SGD(p, { ...decay, momentum: 0.9, dampening: 0.5 }),
  Adagrad: (p) => new optim.Adagrad(p, decay),
  RMSprop: (p) => new optim.RMSprop(p, decay),
  Adadelta: (p) => new optim.Adadelta(p, decay),
  Adam: (p) => new optim.Adam(p, decay),
  'Adam with amsgrad': (p) => new optim.Adam(p, { ...decay, amsgrad: true }),
  AdamW: (p) => new optim.AdamW(p, decay),
  Adamax: (p) => new optim.Adamax(p, decay),
  Nadam: (p) => new optim.Nadam(p, decay),
  RAdam: (p) => new optim.RAdam(p, decay),
};
/** Their steps are computed in JavaScript, from values. */
const EAGER_ONLY = ['AdaSecant', 'FullMatrixAdagrad', 'SVRG', 'VSGD', 'Optimizer'];

describe('compiled optimizers', function () {
  this.timeout(600_000);

  it('are all here', () => {
    const tried = new Set(Object.keys(OPTIMIZERS).map((name) => name.split(' ')[0]));
    const missing = Object.keys(optim).filter(
      (name) => /^[A-Z]/.test(name) && !tried.has(name) && !EAGER_ONLY.includes(name),
    );
    expect(missing).to.deep.equal([]);
  });

  for (const [name, make] of Object.entries(OPTIMIZERS))
    for (const dtype of ['float32', 'float64'] as const)
      it(`${name} ${dtype}`, () =>
        expectSame(() => regression(make, undefined, dtype), { calls: 7, what: name }));

  for (const type of [optim.FullMatrixAdagrad, optim.AdaSecant])
    it(`${type.name} needs values: that is said, and everything stays as it was`, () => {
      const world = regression((p) => new type(p));
      const before = world.counts!();
      const step = tg.compile(world.fn);
      expect(() => step.runSync(...(world.args(0) as never[])))
        .to.throw(/compiled/)
        .with.property('code', 'TG_TRACE');
      expect(world.counts!()).to.deep.equal(before);
    });

  const rate = { base: 0.1 };
  const SCHEDULES = {
    inverse: schedules.inverse({ ...rate }),
    cosine: schedules.cosine({ ...rate, steps: 6 }),
    'warm-up': schedules.warmUp(schedules.multiStep({ ...rate, milestones: [4, 5] }), { steps: 3 }),
    'a function': (t: number) => 0.1 / (1 + t * t),
  };
  for (const [name, learningRate] of Object.entries(SCHEDULES))
    it(`the learning rate follows ${name}`, () =>
      expectSame(() => regression((p) => new optim.Adam(p, { learningRate })), { calls: 7 }));

  it('a learning rate that is set between steps', async () => {
    await expectSame(
      () => {
        let optimizer!: optim.Optimizer;
        const world = regression((p) => (optimizer = new optim.SGD(p, { momentum: 0.9 })));
        return {
          ...world,
          args: (k) => {
            optimizer.learningRate = 0.1 / (k + 1);
            return world.args(k);
          },
        };
      },
      { calls: 4 },
    );
  });

  it('groups with options of their own', () =>
    expectSame(
      () =>
        regression(
          ([w, b]) =>
            new optim.AdamW([
              { parameters: [w!], learningRate: (t: number) => 0.1 / (t + 1), weightDecay: 0.1 },
              { parameters: [b!], learningRate: 0.02 },
            ] as never),
        ),
      { calls: 5 },
    ));

  it('gradients clipped by norm and by value', async () => {
    for (const limit of [0.01, 1000]) {
      await expectSame(() => regression(OPTIMIZERS['Adam']!, (p) => tg.clipGradNorm(p, limit)), {
        calls: 4,
      });
      await expectSame(() => regression(OPTIMIZERS['Adam']!, (p) => tg.clipGradValue(p, limit)), {
        calls: 4,
      });
    }
  });

  const CONSTRAINTS: Readonly<Record<string, object>> = {
    'l2 ball': { projection: { l2Ball: 0.5 } },
    'l1 ball': { projection: { l1Ball: 0.5 } },
    box: { projection: { box: [-0.2, 0.3] } },
    'l1 norm': { proximal: { l1: 0.05 } },
  };
  for (const [name, constraint] of Object.entries(CONSTRAINTS))
    it(`${name}: the same, or refused by name`, async () => {
      for (const make of [
        (p: Tensor[]) =>
          new optim.SGD(p, { learningRate: (t: number) => 0.1 / (t + 1), ...constraint }),
        (p: Tensor[]) => new optim.Adam(p, { learningRate: 0.05, ...constraint }),
      ]) {
        try {
          await expectSame(() => regression(make), { calls: 5, what: name });
        } catch (error) {
          expect((error as { code?: string }).code, String(error)).to.equal('TG_TRACE');
        }
      }
    });

  it('two optimizers in one function', () =>
    expectSame(
      () => {
        const parameters = parametersOf('float32');
        const [w, b] = parameters as [Tensor, Tensor];
        const first = new optim.SGD([w], { learningRate: (t) => 0.1 / (t + 1), momentum: 0.9 });
        const second = new optim.Adam([b], { learningRate: 0.01 });
        return {
          fn: (x: Tensor, y: Tensor) => {
            first.zeroGrad();
            second.zeroGrad();
            const loss = losses.meanSquaredError(x.matmul(w).add(b), y);
            loss.backward();
            first.step();
            second.step();
            return [loss];
          },
          args: (k) => [batch(k, [5, 4]), batch(30 + k, [5, 3])],
          state: () => stateOf(parameters, first, second),
          counts: () => [first.steps, second.steps],
        };
      },
      { calls: 5 },
    ));

  it('two steps of one optimizer in one call', () =>
    expectSame(
      () => {
        const world = regression((p) => new optim.Adam(p, { learningRate: (t) => 0.1 / (t + 1) }));
        const fn = world.fn as (x: Tensor, y: Tensor) => Tensor;
        return { ...world, fn: (x: Tensor, y: Tensor) => [fn(x, y), fn(x, y)] };
      },
      { calls: 4 },
    ));

  it('a parameter that starts late', () =>
    expectSame(
      () => {
        const parameters = parametersOf('float32');
        const [w, b] = parameters as [Tensor, Tensor];
        const optimizer = new optim.Adam(parameters, { learningRate: 0.01 });
        const part = (x: Tensor, y: Tensor): Tensor => {
          const loss = losses.meanSquaredError(x.matmul(w), y);
          optimizer.minimize(loss);
          return loss;
        };
        part(batch(1, [5, 4]), batch(2, [5, 3])); // b has missed this step
        optimizer.zeroGrad();
        return {
          fn: (x: Tensor, y: Tensor) => {
            const loss = losses.meanSquaredError(x.matmul(w).add(b), y);
            optimizer.minimize(loss);
            return loss;
          },
          args: (k) => [batch(k, [5, 4]), batch(30 + k, [5, 3])],
          state: () => stateOf(parameters, optimizer),
          counts: () => optimizer.stateDict().numbers,
        };
      },
      { calls: 4 },
    ));
});
