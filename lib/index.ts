// tapegrad: what users import.
import './methods.gen.js'; // by name, or methods.d.ts would lose the types of these methods
import './methods.js';

export { backward, gradients, type BackwardOptions } from './backward.js';
export {
  arange,
  eye,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  tensor,
  zeros,
  zerosLike,
  type NestedNumbers,
  type TensorData,
  type TensorOptions,
} from './create.js';
export {
  backtracking,
  classifyCriticalPoint,
  exactLineSearch,
  gradientDescent,
  hessian,
  hvp,
  jacobian,
  lbfgs,
  lipschitz,
  logBarrier,
  newton,
  proximalGradient,
} from './curvature/index.js';
export type * from './curvature/index.js';
export { compile } from './compile/index.js';
export type * from './compile/index.js';
export { fit, loadCheckpoint, saveCheckpoint } from './fit/index.js';
export type * from './fit/index.js';
export {
  cuda,
  getDefaultDevice,
  setDefaultDevice,
  type CudaDevice,
  type CudaDiagnosis,
  type Device,
} from './device.js';
export * as data from './data/index.js';
export { trainTestSplit } from './data/split.js';
export { TapegradError } from './errors.js';
export {
  grad,
  gradientTape,
  valueAndGrad,
  type GradientTape,
  type ScalarFunction,
  type ValueAndGrads,
} from './functional.js';
export * as io from './io/index.js';
export { batchNorm, dropout, embedding, maxout, type BatchNormOptions } from './layers.js';
export * as losses from './losses.js';
export {
  autocast,
  getMatmulPrecision,
  setMatmulPrecision,
  type MatmulPrecision,
  type Precision,
} from './precision.js';
export { isa, memory, numThreads, setNumThreads, type MemoryInfo } from './memory.js';
export * as metrics from './metrics/index.js';
export type { NestedArray } from './methods.js';
export * as nn from './nn/index.js';
export * from './ops.gen.js';
export {
  copyFrom,
  detach,
  flatten,
  gelu,
  pow,
  split,
  squeeze,
  stack,
  to,
  transpose,
  unsqueeze,
} from './ops.js';
export * as optim from './optim/index.js';
export { clipGradNorm, clipGradValue } from './optim/clip.js';
export {
  manualSeed,
  permutation,
  rand,
  randint,
  randn,
  randomState,
  setRandomState,
} from './random.js';
export * as schedules from './schedules.js';
export type { DType } from './schema.gen.js';
export { attach, share, type SharedSource, type SharedTensor, type SharedToken } from './shared.js';
export { isRecording } from './recording.js';
export { enableGrad, isGradEnabled, noGrad } from './tape.js';
export { Tensor, isTensor, keep, tidy } from './tensor.js';
