// The references of ops with a shape rule of their own (reductions, op, internal), naive on purpose, and
// for each the examples that the generated tests run. A new op gets its entry in one of the three files.
import type { Structured } from './arrays.js';
import { NEURAL } from './neural.js';
import { REDUCTIONS } from './reductions.js';
import { SHAPED } from './shapes.js';

export const STRUCTURED_REFERENCES: Readonly<Record<string, Structured>> = {
  ...REDUCTIONS,
  ...SHAPED,
  ...NEURAL,
};

/** The reference of a structured op; a new one must get its entry. */
export function structuredReference(name: string): Structured {
  const reference = STRUCTURED_REFERENCES[name];
  if (!reference)
    throw new Error(
      `the op ${name} has no reference: add an entry to test/catalogue/shapes.ts, reductions.ts or neural.ts`,
    );
  return reference;
}
