// Metrics of scores and probabilities: how well they rank, and how well they are calibrated.
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { readClasses, readMatrix, type Data } from './arrays.js';

/** Area under the curve of one class against the rest: Mann & Whitney's statistic, equal scores count half. */
function areaOf(scores: Float64Array, isPositive: (i: number) => boolean): number | null {
  const order = Int32Array.from(scores.keys()).sort((a, b) => scores[a]! - scores[b]!);
  let positives = 0;
  let ranks = 0;
  for (let start = 0, end = 0; start < order.length; start = end) {
    let here = 0;
    while (end < order.length && scores[order[end]!] === scores[order[start]!])
      here += Number(isPositive(order[end++]!));
    positives += here;
    ranks += (here * (start + end + 1)) / 2; // the mean of the ranks start + 1 … end
  }
  const negatives = order.length - positives;
  if (positives === 0 || negatives === 0) return null;
  return (ranks - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/**
 * The area under the receiver operating characteristic: the probability that a positive example has a larger score
 * than a negative one, where equal scores count half.
 * @param prediction - scores [n] of class 1, or [n, classes]: then the mean of each class against the rest
 * @param target - classes [n]; 0 and 1 for scores [n]
 * @param options - `average`: 'macro' (unless told) or 'weighted' by the examples of a class
 * @throws TypeError, RangeError, also if a class, or its rest, does not occur: the area is not defined then
 */
export function rocAuc(
  prediction: Data,
  target: Data,
  options?: { average?: 'macro' | 'weighted' },
): number {
  const op = 'rocAuc';
  const { average = 'macro' } = checkKeys(op, options, ['average']);
  if (average !== 'macro' && average !== 'weighted')
    throw wrongType(op, 'average', "'macro' or 'weighted'", average);
  const { values, shape } = readMatrix(op, 'prediction', prediction);
  const [n, classes = 1] = shape as [number, number?];
  const y = readClasses(op, 'target', target, n, classes === 1 ? 2 : classes);
  const area = (scores: Float64Array, c: number): number => {
    const a = areaOf(scores, (i) => y[i] === c);
    if (a === null)
      throw new RangeError(
        `${op}: the area is not defined: class ${c} is that of ${y.includes(c) ? 'every' : 'no'} example`,
      );
    return a;
  };
  if (classes === 1) return area(values, 1);
  if (classes === 2)
    return area(
      Float64Array.from({ length: n }, (_, i) => values[2 * i + 1]!),
      1,
    );
  let sum = 0;
  for (let c = 0; c < classes; ++c) {
    const column = Float64Array.from({ length: n }, (_, i) => values[i * classes + c]!);
    const share = y.reduce((k, id) => k + Number(id === c), 0) / n;
    sum += area(column, c) * (average === 'macro' ? 1 / classes : share);
  }
  return sum;
}

/** Rows of float32 probabilities add up to 1 within this. */
const TOLERANCE = 1e-4;

/**
 * The mean of -log p of the true class, in nats. Probabilities are limited to [eps, 1 - eps].
 * @param prediction - probabilities [n] of class 1, or [n, classes] with rows that add up to 1
 * @param target - classes [n]; 0 and 1 for probabilities [n]
 * @param options - `eps`: 2⁻⁵² unless told
 * @throws TypeError, RangeError, also for what is no probability
 */
export function logLoss(prediction: Data, target: Data, options?: { eps?: number }): number {
  const op = 'logLoss';
  const given = checkKeys(op, options, ['eps']);
  const eps = checkNumber(op, 'eps', given['eps'] ?? Number.EPSILON, { min: 0, max: 0.5 });
  const { values, shape } = readMatrix(op, 'prediction', prediction);
  const [n, classes = 1] = shape as [number, number?];
  const y = readClasses(op, 'target', target, n, classes === 1 ? 2 : classes);
  const bad = values.findIndex((p) => p < 0 || p > 1);
  if (bad >= 0)
    throw new RangeError(
      `${op}: prediction holds ${values[bad]!}, which is no probability; softmax and sigmoid make them of logits`,
    );
  let sum = 0;
  for (let i = 0; i < n; ++i) {
    const row = values.subarray(i * classes, (i + 1) * classes);
    const whole = row.reduce((a, b) => a + b, 0);
    if (classes > 1 && Math.abs(whole - 1) > TOLERANCE)
      throw new RangeError(
        `${op}: the probabilities of example ${i} add up to ${whole} instead of 1`,
      );
    const p = classes > 1 ? row[y[i]!]! : y[i] === 1 ? row[0]! : 1 - row[0]!;
    sum -= Math.log(Math.min(Math.max(p, eps), 1 - eps));
  }
  return sum / n;
}
