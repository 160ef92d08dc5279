// Networks.
export * from './activations.js';
export { Linear, type LinearOptions } from './linear.js';
export { Module, parameter, type StateDict } from './module.js';
export { Sequential } from './sequential.js';
export * as init from './init.js';
