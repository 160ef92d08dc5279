// Step sizes as pure functions of the step, counted from 0, for `learningRate` of any optimizer. The one that
// remembers, plateau reduction, is in plateau.ts. Knows no tensors and no optimizers.
import { checkNumber, checkNumbers, wrongType, type NumberRange } from './errors.js';

export {
  ReduceOnPlateau,
  reduceOnPlateau,
  type PlateauOptions,
  type PlateauState,
} from './plateau.js';

/** The learning rate at a step, an integer ≥ 0. It remembers nothing: a resumed run gives it its step. */
export type Schedule = (step: number) => number;

const RATE: NumberRange = { min: 0 };
const COUNT: NumberRange = { min: 1, integer: true };
const STEP: NumberRange = { min: 0, integer: true };
const GAMMA: NumberRange = { above: 0 };

const schedule =
  (op: string, rate: Schedule): Schedule =>
  (step) =>
    rate(checkNumber(op, 'step', step, STEP));

/** A schedule, or a number that stands for a constant one. */
function checkSchedule(op: string, argument: string, value: unknown): Schedule {
  if (typeof value === 'function') return value as Schedule;
  const rate = checkNumber(op, argument, value, RATE);
  return () => rate;
}

/**
 * η = base at every step.
 * @throws TypeError, RangeError unless base ≥ 0
 */
export function constant(options: { base: number }): Schedule {
  const { base } = checkNumbers('constant', options, { base: RATE });
  return schedule('constant', () => base);
}

/**
 * η = base / (1 + decay · t): O(1/k), whose sum diverges while that of its squares converges. Robbins & Monro 1951.
 * @param options - `decay`: 1 unless told, which gives base / k with k = 1, 2, …
 * @throws TypeError, RangeError unless base, decay ≥ 0
 */
export function inverse(options: { base: number; decay?: number }): Schedule {
  const { base, decay } = checkNumbers('inverse', options, {
    base: RATE,
    decay: { min: 0, fallback: 1 },
  });
  return schedule('inverse', (t) => base / (1 + decay * t));
}

/**
 * η = base / √(t + 1): the rate of (sub)gradient descent on convex functions. Zinkevich 2003.
 * @throws TypeError, RangeError unless base ≥ 0
 */
export function inverseSqrt(options: { base: number }): Schedule {
  const { base } = checkNumbers('inverseSqrt', options, { base: RATE });
  return schedule('inverseSqrt', (t) => base / Math.sqrt(t + 1));
}

/**
 * η = base · gamma^⌊t / stepSize⌋: cut every stepSize steps. PyTorch's StepLR.
 * @param options - `gamma`: 0.1 unless told
 * @throws TypeError, RangeError unless base ≥ 0, gamma > 0 and stepSize is an integer ≥ 1
 */
export function step(options: { base: number; stepSize: number; gamma?: number }): Schedule {
  const { base, stepSize, gamma } = checkNumbers('step', options, {
    base: RATE,
    stepSize: COUNT,
    gamma: { ...GAMMA, fallback: 0.1 },
  });
  return schedule('step', (t) => base * gamma ** Math.floor(t / stepSize));
}

/**
 * η = base · gamma^(number of milestones ≤ t). PyTorch's MultiStepLR.
 * @param options - `milestones`: integers ≥ 0 that do not fall; one that is there twice counts twice; `gamma`: 0.1
 * unless told
 * @throws TypeError, RangeError for options out of range
 */
export function multiStep(options: {
  base: number;
  milestones: readonly number[];
  gamma?: number;
}): Schedule {
  const { base, gamma } = checkNumbers(
    'multiStep',
    options,
    { base: RATE, gamma: { ...GAMMA, fallback: 0.1 } },
    ['milestones'],
  );
  const given: unknown = options.milestones;
  if (!Array.isArray(given))
    throw wrongType('multiStep', 'milestones', 'an array of integers', given);
  const milestones = Array.from(given, (m: unknown, i) =>
    checkNumber('multiStep', `milestones[${i}]`, m, STEP),
  );
  milestones.forEach((m, i) => {
    if (i > 0 && m < milestones[i - 1]!)
      throw new RangeError(
        `multiStep: milestones must not fall, but ${m} follows ${milestones[i - 1]}`,
      );
  });
  return schedule('multiStep', (t) => base * gamma ** milestones.filter((m) => m <= t).length);
}

/**
 * η = base · gammaᵗ. PyTorch's ExponentialLR.
 * @throws TypeError, RangeError unless base ≥ 0 and gamma > 0
 */
export function exponential(options: { base: number; gamma: number }): Schedule {
  const { base, gamma } = checkNumbers('exponential', options, { base: RATE, gamma: GAMMA });
  return schedule('exponential', (t) => base * gamma ** t);
}

const halfWave = (base: number, minimum: number, t: number, period: number): number =>
  minimum + ((base - minimum) * (1 + Math.cos((Math.PI * t) / period))) / 2;

/**
 * η = minimum + (base - minimum) (1 + cos(πt / steps)) / 2, from base at 0 to minimum at `steps`; beyond it rises
 * again, as PyTorch's CosineAnnealingLR does. Loshchilov & Hutter 2017.
 * @param options - `minimum`: 0 unless told
 * @throws TypeError, RangeError unless base, minimum ≥ 0 and steps is an integer ≥ 1
 */
export function cosine(options: { base: number; steps: number; minimum?: number }): Schedule {
  const { base, steps, minimum } = checkNumbers('cosine', options, {
    base: RATE,
    steps: COUNT,
    minimum: { ...RATE, fallback: 0 },
  });
  return schedule('cosine', (t) => halfWave(base, minimum, t, steps));
}

/** Where step t lies in periods of length p, p·m, p·m², …: [steps into the period, its length]. */
function inPeriod(t: number, period: number, multiplier: number): [number, number] {
  if (multiplier === 1) return [t % period, period];
  let length = period;
  let start = 0;
  while (t >= start + length) {
    start += length;
    length *= multiplier;
  }
  return [t - start, length];
}

/**
 * Cosine from base to minimum over `period` steps, then again from base; each period is `multiplier` times as long
 * as the one before. SGDR, Loshchilov & Hutter 2017; PyTorch's CosineAnnealingWarmRestarts.
 * @param options - `multiplier`: 1 unless told; `minimum`: 0 unless told
 * @throws TypeError, RangeError unless base, minimum ≥ 0, and period and multiplier are integers ≥ 1
 */
export function cosineRestarts(options: {
  base: number;
  period: number;
  multiplier?: number;
  minimum?: number;
}): Schedule {
  const { base, period, multiplier, minimum } = checkNumbers('cosineRestarts', options, {
    base: RATE,
    period: COUNT,
    multiplier: { ...COUNT, fallback: 1 },
    minimum: { ...RATE, fallback: 0 },
  });
  return schedule('cosineRestarts', (t) => {
    const [into, length] = inPeriod(t, period, multiplier);
    return halfWave(base, minimum, into, length);
  });
}

/** startFactor at 0, endFactor from `steps` on, linear in between. */
const ramp = (t: number, startFactor: number, endFactor: number, steps: number): number =>
  t >= steps ? endFactor : startFactor + ((endFactor - startFactor) * t) / steps;

/**
 * η = base · factor, where the factor goes linearly from startFactor at 0 to endFactor at `steps` and stays there.
 * PyTorch's LinearLR; with startFactor 1 and endFactor 0 a linear decay.
 * @param options - `startFactor`: 1/3 unless told; `endFactor`: 1 unless told
 * @throws TypeError, RangeError unless base and the factors are ≥ 0 and steps is an integer ≥ 1
 */
export function linear(options: {
  base: number;
  steps: number;
  startFactor?: number;
  endFactor?: number;
}): Schedule {
  const { base, steps, startFactor, endFactor } = checkNumbers('linear', options, {
    base: RATE,
    steps: COUNT,
    startFactor: { min: 0, fallback: 1 / 3 },
    endFactor: { min: 0, fallback: 1 },
  });
  return schedule('linear', (t) => base * ramp(t, startFactor, endFactor, steps));
}

/**
 * Warm-up (Goyal et al. 2017): for `steps` steps the rate rises linearly from startFactor · after(0) towards
 * after(0); from then on it is after(t - steps).
 * @param after - the schedule to warm up for, or a constant rate
 * @param options - `startFactor`: 1/3 unless told, as in PyTorch's LinearLR
 * @throws TypeError, RangeError unless startFactor ≥ 0 and steps is an integer ≥ 1
 */
export function warmUp(
  after: Schedule | number,
  options: { steps: number; startFactor?: number },
): Schedule {
  const { steps, startFactor } = checkNumbers('warmUp', options, {
    steps: COUNT,
    startFactor: { min: 0, fallback: 1 / 3 },
  });
  const rate = checkSchedule('warmUp', 'after', after);
  return schedule('warmUp', (t) =>
    t < steps ? rate(0) * ramp(t, startFactor, 1, steps) : rate(t - steps),
  );
}

/**
 * The rate for N times the batch: N times as large ('linear', for SGD: Goyal et al. 2017) or √N times
 * ('squareRoot', for Adam: Krizhevsky 2014).
 * @param rate - the schedule, or constant rate, that was tuned for batches of `referenceBatch` examples
 * @param options - `batch`: the size used now; `rule`: 'linear' unless told
 * @throws TypeError, RangeError unless both sizes are integers ≥ 1
 */
export function linearScaling(
  rate: Schedule | number,
  options: { batch: number; referenceBatch: number; rule?: 'linear' | 'squareRoot' },
): Schedule {
  const op = 'linearScaling';
  const { batch, referenceBatch } = checkNumbers(
    op,
    options,
    { batch: COUNT, referenceBatch: COUNT },
    ['rule'],
  );
  const rule: unknown = options.rule ?? 'linear';
  if (rule !== 'linear' && rule !== 'squareRoot')
    throw wrongType(op, 'rule', "'linear' or 'squareRoot'", rule);
  const inner = checkSchedule(op, 'rate', rate);
  const times = batch / referenceBatch;
  const factor = rule === 'linear' ? times : Math.sqrt(times);
  return schedule(op, (t) => factor * inner(t));
}
