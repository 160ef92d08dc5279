// When a minimiser stops, what it tells its caller on the way, and its result. Takes no steps.
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { tidy, type Tensor } from '../tensor.js';
import type { Like, Minimum, Objective, Point, Reason, Slope } from './objective.js';
import { norm, type Vector } from './vectors.js';

export interface Progress<P extends Point = Tensor> {
  /** Steps taken so far. */
  iteration: number;
  /** The point now; freed after the callback unless given to {@link keep}. */
  x: Like<P>;
  value: number;
  gradientNorm: number;
  /** The length of the last step along its direction; 0 before the first. */
  step: number;
}
export interface StopOptions<P extends Point = Tensor> {
  /** Done when ‖∇f‖₂ ≤ tolerance. */
  tolerance?: number;
  /** Done when a step changes f by no more than this · max(1, |f|). Default 0: not asked. */
  valueTolerance?: number;
  maxIterations?: number;
  /** Called before each step and at the end; stops the minimiser by returning false. */
  callback?: (progress: Progress<P>) => unknown;
}
const KNOWN = ['tolerance', 'valueTolerance', 'maxIterations', 'callback'];

/** @internal */
export class Monitor<P extends Point> {
  private readonly tolerance: number;
  private readonly valueTolerance: number;
  private readonly maxIterations: number;
  private readonly callback: ((progress: Progress<P>) => unknown) | undefined;
  /** The options, a copy whose getters have run. */
  readonly given: Readonly<Record<string, unknown>>;
  private before = NaN;

  constructor(
    private readonly objective: Objective,
    options: unknown,
    more: readonly string[],
    defaults: { tolerance: number; maxIterations: number },
  ) {
    const { op } = objective;
    const given = { ...checkKeys(op, options, [...KNOWN, ...more]) };
    const atLeast = (name: string, value: unknown): number =>
      checkNumber(op, name, value, { min: 0 });
    this.tolerance = atLeast('tolerance', given['tolerance'] ?? defaults.tolerance);
    this.valueTolerance = atLeast('valueTolerance', given['valueTolerance'] ?? 0);
    this.maxIterations = checkNumber(
      op,
      'maxIterations',
      given['maxIterations'] ?? defaults.maxIterations,
      { min: 0, integer: true },
    );
    const { callback } = given;
    if (callback !== undefined && typeof callback !== 'function')
      throw wrongType(op, 'callback', 'a function', callback);
    this.callback = callback as typeof this.callback;
    this.given = given;
  }

  /** Whether to stop before step `iteration` (counted from 0), and why. */
  stops(iteration: number, x: Vector, at: Slope, step: number, size?: number): Reason | null {
    const gradientNorm = size ?? norm(at.gradient);
    const change = Math.abs(this.before - at.value);
    this.before = at.value;
    const { callback } = this;
    if (callback) {
      const proceed = tidy(() => {
        const point = this.objective.unpack<P>(x);
        return callback({ iteration, x: point, value: at.value, gradientNorm, step }) !== false;
      });
      if (!proceed) return 'callback';
    }
    if (gradientNorm <= this.tolerance) return 'gradient';
    if (this.valueTolerance > 0 && change <= this.valueTolerance * Math.max(1, Math.abs(at.value)))
      return 'value';
    return iteration >= this.maxIterations ? 'iterations' : null;
  }

  result(reason: Reason, iterations: number, x: Vector, at: Slope, size?: number): Minimum<P> {
    return {
      x: this.objective.unpack<P>(x),
      value: at.value,
      gradientNorm: size ?? norm(at.gradient),
      iterations,
      converged: reason === 'gradient' || reason === 'value',
      reason,
    };
  }
}
