// Losses: functions of (prediction, target, options) to a scalar, or one value per example. Here those of
// probabilities; margins are in losses-margin.ts, what needs no more than a line in the schema is generated.
import { apply } from './apply.js';
import {
  asRows,
  checkEntries,
  checkFlag,
  oneHot,
  pick,
  readTargets,
  readWeight,
  unrow,
  weighted,
  type Rows,
  type Targets,
} from './classes.js';
import { compose } from './compose.js';
import { checkKeys, checkNumber, wrongType } from './errors.js';
import { checkReduction, checkTarget, prediction, reduce, type Reduction } from './reduction.js';
import { DTYPES, OPS } from './schema.gen.js';
import { checkTensor, isTensor, shapeOf, tidy, type Operand, type Tensor } from './tensor.js';

// Of those made twice the ones below are meant: they check values or take more options.
export * from './losses.gen.js';
export * from './losses-margin.js';
export { taxonomy, type Taxonomy } from './taxonomy.js';
export type { Reduction } from './reduction.js';

export interface ClassLossOptions {
  /** 'mean' (over examples, by weight; default), 'sum', or 'none': one value per example. */
  reduction?: Reduction;
  /** One weight ≥ 0 per class, [classes]; 'mean' divides by the sum of the examples' weights. */
  weight?: Tensor;
  /** Examples of this class index count for nothing. Unless given, no index is ignored (PyTorch: -100). */
  ignoreIndex?: number;
}

/** Reduces losses that already carry their weights; what is ignored is 0, even were its loss NaN. */
function reduceExamples(
  losses: Tensor,
  rows: Rows,
  { weights, kept }: Targets,
  reduction: Reduction,
): Tensor {
  const counted = kept ? apply(OPS.where, [kept, losses, 0], null) : losses;
  if (reduction === 'none') return unrow(counted, rows);
  if (reduction === 'sum' || !weights) return reduce(counted, reduction);
  // bfloat16 would keep three digits of the divisor.
  const divisor = apply(OPS.sum, [weights], [-1, 0]).to(
    losses.dtype === 'bfloat16' ? 'float32' : losses.dtype,
  );
  const mean = apply(OPS.div, [apply(OPS.sum, [counted], [-1, 0]), divisor], null);
  return mean.to(losses.dtype);
}

function readOptions(op: string, options: unknown, more: readonly string[] = []) {
  const given = checkKeys(op, options, ['reduction', 'weight', 'ignoreIndex', ...more]);
  const ignoreIndex =
    given['ignoreIndex'] === undefined
      ? undefined
      : checkNumber(op, 'ignoreIndex', given['ignoreIndex'], { integer: true });
  return { given, reduction: checkReduction(op, given['reduction']), ignoreIndex };
}

/** Σ_c t_c (-log softmax(f)_c) for target weights [n, classes] that need not sum to 1. */
const softEntropy = (x: Tensor, t: Tensor): Tensor => apply(OPS.crossEntropy, [x, t], null);
/** (1 - ε) t + ε / classes, times each class's weight. */
function smoothed(t: Tensor, epsilon: number, classes: number, weight: Tensor | null): Tensor {
  const kept = epsilon > 0 ? apply(OPS.mul, [t, 1 - epsilon], null) : t;
  const mixed = epsilon > 0 ? apply(OPS.add, [kept, epsilon / classes], null) : kept;
  return weight ? apply(OPS.mul, [mixed, weight], null) : mixed;
}

function entropyOfIndices(
  rows: Rows,
  target: Tensor,
  weight: Tensor | null,
  ignoreIndex: number | undefined,
  epsilon: number,
  reduction: Reduction,
): Tensor {
  const { x, classes } = rows;
  const targets = readTargets('crossEntropy', target, rows, {
    weight,
    ...(ignoreIndex === undefined ? {} : { ignoreIndex }),
  });
  const { ids, weights } = targets;
  let losses: Tensor;
  if (epsilon > 0) {
    // The smoothed part is weighted by class, so it cannot be had from the loss of the row.
    const hot = apply(OPS.cast, [oneHot(ids, classes)], [DTYPES.indexOf(x.dtype)]);
    losses = softEntropy(x, smoothed(hot, epsilon, classes, weight && weight.to(x.dtype)));
  } else {
    losses = apply(OPS.crossEntropy, [x, ids], null);
    if (weight) losses = apply(OPS.mul, [losses, weights!.to(x.dtype)], null);
  }
  return reduceExamples(losses, rows, targets, reduction);
}

/**
 * Softmax cross-entropy from logits: -Σ t log softmax(f), computed in one pass without overflow. With label
 * smoothing ε the target is (1 - ε) t + ε / classes (Szegedy et al. 2016); weights and smoothing as in PyTorch:
 * an example's loss is -Σ_c w_c t_c log softmax(f)_c, and for class indices 'mean' divides by Σ w of the targets.
 * @param logits - [n, classes], or [classes] for one example
 * @param target - class indices int32 [n] (a scalar for one example), or probabilities of the logits' shape
 * @param options - `reduction`: 'mean' (over examples, default), 'sum' or 'none' ([n]); `weight`: [classes];
 * `ignoreIndex`: a class index that counts for nothing; `labelSmoothing`: ε in [0, 1], 0 unless told
 * @throws TypeError, RangeError for shapes that do not fit, a class index out of range, a negative probability
 * or weight
 */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  options?: ClassLossOptions & { labelSmoothing?: number },
): Tensor {
  const op = 'crossEntropy';
  const { given, reduction, ignoreIndex } = readOptions(op, options, ['labelSmoothing']);
  const epsilon = checkNumber(op, 'labelSmoothing', given['labelSmoothing'] ?? 0, {
    min: 0,
    max: 1,
  });
  let x = prediction(op, logits);
  let t = checkTensor(op, 'target', target);
  if (given['weight'] !== undefined || ignoreIndex !== undefined || epsilon > 0)
    return tidy(() => {
      const rows = asRows(op, x, 'logits');
      const weight = readWeight(op, given['weight'], rows.classes);
      if (t.dtype === 'int32')
        return entropyOfIndices(rows, t, weight, ignoreIndex, epsilon, reduction);
      if (ignoreIndex !== undefined)
        throw new TypeError(`${op}: ignoreIndex needs a target of class indices, int32`);
      checkEntries(op, 'target', t, 0, Infinity);
      if (String(shapeOf(t)) !== String(shapeOf(x)))
        throw new RangeError(
          `${op}: target [${shapeOf(t).join(', ')}] must have the shape of logits [${shapeOf(x).join(', ')}]`,
        );
      const p = apply(OPS.reshape, [t.to(x.dtype)], [2, rows.n, rows.classes]);
      const w = weight && weight.to(x.dtype);
      const losses = softEntropy(rows.x, smoothed(p, epsilon, rows.classes, w));
      return reduction === 'none' ? unrow(losses, rows) : reduce(losses, reduction);
    });
  if (shapeOf(x).length === 1) {
    x = x.reshape([1, -1]);
    t = t.reshape([1, ...shapeOf(t)]);
  }
  if (t.dtype !== 'int32' && t.dtype !== x.dtype) t = t.to(x.dtype);
  const rows = apply(OPS.crossEntropy, [x, t], null);
  const result = reduce(rows, reduction);
  return reduction === 'none' && shapeOf(logits).length === 1 ? result.reshape([]) : result;
}

/**
 * Negative log-likelihood -w_y f_y from log-probabilities f, such as those of logSoftmax. `crossEntropy` does
 * both in one pass.
 * @param logProbabilities - [n, classes], or [classes] for one example
 * @param target - class indices int32 [n], or a scalar
 * @param options - see {@link ClassLossOptions}
 * @throws TypeError, RangeError for shapes that do not fit, a class index out of range, a negative weight
 */
export function nllLoss(
  logProbabilities: Tensor,
  target: Tensor,
  options?: ClassLossOptions,
): Tensor {
  const op = 'nllLoss';
  const { given, reduction, ignoreIndex } = readOptions(op, options);
  const x = prediction(op, logProbabilities);
  return tidy(() => {
    const rows = asRows(op, x, 'the log-probabilities');
    const weight = readWeight(op, given['weight'], rows.classes);
    const targets = readTargets(op, target, rows, {
      weight,
      ...(ignoreIndex === undefined ? {} : { ignoreIndex }),
    });
    const own = apply(OPS.neg, [pick(op, rows, targets.ids)], null);
    const losses = weight ? apply(OPS.mul, [own, targets.weights!.to(own.dtype)], null) : own;
    return reduceExamples(losses, rows, targets, reduction);
  });
}

export interface BinaryLossOptions {
  /** 'mean' (over all entries, default), 'sum' or 'none'. */
  reduction?: Reduction;
  /** Multiplies each entry's loss; broadcasts to the entries. The mean still divides by their number. */
  weight?: Tensor;
}

/**
 * -y log f - (1 - y) log(1 - f) from probabilities f. Logarithms are limited to ≥ -100 and the gradient to
 * (f - y) / max(f (1 - f), 1e-12), as in PyTorch. From logits, `binaryCrossEntropyWithLogits` is more accurate.
 * @param prediction - probabilities in [0, 1]
 * @param target - in [0, 1]; broadcasts with the prediction
 * @throws TypeError, RangeError for operands that do not fit or lie outside [0, 1]
 */
export function binaryCrossEntropy(
  predicted: Tensor,
  target: Tensor | number,
  options?: BinaryLossOptions,
): Tensor {
  const op = 'binaryCrossEntropy';
  const given = checkKeys(op, options, ['reduction', 'weight']);
  const reduction = checkReduction(op, given['reduction']);
  const x = prediction(op, predicted);
  checkTarget(op, target);
  checkEntries(op, 'prediction', x, 0, 1);
  checkEntries(op, 'target', target, 0, 1);
  return tidy(() =>
    reduce(
      weighted(op, apply(OPS.binaryCrossEntropy, [x, target], null), given['weight']),
      reduction,
    ),
  );
}

/**
 * -p y log σ(f) - (1 - y) log(1 - σ(f)) from logits f, without overflow; y in [0, 1] (not checked, as in
 * PyTorch).
 * @param prediction - logits
 * @param target - broadcasts with the prediction
 * @param options - `reduction`, `weight`: see {@link BinaryLossOptions}; `posWeight`: p ≥ 0, which weights
 * positive examples; a number, or a tensor that broadcasts with the target, such as one weight per class
 * @throws TypeError, RangeError for operands that do not fit or a negative posWeight
 */
export function binaryCrossEntropyWithLogits(
  predicted: Tensor,
  target: Tensor | number,
  options?: BinaryLossOptions & { posWeight?: Tensor | number },
): Tensor {
  const op = 'binaryCrossEntropyWithLogits';
  const given = checkKeys(op, options, ['reduction', 'weight', 'posWeight']);
  const reduction = checkReduction(op, given['reduction']);
  const x = prediction(op, predicted);
  const y = checkTarget(op, target);
  const p = given['posWeight'];
  if (p === undefined && given['weight'] === undefined)
    return reduce(apply(OPS.binaryCrossEntropyWithLogits, [x, y], null), reduction);
  if (p !== undefined && typeof p !== 'number' && !isTensor(p))
    throw wrongType(op, 'posWeight', 'a Tensor or a number', p);
  if (p !== undefined) checkEntries(op, 'posWeight', p, 0, Infinity);
  return tidy(() => {
    const entries =
      p === undefined
        ? apply(OPS.binaryCrossEntropyWithLogits, [x, y], null)
        : positivesWeighted(x, y, p);
    return reduce(weighted(op, entries, given['weight']), reduction);
  });
}

/** p y softplus(-f) + (1 - y) softplus(f): no term is negative, so nothing cancels. */
function positivesWeighted(x: Tensor, y: Operand, p: Operand): Tensor {
  const softplus = (t: Tensor): Tensor => apply(OPS.softplus, [t], null);
  const positive = apply(
    OPS.mul,
    [compose(OPS.mul, [y, p]), softplus(apply(OPS.neg, [x], null))],
    null,
  );
  const negative = apply(OPS.mul, [compose(OPS.sub, [1, y]), softplus(x)], null);
  return apply(OPS.add, [positive, negative], null);
}

/**
 * Kullback-Leibler divergence KL(y ‖ p) = Σ y (log y - f) from log-probabilities f = log p; entries where y is 0
 * are 0.
 * @param logProbabilities - such as those of logSoftmax
 * @param target - probabilities y ≥ 0, or their logarithms with `logTarget`; broadcasts with the prediction
 * @param options - `reduction`: 'mean' over all entries (default, as in PyTorch), 'batchMean' (the sum divided by
 * the first size: the divergence in the mathematical sense, per example), 'sum' or 'none'; `logTarget`
 * @throws TypeError, RangeError for operands that do not fit or a negative probability
 */
export function klDivergence(
  logProbabilities: Tensor,
  target: Tensor | number,
  options?: { reduction?: Reduction | 'batchMean'; logTarget?: boolean },
): Tensor {
  const op = 'klDivergence';
  const given = checkKeys(op, options, ['reduction', 'logTarget']);
  const batch = given['reduction'] === 'batchMean';
  const reduction = batch ? 'sum' : checkReduction(op, given['reduction']);
  const logTarget = checkFlag(op, 'logTarget', given['logTarget']);
  const x = prediction(op, logProbabilities);
  const y = checkTarget(op, target);
  if (!logTarget) checkEntries(op, 'target', y, 0, Infinity);
  if (batch && shapeOf(x).length === 0)
    throw new RangeError(`${op}: 'batchMean' needs a prediction of at least 1 dimension`);
  return tidy(() => {
    const entries = logTarget
      ? apply(
          OPS.mul,
          [isTensor(y) ? apply(OPS.exp, [y], null) : Math.exp(y), apply(OPS.sub, [y, x], null)],
          null,
        )
      : apply(OPS.klDivergence, [x, y], null);
    const result = reduce(entries, reduction);
    return batch ? apply(OPS.div, [result, shapeOf(x)[0]!], null) : result;
  });
}
