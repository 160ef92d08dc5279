// Training loops, and what they save.
export { fit } from './fit.js';
export { loadCheckpoint, saveCheckpoint, type CheckpointParts } from './checkpoint.js';
export type { EarlyStoppingOptions } from './early-stopping.js';
export type { Metric, Validation, ValidationOptions } from './evaluate.js';
export type { CheckpointOptions, FitOptions, FitReport } from './options.js';
