// Second derivatives, and full-batch minimisers of deterministic functions.
export type { CentralPoint, LogBarrierOptions, LogBarrierResult } from './barrier.js';
export { logBarrier } from './barrier.js';
export { hessian, hvp, jacobian } from './derivatives.js';
export {
  gradientDescent,
  lbfgs,
  type DescentStep,
  type GradientDescentOptions,
  type LbfgsOptions,
} from './descent.js';
export {
  backtracking,
  exactLineSearch,
  type BacktrackingOptions,
  type LineSearchOptions,
  type LineSearchResult,
} from './line-search.js';
export type { Progress, StopOptions } from './monitor.js';
export { newton, type NewtonOptions } from './newton.js';
export type { Like, Minimum, ObjectiveFunction, Point } from './objective.js';
export { proximalGradient, type Penalty, type ProximalGradientOptions } from './proximal.js';
export {
  classifyCriticalPoint,
  lipschitz,
  type CriticalPoint,
  type CriticalPointKind,
} from './spectrum.js';
