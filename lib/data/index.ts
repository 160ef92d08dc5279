// Data on its way to training: loaders, samplers, splits, scaling, augmentation.
export {
  randomElastic,
  randomErase,
  randomFlip,
  randomNoise,
  randomRotate,
  randomShift,
  type AugmentOptions,
} from './augment.js';
export type { Part } from './collate.js';
export type { DataLoaderOptions } from './loader-options.js';
export { DataLoader, type LoaderState } from './loader.js';
export type { Numbers } from './numbers.js';
export { oneHot } from './one-hot.js';
export { Pca, type PcaOptions } from './pca.js';
export {
  classBalanced,
  largestErrorFirst,
  random,
  sequential,
  weighted,
  type Sampler,
} from './samplers.js';
export { Standardizer, type StandardizerOptions } from './scaling.js';
export type { BatchOf, Dataset, Example, ExampleOf, Indexable, Stream } from './source.js';
export { trainTestSplit, type Split, type SplitOptions } from './split.js';
export type { Column, Table, TensorsOf, Values } from './table.js';
