// For tests that count tensors: those that other tests dropped must not go in the middle of a count.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { native } from '#lib/native.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Frees all tensors that nobody references any more. */
export function collect(): void {
  collectGarbage();
  native.sweep();
}
