// Networks.
export * from './activations.js';
export {
  AvgPool2d,
  Conv2d,
  MaxPool2d,
  type Conv2dOptions,
  type Pair,
  type PoolOptions,
} from './convolution.js';
export { Embedding, Maxout } from './embedding.js';
export {
  BatchNorm1d,
  BatchNorm2d,
  Dropout,
  LayerNorm,
  type BatchNormLayerOptions,
} from './normalization.js';
export { Linear, type LinearOptions } from './linear.js';
export { Module, parameter, type StateDict } from './module.js';
export { Sequential } from './sequential.js';
export * as init from './init.js';
