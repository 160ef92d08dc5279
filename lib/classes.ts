// What losses over classes share: rows of scores, class indices with weights and exceptions, and checks of
// values. No loss is computed here.
import { apply, generate } from './apply.js';
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

/** Class indices, one per row. Tensors, so that a compiled function looks them up in each of its steps. */
export interface Targets {
  /** int32 [n] in 0 … classes - 1; 0 where ignored. */
  readonly ids: Tensor;
  /** float64 [n]: the weight of each example's class, 0 where ignored; null if all are 1. */
  readonly weights: Tensor | null;
  /** bool [n]: false where ignored; null if no index is. */
  readonly kept: Tensor | null;
}

const INT32 = DTYPES.indexOf('int32');
const FLOAT64 = DTYPES.indexOf('float64');

/** @internal Checks class indices, of which there is one per row, and looks their weights up. */
export function readTargets(
  op: string,
  target: unknown,
  { n, classes, single }: Rows,
  options: { weight?: Tensor | null; ignoreIndex?: number } = {},
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
  // On a device the values are left there, and the lookup below checks them without a wait.
  if (!isRecording() && t.device === 'cpu')
    t.dataSync().forEach((c, i) => {
      if (c !== ignoreIndex && (c < 0 || c >= classes))
        throw new RangeError(`${op}: target[${i}] is ${c}, but there are ${classes} classes`);
    });
  const given = apply(OPS.reshape, [t], [1, n]);
  // A number beyond int32 equals no index, but rounded to float32 it might.
  const kept =
    ignoreIndex === undefined || ignoreIndex !== (ignoreIndex | 0)
      ? null
      : apply(OPS.notEqual, [given, generate(OPS.full, [1, 1, INT32, ignoreIndex], t)], null);
  // Looked up in 0 … classes - 1, so that an index out of range is refused where there were no values to check.
  const ids = apply(
    OPS.indexSelect,
    [
      generate(OPS.arange, [classes, INT32, 0, 1], t),
      kept ? apply(OPS.where, [kept, given, 0], null) : given,
    ],
    [0],
  );
  return { ids, weights: weightsOf(ids, kept, weight ?? null), kept };
}

function weightsOf(ids: Tensor, kept: Tensor | null, weight: Tensor | null): Tensor | null {
  if (!weight) return kept && apply(OPS.cast, [kept], [FLOAT64]);
  const own = apply(OPS.indexSelect, [weight, ids], [0]);
  return kept ? apply(OPS.where, [kept, own, 0], null) : own;
}

/** @internal x[i, ids[i]] for each row i of [n, classes]. */
export function pick(op: string, { x, n, classes }: Rows, ids: Tensor): Tensor {
  if (n * classes > 2 ** 31 - 1)
    throw new RangeError(
      `${op}: [${n}, ${classes}] has too many elements, at most 2147483647 are possible`,
    );
  const starts = generate(OPS.arange, [n, INT32, 0, classes], ids);
  const index = apply(OPS.add, [ids, starts], null);
  return apply(OPS.indexSelect, [apply(OPS.reshape, [x], [1, n * classes]), index], [0]);
}

/** @internal A bool [n, classes] that is true at [i, ids[i]]. */
export function oneHot(ids: Tensor, classes: number): Tensor {
  const [n] = shapeOf(ids) as [number];
  const columns = generate(OPS.arange, [classes, INT32, 0, 1], ids);
  return apply(OPS.equal, [apply(OPS.reshape, [ids], [2, n, 1]), columns], null);
}

/** @internal One weight per class, [classes], finite numbers ≥ 0: as float64 and without a gradient. */
export function readWeight(op: string, weight: unknown, classes: number): Tensor | null {
  if (weight === undefined) return null;
  const w = checkTensor(op, 'weight', weight);
  const shape = shapeOf(w);
  if (shape.length !== 1 || shape[0] !== classes)
    throw new RangeError(
      `${op}: weight must have one entry per class, [${classes}], got ${print(shape)}`,
    );
  if (!isRecording())
    w.dataSync().forEach((v, i) => checkNumber(op, `weight[${i}]`, v, { min: 0 }));
  return w.detach().to('float64');
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
