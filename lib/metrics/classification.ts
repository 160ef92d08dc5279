// Metrics of predicted classes. Predictions come first, targets second, as in losses.
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { readClasses, readMatrix, readPredicted, type Data } from './arrays.js';

/** A matrix of 4,096² counts takes 128 MiB. */
const integer = { min: 1, max: 4096, integer: true };

/**
 * The share of right answers, 0 to 1.
 * @param prediction - classes [n], or scores [n, classes], of which the first largest counts
 * @param target - classes [n], integers ≥ 0
 * @throws TypeError, RangeError
 */
export function accuracy(prediction: Data, target: Data): number {
  const op = 'accuracy';
  const { ids, classes } = readPredicted(op, prediction);
  const y = readClasses(op, 'target', target, ids.length, classes);
  return ids.reduce((right, id, i) => right + Number(id === y[i]), 0) / ids.length;
}

/**
 * The share of examples whose class is among the k best scores. Of equal scores those of later classes count as
 * better, as in scikit-learn.
 * @param prediction - scores [n, classes]
 * @param target - classes [n]
 * @param options - `k`: 5 unless told
 * @throws TypeError, RangeError, also for a k beyond the classes
 */
export function topKAccuracy(prediction: Data, target: Data, options?: { k?: number }): number {
  const op = 'topKAccuracy';
  const { k = 5 } = checkKeys(op, options, ['k']);
  const { values, shape } = readMatrix(op, 'prediction', prediction);
  if (shape.length !== 2)
    throw new RangeError(
      `${op}: prediction must be scores [n, classes], got [${shape.join(', ')}]`,
    );
  const [n, classes] = shape as [number, number];
  const best = checkNumber(op, 'k', k, { min: 1, max: classes, integer: true });
  const y = readClasses(op, 'target', target, n, classes);
  let hits = 0;
  for (let i = 0; i < n; ++i) {
    const row = values.subarray(i * classes, (i + 1) * classes);
    const own = row[y[i]!]!;
    const better = row.reduce((c, v, j) => c + Number(v > own || (v === own && j > y[i]!)), 0);
    hits += Number(better < best);
  }
  return hits / n;
}

/**
 * How often each class was taken for each: entry [i][j] counts examples of class i that were predicted as j.
 * @param prediction - classes [n] or scores [n, classes]
 * @param target - classes [n]
 * @param options - `classes`: how many there are; the columns of scores, or one more than the largest class, unless told
 * @throws TypeError, RangeError
 */
export function confusionMatrix(
  prediction: Data,
  target: Data,
  options?: { classes?: number },
): number[][] {
  return count(
    'confusionMatrix',
    prediction,
    target,
    checkKeys('confusionMatrix', options, ['classes']),
  );
}

function count(
  op: string,
  prediction: unknown,
  target: unknown,
  given: Record<string, unknown>,
): number[][] {
  const { ids, classes: columns } = readPredicted(op, prediction);
  const told = given['classes'];
  const known = told === undefined ? columns : checkNumber(op, 'classes', told, integer);
  const y = readClasses(op, 'target', target, ids.length, known);
  const largest = Math.max(
    ids.reduce((a, b) => Math.max(a, b), 0),
    y.reduce((a, b) => Math.max(a, b), 0),
  );
  if (known !== null && largest >= known)
    throw new RangeError(`${op}: prediction holds class ${largest}, but there are ${known}`);
  const classes = known ?? checkNumber(op, 'the number of classes', largest + 1, integer);
  const matrix = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  ids.forEach((id, i) => ++matrix[y[i]!]![id]!);
  return matrix;
}

/** How the numbers of the classes become one: of `positive` alone, their mean, that weighted by support, or of all counts. */
export type Average = 'binary' | 'macro' | 'weighted' | 'micro';

export interface PrecisionOptions {
  /** 'binary' for up to two classes, else 'macro', unless told. */
  average?: Average;
  /** The class that 'binary' is about: 1 unless told. */
  positive?: number;
  /** What a ratio of 0 / 0 counts as: 0 unless told. */
  zeroDivision?: 0 | 1;
  /** How many classes there are; see {@link confusionMatrix}. */
  classes?: number;
}

/** Precision, recall and F1, one of each. */
export interface Scores {
  /** Right among those predicted: TP / (TP + FP). */
  precision: number;
  /** Found among those there are: TP / (TP + FN). */
  recall: number;
  /** Their harmonic mean, 2 TP / (2 TP + FP + FN). */
  f1: number;
}
/** The scores of one class. */
export interface ClassScores extends Scores {
  /** Examples of this class. */
  support: number;
}

interface Counts {
  readonly right: number;
  readonly predicted: number;
  readonly support: number;
}

function scoresOf({ right, predicted, support }: Counts, zero: number): Scores {
  const ratio = (a: number, b: number): number => (b === 0 ? zero : a / b);
  return {
    precision: ratio(right, predicted),
    recall: ratio(right, support),
    f1: ratio(2 * right, predicted + support),
  };
}

const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
/** Σ weight · score / Σ weight, for each score. */
function meanOf(scores: readonly Scores[], weights: readonly number[]): Scores {
  const sum = total(weights);
  const of = (name: keyof Scores): number =>
    total(scores.map((s, c) => (weights[c]! * s[name]) / sum));
  return { precision: of('precision'), recall: of('recall'), f1: of('f1') };
}

function countsOf(matrix: readonly (readonly number[])[]): Counts[] {
  return matrix.map((row, c) => ({
    right: row[c]!,
    predicted: total(matrix.map((r) => r[c]!)),
    support: total(row),
  }));
}

const OPTIONS = ['average', 'positive', 'zeroDivision', 'classes'] as const;

function readZero(op: string, value: unknown): number {
  if (value === undefined) return 0;
  if (value !== 0 && value !== 1) throw wrongType(op, 'zeroDivision', '0 or 1', value);
  return value;
}

function average(op: string, prediction: unknown, target: unknown, options: unknown): Scores {
  const given = { ...checkKeys(op, options, OPTIONS) };
  const zero = readZero(op, given['zeroDivision']);
  const counts = countsOf(count(op, prediction, target, given));
  const how = given['average'] ?? (counts.length <= 2 ? 'binary' : 'macro');
  if (how === 'binary') {
    if (counts.length > 2)
      throw new RangeError(
        `${op}: average 'binary' is for two classes, there are ${counts.length}; take 'macro', 'weighted' or 'micro'`,
      );
    const positive = checkNumber(op, 'positive', given['positive'] ?? 1, {
      min: 0,
      max: 1,
      integer: true,
    });
    return scoresOf(counts[positive] ?? { right: 0, predicted: 0, support: 0 }, zero);
  }
  if (how === 'micro') {
    const sum = (name: keyof Counts): number => total(counts.map((c) => c[name]));
    return scoresOf(
      { right: sum('right'), predicted: sum('predicted'), support: sum('support') },
      zero,
    );
  }
  if (how !== 'macro' && how !== 'weighted')
    throw wrongType(op, 'average', "'binary', 'macro', 'weighted' or 'micro'", how);
  // Classes that neither occur nor are predicted have nothing to say.
  const present = counts.filter((c) => c.support > 0 || c.predicted > 0);
  return meanOf(
    present.map((c) => scoresOf(c, zero)),
    present.map((c) => (how === 'macro' ? 1 : c.support)),
  );
}

/**
 * Precision, recall, F1 and support of each class, in their order.
 * @param prediction - classes [n] or scores [n, classes]
 * @param target - classes [n]
 * @throws TypeError, RangeError
 */
export function classScores(
  prediction: Data,
  target: Data,
  options?: Pick<PrecisionOptions, 'zeroDivision' | 'classes'>,
): ClassScores[] {
  const op = 'classScores';
  const given = { ...checkKeys(op, options, ['zeroDivision', 'classes']) };
  const zero = readZero(op, given['zeroDivision']);
  return countsOf(count(op, prediction, target, given)).map((c) => ({
    ...scoresOf(c, zero),
    support: c.support,
  }));
}

/** The share of right ones among those predicted to be of a class. @throws TypeError, RangeError */
export const precision = (prediction: Data, target: Data, options?: PrecisionOptions): number =>
  average('precision', prediction, target, options).precision;
/** The share of a class that was found. @throws TypeError, RangeError */
export const recall = (prediction: Data, target: Data, options?: PrecisionOptions): number =>
  average('recall', prediction, target, options).recall;
/** The harmonic mean of precision and recall. @throws TypeError, RangeError */
export const f1 = (prediction: Data, target: Data, options?: PrecisionOptions): number =>
  average('f1', prediction, target, options).f1;
