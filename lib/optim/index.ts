// Optimizers: each step is one fused native call over all parameters of a group.
export {
  Adadelta,
  Adagrad,
  RMSprop,
  type AdadeltaOptions,
  type AdagradOptions,
  type RMSpropOptions,
} from './adagrad.js';
export {
  Adam,
  AdamW,
  Adamax,
  Nadam,
  RAdam,
  type AdamOptions,
  type AmsgradOptions,
  type NadamOptions,
} from './adam.js';
export { AdaSecant, type AdaSecantOptions } from './adasecant.js';
export { FullMatrixAdagrad, type FullMatrixAdagradOptions } from './full-matrix-adagrad.js';
export type { ParameterGroup } from './group.js';
export { Optimizer } from './optimizer.js';
export type { CommonOptions, GroupOptions, LearningRate, ParameterList } from './options.js';
export { project, softThreshold, type Projection, type Proximal } from './projection.js';
export type { Update } from './rule.js';
export { SGD, type SGDOptions } from './sgd.js';
export type { OptimizerNumbers, OptimizerState } from './state.js';
export { SVRG, type SVRGOptions } from './svrg.js';
export { VSGD, type VSGDOptions } from './vsgd.js';
