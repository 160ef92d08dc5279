// What an optimizer tells the native side for one step.
import type { OptimizerSpec } from '../schema.gen.js';

/** A rule of native/schema/optimizers.h and its numbers by name. */
export interface Update {
  readonly spec: OptimizerSpec;
  readonly numbers: Readonly<Record<string, number>>;
}
