// Optimizers: each step is one fused native call over all parameters.
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
export { Optimizer, type LearningRate } from './optimizer.js';
export type { Update } from './rule.js';
export { SGD, type SGDOptions } from './sgd.js';
