// How good predictions are, as plain numbers: on tensors or arrays, prediction first, target second.
export type { Data } from './arrays.js';
export {
  accuracy,
  classScores,
  confusionMatrix,
  f1,
  precision,
  recall,
  topKAccuracy,
  type Average,
  type ClassScores,
  type PrecisionOptions,
  type Scores,
} from './classification.js';
export { logLoss, rocAuc } from './probability.js';
export {
  meanAbsoluteError,
  meanSquaredError,
  rSquared,
  rootMeanSquaredError,
} from './regression.js';
