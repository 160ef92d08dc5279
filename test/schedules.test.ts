// Step sizes: PyTorch's values (test/golden/schedules.json), formulas at chosen steps, plateau reduction, and
// what is refused.
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { optim, schedules, tensor } from 'tapegrad';

interface ScheduleCase {
  name: string;
  attrs: Record<string, unknown>;
  baseLearningRate: number;
  learningRates: number[];
}
const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/schedules.json', import.meta.url), 'utf8'),
) as ScheduleCase[];
type Maker = (options: Record<string, unknown>) => schedules.Schedule;
const maker = (name: string): Maker => (schedules as unknown as Record<string, Maker>)[name]!;

const close = (got: number, wanted: number, what = ''): void => {
  if (!(Math.abs(got - wanted) <= 1e-12 * Math.abs(wanted)))
    expect.fail(`${what}: ${got}, expected ${wanted}`);
};

describe('golden schedules', () => {
  for (const c of golden)
    it(c.name, () => {
      const rate = maker(c.name.split('/')[0]!)({ base: c.baseLearningRate, ...c.attrs });
      expect(c.learningRates.length).to.be.greaterThan(40);
      c.learningRates.forEach((wanted, t) => {
        close(rate(t), wanted, `step ${t}`);
      });
    });
});

describe('schedules', () => {
  it('follow their formulas', () => {
    close(schedules.step({ base: 0.1, stepSize: 10, gamma: 0.1 })(25), 1e-3);
    close(schedules.constant({ base: 0.3 })(1e6), 0.3);
    const inverse = schedules.inverse({ base: 2 });
    expect([0, 1, 2, 3].map((t) => inverse(t))).to.deep.equal([2, 1, 2 / 3, 0.5]);
    close(schedules.inverse({ base: 2, decay: 0.5 })(6), 0.5);
    const root = schedules.inverseSqrt({ base: 3 });
    expect([0, 3, 8].map((t) => root(t))).to.deep.equal([3, 1.5, 1]);
    close(schedules.cosine({ base: 1e-3, steps: 2000 })(1000), 5e-4);
    expect(schedules.cosine({ base: 1e-3, steps: 2000 })(2000)).to.equal(0);
    close(schedules.cosineRestarts({ base: 1, period: 4, minimum: 0.2 })(6), 0.6);
    close(schedules.linear({ base: 1, steps: 4, startFactor: 1, endFactor: 0 })(3), 0.25);
  });

  it('are pure: any order of steps gives the same rates', () => {
    const rate = schedules.cosineRestarts({ base: 0.1, period: 3, multiplier: 2 });
    const forward = Array.from({ length: 40 }, (_, t) => rate(t));
    expect(Array.from({ length: 40 }, (_, t) => rate(39 - t)).reverse()).to.deep.equal(forward);
    expect([0, 3, 9, 21].map((t) => forward[t])).to.deep.equal([0.1, 0.1, 0.1, 0.1]);
  });

  it('warmUp rises to its schedule and starts that at its own step 0', () => {
    const rate = schedules.warmUp(schedules.exponential({ base: 1, gamma: 0.5 }), {
      steps: 4,
      startFactor: 0.2,
    });
    [0.2, 0.4, 0.6, 0.8, 1, 0.5, 0.25].forEach((wanted, t) => {
      close(rate(t), wanted, `step ${t}`);
    });
    close(schedules.warmUp(0.3, { steps: 2 })(0), 0.1);
    close(schedules.warmUp(0.3, { steps: 2 })(2), 0.3);
  });

  it('linearScaling scales with the batch: N for SGD, √N for Adam', () => {
    close(schedules.linearScaling(0.1, { batch: 1024, referenceBatch: 256 })(7), 0.4);
    close(
      schedules.linearScaling(schedules.inverse({ base: 0.1 }), {
        batch: 1024,
        referenceBatch: 256,
        rule: 'squareRoot',
      })(1),
      0.1,
    );
  });

  it('drive an optimizer: the rate of a step is that of the steps taken before', () => {
    const w = tensor([0], { dtype: 'float64', requiresGrad: true });
    const optimizer = new optim.SGD([w], { learningRate: schedules.inverse({ base: 1 }) });
    for (const wanted of [-1, -1.5, -1.5 - 1 / 3]) {
      w.grad?.dispose();
      w.grad = tensor([1], { dtype: 'float64' });
      optimizer.step();
      close(w.item(), wanted);
    }
    for (const t of [w.grad!, w, optimizer]) t.dispose();
  });

  it('refuse bad options and steps before anything is computed', () => {
    const bad: [() => unknown, string][] = [
      [() => maker('constant')({ base: NaN }), 'constant: base must be a finite number ≥ 0'],
      [() => maker('constant')({ base: -1 }), 'constant: base'],
      [() => maker('constant')(undefined as never), 'constant: options must be an object'],
      [() => maker('step')({ base: 1 }), 'step: stepSize must be an integer ≥ 1, got undefined'],
      [() => maker('step')({ base: 1, stepSize: 0 }), 'step: stepSize'],
      [() => maker('step')({ base: 1, stepSize: 2.5 }), 'step: stepSize'],
      [() => maker('step')({ base: 1, stepSize: 2, gama: 1 }), 'unknown option "gama"'],
      [() => maker('exponential')({ base: 1, gamma: 0 }), 'exponential: gamma'],
      [() => maker('inverse')({ base: 1, decay: -1 }), 'inverse: decay'],
      [() => maker('multiStep')({ base: 1, milestones: 5 }), 'multiStep: milestones must be'],
      [() => maker('multiStep')({ base: 1, milestones: [3, 2] }), 'milestones must not fall'],
      [() => maker('multiStep')({ base: 1, milestones: [0.5] }), 'multiStep: milestones[0]'],
      [() => maker('cosine')({ base: 1, steps: 0 }), 'cosine: steps'],
      [() => maker('cosine')({ base: '1', steps: 9 }), 'cosine: base'],
      [() => maker('cosineRestarts')({ base: 1, period: 2, multiplier: 1.5 }), 'multiplier'],
      [() => maker('linear')({ base: 1, steps: 2, startFactor: -1 }), 'linear: startFactor'],
      [() => schedules.warmUp('x' as never, { steps: 2 }), 'warmUp: after'],
      [() => schedules.warmUp(1, { steps: 0 }), 'warmUp: steps'],
      [() => schedules.linearScaling(1, { batch: 0, referenceBatch: 2 }), 'linearScaling: batch'],
      [
        () => schedules.linearScaling(1, { batch: 1, referenceBatch: 2, rule: 'cube' as never }),
        "linearScaling: rule must be 'linear' or 'squareRoot'",
      ],
      [() => schedules.reduceOnPlateau({ base: 1, factor: 1 }), 'ReduceOnPlateau: factor'],
      [() => schedules.reduceOnPlateau({ base: 1, mode: 'low' as never }), 'mode must be'],
      [
        () => schedules.reduceOnPlateau({ base: 1 }).report('1' as never),
        'metric must be a number',
      ],
    ];
    for (const [call, message] of bad) expect(call).to.throw(Error, message);
    for (const name of ['constant', 'inverse', 'inverseSqrt'])
      for (const t of [-1, 0.5, NaN, Infinity])
        expect(() => maker(name)({ base: 1 })(t)).to.throw(RangeError, `${name}: step`);
  });
});

describe('ReduceOnPlateau', () => {
  /** The rates after each report. */
  const rates = (options: schedules.PlateauOptions, metrics: readonly number[]): number[] => {
    const plateau = schedules.reduceOnPlateau(options);
    return metrics.map((m) => plateau.report(m));
  };

  it('cuts after more than `patience` bad reports, and counts anew', () => {
    expect(
      rates({ base: 1, factor: 0.5, patience: 1 }, [5, 5, 5, 5, 5, 4, 4, 4, NaN, NaN]),
    ).to.deep.equal([1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125, 0.0625]);
  });

  it('counts as better only what passes the threshold, relative or absolute, down or up', () => {
    const options = { base: 1, factor: 0.5, patience: 0, threshold: 0.1 } as const;
    expect(rates(options, [10, 9.5, 8.9, 8.9])).to.deep.equal([1, 0.5, 0.5, 0.25]);
    expect(rates({ ...options, thresholdMode: 'absolute' }, [10, 9.95, 9.8])).to.deep.equal([
      1, 0.5, 0.5,
    ]);
    expect(rates({ ...options, mode: 'max' }, [10, 10.9, 11.1])).to.deep.equal([1, 0.5, 0.5]);
    expect(
      rates({ ...options, mode: 'max', thresholdMode: 'absolute' }, [10, 10.05, 10.2]),
    ).to.deep.equal([1, 0.5, 0.5]);
  });

  it('rests for `cooldown` reports after a cut, and stops at `minimum` and `eps`', () => {
    expect(
      rates({ base: 1, factor: 0.5, patience: 0, cooldown: 2 }, [1, 1, 1, 1, 1, 1]),
    ).to.deep.equal([1, 0.5, 0.5, 0.5, 0.25, 0.25]);
    expect(rates({ base: 1, factor: 0.1, patience: 0, minimum: 0.05 }, [1, 1, 1, 1])).to.deep.equal(
      [1, 0.1, 0.05, 0.05],
    );
    expect(rates({ base: 1, factor: 0.5, patience: 0, eps: 0.3 }, [1, 1, 1])).to.deep.equal([
      1, 0.5, 0.5,
    ]);
  });

  it('resumes from its state, and refuses what is none', () => {
    const options = { base: 1, factor: 0.5, patience: 2 } as const;
    const first = new schedules.ReduceOnPlateau(options);
    for (const m of [3, 3, 3]) first.report(m);
    const second = new schedules.ReduceOnPlateau(options);
    second.loadStateDict(first.stateDict());
    expect(second.stateDict()).to.deep.equal({
      learningRate: 1,
      best: 3,
      badReports: 2,
      cooldownLeft: 0,
    });
    expect(second.report(3)).to.equal(0.5);
    for (const wrong of [{ learningRate: NaN }, { best: NaN }, { badReports: -1 }, { extra: 1 }])
      expect(() => {
        second.loadStateDict({ ...first.stateDict(), ...wrong });
      }).to.throw(Error, 'ReduceOnPlateau.loadStateDict');
    expect(second.learningRate).to.equal(0.5);
  });

  it('drives an optimizer', () => {
    const w = tensor([0], { dtype: 'float64', requiresGrad: true });
    const plateau = schedules.reduceOnPlateau({ base: 1, factor: 0.5, patience: 0 });
    const optimizer = new optim.SGD([w], { learningRate: plateau.schedule });
    for (const wanted of [-1, -2, -2.5]) {
      w.grad?.dispose();
      w.grad = tensor([1], { dtype: 'float64' });
      optimizer.step();
      expect(w.item()).to.equal(wanted);
      plateau.report(7);
    }
    for (const t of [w.grad!, w, optimizer]) t.dispose();
  });
});
