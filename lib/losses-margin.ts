// Large-margin losses that compare scores with each other: of classes, of structures, of a ranking. The
// elementwise ones (hinge, logistic, …) are lines of the schema.
import { apply } from './apply.js';
import { asRows, oneHot, pick, readTargets, unrow, type Rows } from './classes.js';
import { fromData } from './create.js';
import { checkKeys, checkNumber, wrongType } from './errors.js';
import { checkReduction, prediction, reduce, type Reduction } from './reduction.js';
import { isRecording } from './recording.js';
import { DTYPES, OPS } from './schema.gen.js';
import { checkTensor, isTensor, shapeOf, tidy, type Tensor } from './tensor.js';

const finish = (losses: Tensor, rows: Rows, reduction: Reduction): Tensor =>
  reduction === 'none' ? unrow(losses, rows) : reduce(losses, reduction);
/** f_j - f_y for each class j of each row. */
function gaps(op: string, rows: Rows, ids: Tensor): Tensor {
  const own = apply(OPS.reshape, [pick(op, rows, ids)], [2, rows.n, 1]);
  return apply(OPS.sub, [rows.x, own], null);
}
const sumOverRow = (x: Tensor): Tensor => apply(OPS.sum, [x], [1, 1, 0]);

/**
 * Σ_{j≠y} max(0, f_j - f_y + margin) for each example: the multiclass hinge of Weston & Watkins 1999. (PyTorch's
 * multi_margin_loss is this, divided by the number of classes.)
 * @param scores - [n, classes], or [classes] for one example
 * @param target - class indices int32 [n], or a scalar
 * @param options - `margin`: 1 unless told; `reduction`: 'mean' over examples (default), 'sum' or 'none'
 * @throws TypeError, RangeError for shapes that do not fit or a class index out of range
 */
export function multiclassHinge(
  scores: Tensor,
  target: Tensor,
  options?: { margin?: number; reduction?: Reduction },
): Tensor {
  const op = 'multiclassHinge';
  const given = checkKeys(op, options, ['margin', 'reduction']);
  const reduction = checkReduction(op, given['reduction']);
  const margin = checkNumber(op, 'margin', given['margin'] ?? 1);
  const x = prediction(op, scores);
  return tidy(() => {
    const rows = asRows(op, x, 'scores');
    const { ids } = readTargets(op, target, rows);
    const late = apply(OPS.add, [gaps(op, rows, ids), margin], null);
    const others = apply(
      OPS.where,
      [oneHot(ids, rows.classes), 0, apply(OPS.relu, [late], null)],
      null,
    );
    return finish(sumOverRow(others), rows, reduction);
  });
}

/** Costs Δ(y, j) as a checked tensor [classes, classes] of the scores' dtype. */
function readCost(op: string, name: string, cost: unknown, rows: Rows): Tensor {
  const t = checkTensor(op, name, cost);
  const k = rows.classes;
  const shape = shapeOf(t);
  if (shape.length !== 2 || shape[0] !== k || shape[1] !== k)
    throw new RangeError(
      `${op}: ${name} must have one row and one column per class, [${k}, ${k}], got [${shape.join(', ')}]`,
    );
  if (!isRecording())
    t.dataSync().forEach((v, i) => {
      const [row, column] = [Math.floor(i / k), i % k];
      checkNumber(op, `${name}[${row}, ${column}]`, v, {
        min: 0,
        ...(row === column ? { max: 0 } : {}),
      });
    });
  return t.detach().to(rows.x.dtype);
}

/** max_j Δ(y, j) + f_j - f_y; Δ is 1 off the diagonal where no cost is given. */
function costliest(op: string, rows: Rows, ids: Tensor, cost: Tensor | null): Tensor {
  const dtype = DTYPES.indexOf(rows.x.dtype);
  const delta = cost
    ? apply(OPS.indexSelect, [cost, ids], [0])
    : apply(OPS.sub, [1, apply(OPS.cast, [oneHot(ids, rows.classes)], [dtype])], null);
  return apply(OPS.max, [apply(OPS.add, [gaps(op, rows, ids), delta], null)], [1, 1, 0]);
}

/**
 * max_j Δ(y, j) + f_j - f_y for each example, never negative since Δ(y, y) = 0: the multiclass hinge of Crammer &
 * Singer 2001. Classes that tie share the gradient.
 * @param scores - [n, classes], or [classes] for one example
 * @param target - class indices int32 [n], or a scalar
 * @param options - `cost`: Δ as [classes, classes] with row y, numbers ≥ 0 and a zero diagonal; 1 for every wrong
 * class unless given; `reduction`: 'mean' over examples (default), 'sum' or 'none'
 * @throws TypeError, RangeError for shapes that do not fit, a class index out of range or a bad cost
 */
export function crammerSingerHinge(
  scores: Tensor,
  target: Tensor,
  options?: { cost?: Tensor; reduction?: Reduction },
): Tensor {
  const op = 'crammerSingerHinge';
  const given = checkKeys(op, options, ['cost', 'reduction']);
  const reduction = checkReduction(op, given['reduction']);
  const x = prediction(op, scores);
  return tidy(() => {
    const rows = asRows(op, x, 'scores');
    const cost = given['cost'] === undefined ? null : readCost(op, 'cost', given['cost'], rows);
    const { ids } = readTargets(op, target, rows);
    return finish(costliest(op, rows, ids, cost), rows, reduction);
  });
}

/** Labels of 0 and 1 as -1 and 1, in the dtype of the scores. */
function readLabels(op: string, target: unknown, rows: Rows, x: Tensor): Tensor {
  const t = checkTensor(op, 'target', target);
  if (String(shapeOf(t)) !== String(shapeOf(x)))
    throw new RangeError(
      `${op}: target [${shapeOf(t).join(', ')}] must have the shape of scores [${shapeOf(x).join(', ')}]`,
    );
  if (!isRecording()) {
    const wrong = t.dataSync().find((v) => v !== 0 && v !== 1);
    if (wrong !== undefined)
      throw new RangeError(`${op}: labels must be 0 or 1, target holds ${wrong}`);
  }
  const labels = apply(OPS.reshape, [t.detach().to(x.dtype)], [2, rows.n, rows.classes]);
  return apply(OPS.sub, [apply(OPS.mul, [labels, 2], null), 1], null);
}

/**
 * max_y' Δ(y, y') + F(x, y') - F(x, y) with F = ⟨w, ψ(x, y)⟩: the structured hinge of Tsochantaridis et al. 2005
 * (margin rescaling), maximised exactly.
 * - `distance: 'hamming'`, several labels at once: y in {0, 1}^L, F = Σ_l y_l f_l, Δ the number of labels that
 *   differ. The maximum falls apart into Σ_l max(0, 1 - (2 y_l - 1) f_l), so no enumeration of 2^L is needed.
 * - `distance`: a tensor Δ [classes, classes], row y, or the result of {@link taxonomy}: F = f_y and Δ the tree
 *   distance. For weights on the inner nodes of a taxonomy, give scores.matmul(taxonomy.paths).
 * @param scores - f, [n, L] or [n, classes], or one example without the first axis
 * @param target - labels 0 and 1 in the shape of the scores for 'hamming'; else class indices int32 [n]
 * @param options - `distance`; `reduction`: 'mean' over examples (default), 'sum' or 'none'
 * @throws TypeError, RangeError for shapes that do not fit, a label that is not 0 or 1, a bad class or distance
 */
export function structuredHinge(
  scores: Tensor,
  target: Tensor,
  options: { distance: 'hamming' | Tensor | { distance: Tensor }; reduction?: Reduction },
): Tensor {
  const op = 'structuredHinge';
  const given = checkKeys(op, options, ['distance', 'reduction']);
  const reduction = checkReduction(op, given['reduction']);
  const distance = given['distance'];
  if (distance !== 'hamming' && (typeof distance !== 'object' || distance === null))
    throw wrongType(op, 'distance', "'hamming', a Tensor or a taxonomy", distance);
  const x = prediction(op, scores);
  return tidy(() => {
    const rows = asRows(op, x, 'scores');
    if (distance === 'hamming') {
      const y = readLabels(op, target, rows, x);
      return finish(sumOverRow(apply(OPS.hinge, [rows.x, y], null)), rows, reduction);
    }
    const delta = isTensor(distance) ? distance : (distance as { distance: unknown }).distance;
    const cost = readCost(op, 'distance', delta, rows);
    const { ids } = readTargets(op, target, rows);
    return finish(costliest(op, rows, ids, cost), rows, reduction);
  });
}

/** Numbers [n] of any dtype, one for each score. */
function readColumn(op: string, name: string, value: unknown, n: number): number[] {
  const t = checkTensor(op, name, value);
  const shape = shapeOf(t);
  if (shape.length !== 1 || shape[0] !== n)
    throw new RangeError(
      `${op}: ${name} must have one entry per score, [${n}], got [${shape.join(', ')}]`,
    );
  const values = Array.from(t.dataSync());
  values.forEach((v, i) => checkNumber(op, `${name}[${i}]`, v));
  return values;
}

/** All (better, worse) of the same query, by query, then better, then worse in falling relevance. */
function pairsOf(relevance: readonly number[], query: readonly number[]): [number[], number[]] {
  const order = relevance
    .map((_, i) => i)
    .sort((i, j) => query[i]! - query[j]! || relevance[j]! - relevance[i]! || i - j);
  const [better, worse]: [number[], number[]] = [[], []];
  order.forEach((i, at) => {
    for (let k = at + 1; k < order.length && query[order[k]!] === query[i]; ++k)
      if (relevance[order[k]!]! < relevance[i]!) {
        better.push(i);
        worse.push(order[k]!);
      }
  });
  return [better, worse];
}

/**
 * max(0, margin - (f_better - f_worse)) over all pairs of a query's ranking whose relevance differs: the hinge of
 * the ranking SVM (Herbrich et al. 2000, Joachims 2002). For pairs already formed, see `pairwiseHinge`.
 * @param scores - f, [n]
 * @param relevance - [n], larger is better; equal ones form no pair
 * @param options - `query`: [n] numbers, items of different queries form no pair (one query unless given);
 * `margin`: 1 unless told; `reduction`: 'mean' over pairs (default; 0 if there is none), 'sum', or 'none': one
 * value per pair, by query, then by the better item, each in falling relevance
 * @throws TypeError, RangeError for shapes that do not fit, or a relevance or query that is NaN; TG_TRACE inside
 * `compile`, since the number of pairs depends on values
 */
export function rankingHinge(
  scores: Tensor,
  relevance: Tensor,
  options?: { query?: Tensor; margin?: number; reduction?: Reduction },
): Tensor {
  const op = 'rankingHinge';
  const given = checkKeys(op, options, ['query', 'margin', 'reduction']);
  const reduction = checkReduction(op, given['reduction']);
  const margin = checkNumber(op, 'margin', given['margin'] ?? 1);
  const x = prediction(op, scores);
  const shape = shapeOf(x);
  if (shape.length !== 1)
    throw new RangeError(`${op}: scores must be [n], got [${shape.join(', ')}]`);
  const n = shape[0]!;
  const ranks = readColumn(op, 'relevance', relevance, n);
  const query =
    given['query'] === undefined
      ? new Array<number>(n).fill(0)
      : readColumn(op, 'query', given['query'], n);
  const pairs = pairsOf(ranks, query);
  return tidy(() => {
    const [better, worse] = pairs.map((list) =>
      apply(
        OPS.indexSelect,
        [x, fromData(Int32Array.from(list), [list.length], 'int32', x.device)],
        [0],
      ),
    ) as [Tensor, Tensor];
    const losses = apply(OPS.pairwiseHinge, [better, worse], [margin]);
    return reduce(losses, reduction === 'mean' && pairs[0].length === 0 ? 'sum' : reduction);
  });
}
