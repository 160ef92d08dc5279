// What losses over classes share: rows of scores, class indices with weights and exceptions, and checks of
// values. No loss is computed here.
import { apply } from './apply.js';
import { fromData } from './create.js';
import { checkNumber, wrongType } from './errors.js';
import { isRecording } from './recording.js';
import { DTYPES, OPS } from './schema.gen.js';
import { noGrad } from './tape.js';
import { checkTensor, isTensor, shapeOf, tidy, type Tensor } from './tensor.js';

const print = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/** Scores with one example in each row. */
export interface Rows {
  readonly x: Tensor;
  readonly n: number;
  readonly classes: number;
  /** Whether the caller gave a single example, [classes]; its unreduced loss is then a scalar. */
  readonly single: boolean;
}

/** @internal [n, classes], or [classes] for one example, as rows. */
export function asRows(op: string, x: Tensor, what: string): Rows {
  const shape = shapeOf(x);
  if (shape.length !== 1 && shape.length !== 2)
    throw new RangeError(`${op}: ${what} must be [n, classes] or [classes], got ${print(shape)}`);
  const classes = shape[shape.length - 1]!;
  const n = shape.length === 2 ? shape[0]! : 1;
  const single = shape.length === 1;
  return { x: single ? apply(OPS.reshape, [x], [2, 1, classes]) : x, n, classes, single };
}

/** @internal One loss per row, in the shape that the caller's examples have. */
export const unrow = (rows: Tensor, { single }: Rows): Tensor =>
  single ? apply(OPS.reshape, [rows], [0]) : rows;

/** Class indices that were checked. */
export interface Targets {
  /** In 0 … classes - 1; 0 where ignored. */
  readonly ids: Int32Array;
  /** The weight of each example's class, 0 where ignored; null if all are 1. */
  readonly weights: Float64Array | null;
  readonly ignored: boolean;
}

/** @internal Reads class indices, of which there is one per row, and looks their weights up. */
export function readTargets(
  op: string,
  target: unknown,
  { n, classes, single }: Rows,
  options: { weight?: Float64Array | null; ignoreIndex?: number } = {},
): Targets {
  const t = checkTensor(op, 'target', target);
  if (t.dtype !== 'int32')
    throw new TypeError(`${op}: target must hold class indices as int32, got ${t.dtype}`);
  const wanted = single ? [] : [n];
  const shape = shapeOf(t);
  if (shape.length !== wanted.length || shape.some((d, i) => d !== wanted[i]))
    throw new RangeError(
      `${op}: target must have one class index per row, ${print(wanted)}, got ${print(shape)}`,
    );
  const { weight, ignoreIndex } = options;
  const ids = t.dataSync() as Int32Array;
  const weights = weight || ignoreIndex !== undefined ? new Float64Array(ids.length).fill(1) : null;
  let ignored = false;
  ids.forEach((c, i) => {
    if (c === ignoreIndex) {
      ignored = true;
      ids[i] = weights![i] = 0;
    } else if (c < 0 || c >= classes) {
      throw new RangeError(`${op}: target[${i}] is ${c}, but there are ${classes} classes`);
    } else if (weight) {
      weights![i] = weight[c]!;
    }
  });
  return { ids, weights, ignored };
}

/** @internal x[i, ids[i]] for each row i of [n, classes]. */
export function pick(op: string, { x, n, classes }: Rows, ids: Int32Array): Tensor {
  if (n * classes > 2 ** 31 - 1)
    throw new RangeError(
      `${op}: [${n}, ${classes}] has too many elements, at most 2147483647 are possible`,
    );
  const index = fromData(
    ids.map((c, i) => i * classes + c),
    [n],
    'int32',
  );
  return apply(OPS.indexSelect, [apply(OPS.reshape, [x], [1, n * classes]), index], [0]);
}

/** @internal A bool [n, classes] that is true at [i, ids[i]]. */
export function oneHot(ids: Int32Array, classes: number): Tensor {
  const columns = apply(OPS.arange, [], [classes, DTYPES.indexOf('int32'), 0, 1]);
  return apply(OPS.equal, [fromData(ids, [ids.length, 1], 'int32'), columns], null);
}

/** @internal One weight per class: a tensor [classes] of finite numbers ≥ 0, as plain numbers. */
export function readWeight(op: string, weight: unknown, classes: number): Float64Array | null {
  if (weight === undefined) return null;
  const w = checkTensor(op, 'weight', weight);
  const shape = shapeOf(w);
  if (shape.length !== 1 || shape[0] !== classes)
    throw new RangeError(
      `${op}: weight must have one entry per class, [${classes}], got ${print(shape)}`,
    );
  const values = Float64Array.from(w.dataSync());
  values.forEach((v, i) => checkNumber(op, `weight[${i}]`, v, { min: 0 }));
  return values;
}

/** @internal A weight for each entry: it may broadcast to the entries but not beyond them. */
export function weighted(op: string, entries: Tensor, weight: unknown): Tensor {
  if (weight === undefined) return entries;
  const w = checkTensor(op, 'weight', weight);
  const result = apply(OPS.mul, [entries, w], null);
  if (result.size !== entries.size || shapeOf(result).length !== shapeOf(entries).length)
    throw new RangeError(
      `${op}: weight ${print(shapeOf(w))} must broadcast to the entries' shape ${print(shapeOf(entries))}`,
    );
  return result;
}

/** @internal Refuses entries outside [low, high], NaN included; a plain number may be given, too. */
export function checkEntries(
  op: string,
  argument: string,
  value: Tensor | number,
  low: number,
  high: number,
): void {
  const refuse = (found: number): void => {
    if (!(found >= low && found <= high))
      throw new RangeError(
        `${op}: ${argument} must lie in [${low}, ${high === Infinity ? '∞' : high}], got ${found}`,
      );
  };
  if (!isTensor(value)) {
    refuse(value);
    return;
  }
  if (isRecording()) return; // there are no values to look at
  checkTensor(op, argument, value);
  if (value.size === 0 || value.dtype === 'bool') return;
  tidy(() => {
    noGrad(() => {
      refuse(apply(OPS.min, [value], [-1, 0]).item());
      if (high < Infinity) refuse(apply(OPS.max, [value], [-1, 0]).item());
    });
  });
}

/** @internal */
export function checkFlag(op: string, name: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw wrongType(op, name, 'a boolean', value);
  return value;
}
