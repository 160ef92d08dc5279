// Derivative rules: for each op, how the gradient of the result becomes the gradients of the inputs
// (vector-Jacobian products). When gradients of gradients are wanted, recording is on and the rules use
// differentiable ops only; else fused kernels where there are some.
import { apply, execute, generate, toDevice } from './apply.js';
import { DEVICES } from './device.js';
import { native, MAILBOX } from './native.js';
import { DTYPES, OPS, type OpSpec } from './schema.gen.js';
import { isGradEnabled, type Node } from './tape.js';
import { handleOf, shapeOf, type Operand, type Tensor } from './tensor.js';
import { RULES } from './vjps.gen.js';

/** The gradients of the inputs of `node` that `needs` asks for; null where there is none. */
export type Vjp = (node: Node, g: Tensor, needs: readonly boolean[]) => (Tensor | null)[];

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);
const list = (values: readonly number[]): number[] => [values.length, ...values];
const reshape = (x: Tensor, shape: readonly number[]): Tensor =>
  apply(OPS.reshape, [x], list(shape));
/** One row per entry of the leading axes. Not -1: a zero elsewhere would leave it undetermined. */
const asRows = (x: Tensor, columns: number): Tensor =>
  reshape(x, [
    shapeOf(x)
      .slice(0, -1)
      .reduce((a, b) => a * b, 1),
    columns,
  ]);
const permute = (x: Tensor, axes: readonly number[]): Tensor => apply(OPS.permute, [x], list(axes));
const broadcastTo = (x: Tensor, shape: readonly number[]): Tensor =>
  apply(OPS.broadcastTo, [x], list(shape));
const sum = (x: Tensor, axes: readonly number[], keepDims: boolean): Tensor =>
  apply(OPS.sum, [x], [...list(axes), keepDims ? 1 : 0]);
const mul = (x: Operand, y: Operand): Tensor => apply(OPS.mul, [x, y], null);
const sub = (x: Operand, y: Operand): Tensor => apply(OPS.sub, [x, y], null);
const transpose = (x: Tensor): Tensor => {
  const axes = shapeOf(x).map((_, i) => i);
  axes.push(...axes.splice(-2).reverse());
  return permute(x, axes);
};
/** Sums a gradient over the axes along which its operand was broadcast. */
const unbroadcast = (g: Tensor, shape: readonly number[]): Tensor =>
  sameShape(shapeOf(g), shape) ? g : apply(OPS.sumTo, [g], list(shape));

function elementwiseGrad(node: Node, g: Tensor, i: number): Tensor {
  const op = node.op;
  const rule = RULES[op.name]![i]!;
  const shape = node.shapes[i]!;
  if (rule.ops > 1 && !isGradEnabled())
    return unbroadcast(
      execute((i === 0 ? op.dxCode : op.dyCode)!, [g, ...node.kept], node.numbers),
      shape,
    );
  const at = (letter: string): Operand => {
    const where = op.keeps!.indexOf(letter);
    return where < 0 ? 0 : node.kept[where]!;
  };
  const result = rule.run(g, at('x'), at('y'), at('z'), node.numbers);
  if (typeof result !== 'number') return unbroadcast(result, shape);
  return generate(OPS.full, [...list(shape), DTYPES.indexOf(g.dtype), result], g);
}
const elementwise: Vjp = (node, g, needs) =>
  needs.map((need, i) => (need ? elementwiseGrad(node, g, i) : null));

/** The axes that a reduction removed, and its result's shape with those axes kept as 1. */
function reduced(node: Node): { axes: number[]; kept: number[]; count: number } {
  const shape = node.shapes[0]!;
  const n = node.numbers[0]!;
  const axes =
    n < 0
      ? shape.map((_, i) => i)
      : node.numbers.slice(1, 1 + n).map((a) => (a < 0 ? a + Math.max(1, shape.length) : a));
  const kept = shape.map((d, i) => (axes.includes(i) ? 1 : d));
  let count = 1;
  for (const a of axes) count *= shape[a] ?? 1;
  return { axes: axes.filter((a) => a < shape.length), kept, count };
}

const sumVjp: Vjp = (node, g) => [broadcastTo(reshape(g, reduced(node).kept), node.shapes[0]!)];

const meanVjp: Vjp = (node, g) => {
  const { kept, count } = reduced(node);
  return [broadcastTo(mul(reshape(g, kept), 1 / count), node.shapes[0]!)];
};

/** Maxima and minima: those who tie share the gradient. */
const extremumVjp: Vjp = (node, g) => {
  const [x, y] = node.kept as [Tensor, Tensor];
  const { axes, kept } = reduced(node);
  const chosen = apply(
    OPS.cast,
    [apply(OPS.equal, [x, reshape(y, kept)], null)],
    [DTYPES.indexOf(g.dtype)],
  );
  const share = apply(OPS.div, [reshape(g, kept), sum(chosen, axes, true)], null);
  return [mul(chosen, share)];
};

const logSumExpVjp: Vjp = (node, g) => {
  const [x, y] = node.kept as [Tensor, Tensor];
  const { kept } = reduced(node);
  return [mul(reshape(g, kept), apply(OPS.exp, [sub(x, reshape(y, kept))], null))];
};

const varianceVjp: Vjp = (node, g) => {
  const x = node.kept[0] as Tensor;
  const { axes, kept, count } = reduced(node);
  const correction = node.numbers[node.numbers.length - 2]!;
  const centred = sub(x, apply(OPS.mean, [x], [...list(axes), 1]));
  return [mul(centred, mul(reshape(g, kept), 2 / (count - correction)))];
};

const softmaxVjp: Vjp = (node, g) => {
  const y = node.kept[0] as Tensor;
  if (!isGradEnabled()) return [execute(OPS.softmaxBackward.code, [g, y], node.numbers)];
  return [mul(y, sub(g, sum(mul(g, y), [node.numbers[0]!], true)))];
};

const logSoftmaxVjp: Vjp = (node, g) => {
  const y = node.kept[0] as Tensor;
  if (!isGradEnabled()) return [execute(OPS.logSoftmaxBackward.code, [g, y], node.numbers)];
  return [sub(g, mul(apply(OPS.exp, [y], null), sum(g, [node.numbers[0]!], true)))];
};

const crossEntropyVjp: Vjp = (node, g, needs) => {
  const [logits, target] = node.kept as [Tensor, Tensor];
  const [n, classes] = node.shapes[0] as [number, number];
  const column = reshape(g, [n, 1]);
  const dTarget = needs[1]
    ? mul(apply(OPS.neg, [apply(OPS.logSoftmax, [logits], [1])], null), column)
    : null;
  if (!needs[0]) return [null, dTarget];
  if (!isGradEnabled())
    return [execute(OPS.crossEntropyBackward.code, [g, logits, target], []), dTarget];
  const p = apply(OPS.softmax, [logits], [1]);
  if (target.dtype !== 'int32')
    return [mul(sub(mul(p, sum(target, [1], true)), target), column), dTarget];
  const ids = generate(OPS.arange, [classes, DTYPES.indexOf('int32'), 0, 1], g);
  const hot = apply(
    OPS.cast,
    [apply(OPS.equal, [reshape(target, [n, 1]), ids], null)],
    [DTYPES.indexOf(g.dtype)],
  );
  return [mul(sub(p, hot), column), dTarget];
};

const matmulVjp: Vjp = (node, g, needs) => {
  let [a, b] = node.kept as [Tensor, Tensor];
  const [shapeA, shapeB] = node.shapes as [readonly number[], readonly number[]];
  // A vector is a row on the left and a column on the right; the gradient gets the axis that it lost.
  if (shapeB.length === 1) {
    b = reshape(b, [shapeB[0]!, 1]);
    g = reshape(g, [...shapeOf(g), 1]);
  }
  if (shapeA.length === 1) {
    a = reshape(a, [1, shapeA[0]!]);
    const s = shapeOf(g);
    g = reshape(g, [...s.slice(0, -1), 1, s[s.length - 1]!]);
  }
  const matmul = (x: Tensor, y: Tensor): Tensor => apply(OPS.matmul, [x, y], null);
  const back = (d: Tensor, shape: readonly number[], wide: readonly number[]): Tensor => {
    const summed = unbroadcast(d, shape.length === 1 ? wide : shape);
    return shape.length === 1 ? reshape(summed, shape) : summed;
  };
  const da = needs[0] ? back(matmul(g, transpose(b)), shapeA, shapeOf(a)) : null;
  let db: Tensor | null = null;
  if (needs[1]) {
    if (shapeOf(b).length === 2 && shapeOf(a).length > 2) {
      // One product over all rows instead of a batch of products that are then summed.
      const [k, n] = shapeOf(b) as [number, number];
      db = back(matmul(transpose(asRows(a, k)), asRows(g, n)), shapeB, [k, n]);
    } else {
      db = back(matmul(transpose(a), g), shapeB, shapeOf(b));
    }
  }
  return [da, db];
};

/** Whether a matrix lies column by column, so that its gradient should, too. */
function columnMajor(w: Tensor): boolean {
  native.describe(handleOf(w));
  return native.mailbox[MAILBOX.strides] === 1 && native.mailbox[MAILBOX.strides + 1]! > 1;
}

const linearVjp: Vjp = (node, g, needs) => {
  const [x, w] = node.kept as [Tensor, Tensor];
  const [out, inner] = node.shapes[1] as [number, number];
  const matmul = (a: Tensor, b: Tensor): Tensor => apply(OPS.matmul, [a, b], null);
  const rows = shapeOf(g).length === 2 ? g : asRows(g, out);
  const dx = needs[0] ? matmul(g, w) : null;
  let dw: Tensor | null = null;
  if (needs[1]) {
    const xs = shapeOf(x).length === 2 ? x : asRows(x, inner);
    if (!isGradEnabled() && columnMajor(w)) {
      const t = matmul(transpose(xs), rows);
      dw = transpose(t);
      t.dispose(); // the view alone owns the memory now
      dw.base = null;
    } else {
      dw = matmul(transpose(rows), xs);
    }
  }
  return [dx, dw, needs[2] ? sum(rows, [0], false) : null];
};

const whereVjp: Vjp = (node, g, needs) => {
  const c = node.kept[0]!;
  return [
    null,
    needs[1] ? unbroadcast(apply(OPS.where, [c, g, 0], null), node.shapes[1]!) : null,
    needs[2] ? unbroadcast(apply(OPS.where, [c, 0, g], null), node.shapes[2]!) : null,
  ];
};

const sliceVjp: Vjp = (node, g) => {
  const shape = node.shapes[0]!;
  const [rawAxis, rawStart, , step] = node.numbers as [number, number, number, number];
  const axis = rawAxis < 0 ? rawAxis + shape.length : rawAxis;
  const size = shape[axis]!;
  const start = rawStart < 0 ? Math.max(0, rawStart + size) : Math.min(rawStart, size);
  const taken = shapeOf(g)[axis]!;
  if (step !== 1) {
    const index = generate(OPS.arange, [taken, DTYPES.indexOf('int32'), start, step], g);
    return [apply(OPS.indexAdd, [g, index], [axis, size])];
  }
  const pairs = shape.flatMap((_, i) => (i === axis ? [start, size - start - taken] : [0, 0]));
  return [apply(OPS.pad, [g], [...list(pairs), 0])];
};

const slice = (x: Tensor, axis: number, start: number, end: number): Tensor =>
  apply(OPS.slice, [x], [axis, start, end, 1]);

const concatVjp: Vjp = (node, g, needs) => {
  const raw = node.numbers[0]!;
  const axis = raw < 0 ? raw + shapeOf(g).length : raw;
  let at = 0;
  return node.shapes.map((shape, i) => {
    const start = at;
    at += shape[axis]!;
    return needs[i] ? slice(g, axis, start, at) : null;
  });
};

const padVjp: Vjp = (node, g) => {
  let result = g;
  node.shapes[0]!.forEach((d, i) => {
    const before = node.numbers[1 + 2 * i]!;
    if (shapeOf(result)[i] !== d) result = slice(result, i, before, before + d);
  });
  return [result];
};

const permuteVjp: Vjp = (node, g) => {
  const n = node.shapes[0]!.length;
  const inverse = new Array<number>(n);
  node.numbers.slice(1).forEach((a, i) => (inverse[a < 0 ? a + n : a] = i));
  return [permute(g, inverse)];
};

const mean = (x: Tensor, axes: readonly number[]): Tensor =>
  apply(OPS.mean, [x], [...list(axes), 1]);
const add = (x: Operand, y: Operand): Tensor => apply(OPS.add, [x, y], null);
const rsqrt = (x: Tensor): Tensor => apply(OPS.rsqrt, [x], null);

// Convolution, its adjoint in x and its adjoint in the weight are one trilinear form Σ g · conv(x, w),
// differentiated by g, x or w: the derivatives of each are the other two. So all orders are covered.
const convolve = (x: Tensor, w: Tensor, p: readonly number[]): Tensor =>
  apply(OPS.convolve2d, [x, w], p.slice(0, 7));
const byInput = (g: Tensor, w: Tensor, p: readonly number[], x: readonly number[]): Tensor =>
  apply(OPS.conv2dInput, [g, w], [...p.slice(0, 7), x[2]!, x[3]!]);
const byWeight = (x: Tensor, g: Tensor, p: readonly number[], w: readonly number[]): Tensor =>
  apply(OPS.conv2dWeight, [x, g], [...p.slice(0, 7), w[2]!, w[3]!]);

const convolutionVjp: Vjp = (node, g, needs) => {
  const [x, w] = node.kept as [Tensor, Tensor];
  const dx = needs[0] ? byInput(g, w, node.numbers, node.shapes[0]!) : null;
  const dw = needs[1] ? byWeight(x, g, node.numbers, node.shapes[1]!) : null;
  return node.op.name === 'convolve2d'
    ? [dx, dw]
    : [dx, dw, needs[2] ? sum(g, [0, 2, 3], false) : null];
};

/** Which x̂ comes from: (x - mean) / √(variance + eps), with differentiable ops. */
function normalised(
  x: Tensor,
  axes: readonly number[],
  eps: number,
): { xHat: Tensor; inv: Tensor } {
  const inv = rsqrt(add(apply(OPS.variance, [x], [...list(axes), 0, 1]), eps));
  return { xHat: mul(sub(x, mean(x, axes)), inv), inv };
}
/** The gradient by x where x̂ was made of x's own moments; g is the one of x̂. */
function throughMoments(g: Tensor, xHat: Tensor, inv: Tensor, axes: readonly number[]): Tensor {
  return mul(inv, sub(sub(g, mean(g, axes)), mul(xHat, mean(mul(g, xHat), axes))));
}
const row = (x: Tensor, i: number): Tensor => slice(x, 0, i, i + 1);

const layerNormVjp: Vjp = (node, g, needs) => {
  const [x, w] = node.kept as [Tensor, Tensor];
  const shape = node.shapes[1]!;
  const first = node.shapes[0]!.length - shape.length;
  const others = Array.from({ length: first }, (_, i) => i);
  if (isGradEnabled()) {
    const axes = shape.map((_, i) => first + i);
    const { xHat, inv } = normalised(x, axes, node.numbers[0]!);
    return [
      needs[0] ? throughMoments(mul(g, w), xHat, inv, axes) : null,
      needs[1] ? sum(mul(g, xHat), others, false) : null,
      needs[2] ? sum(g, others, false) : null,
    ];
  }
  const dx = needs[0] ? execute(OPS.layerNormBackward.code, [g, x, w], node.numbers) : null;
  if (!needs[1]) return [dx, null, needs[2] ? sum(g, others, false) : null];
  const sums = execute(OPS.layerNormSums.code, [g, x], [shape.length, node.numbers[0]!]);
  const grads = [1, 0].map((i) => reshape(row(sums, i), shape));
  return [dx, grads[0]!, needs[2] ? grads[1]! : null];
};

const channelNormVjp: Vjp = (node, g, needs) => {
  const [x, w, moments] = node.kept as [Tensor, Tensor, Tensor];
  const [eps, training] = node.numbers as [number, number];
  const shape = node.shapes[0]!;
  const channels = [shape[1]!];
  const axes = shape.map((_, i) => i).filter((i) => i !== 1);
  const aligned = shape.map((d, i) => (i === 1 ? d : 1));
  if (isGradEnabled()) {
    const gw = mul(g, reshape(w, aligned));
    const own = training ? normalised(x, axes, eps) : null;
    const inv = own?.inv ?? rsqrt(add(reshape(row(moments, 1), aligned), eps));
    const xHat = own?.xHat ?? mul(sub(x, reshape(row(moments, 0), aligned)), inv);
    return [
      needs[0] ? (training ? throughMoments(gw, xHat, inv, axes) : mul(gw, inv)) : null,
      needs[1] ? sum(mul(g, xHat), axes, false) : null,
      needs[2] ? sum(g, axes, false) : null,
      null,
    ];
  }
  if (!needs[1] && !(needs[0] && training)) {
    const scale = needs[0] ? mul(rsqrt(add(row(moments, 1), eps)), w) : null;
    return [
      scale ? mul(g, reshape(scale, aligned)) : null,
      null,
      needs[2] ? sum(g, axes, false) : null,
      null,
    ];
  }
  const sums = execute(OPS.channelNormSums.code, [g, x, moments], [eps]);
  let dx: Tensor | null = null;
  if (needs[0])
    dx = training
      ? execute(OPS.channelNormBackward.code, [g, x, w, moments, sums], [eps])
      : mul(g, reshape(mul(rsqrt(add(row(moments, 1), eps)), w), aligned));
  return [
    dx,
    needs[1] ? reshape(row(sums, 1), channels) : null,
    needs[2] ? reshape(row(sums, 0), channels) : null,
    null,
  ];
};

const STRUCTURED: Readonly<Record<string, Vjp>> = {
  sum: sumVjp,
  mean: meanVjp,
  max: extremumVjp,
  min: extremumVjp,
  logSumExp: logSumExpVjp,
  variance: varianceVjp,
  softmax: softmaxVjp,
  logSoftmax: logSoftmaxVjp,
  crossEntropy: crossEntropyVjp,
  matmul: matmulVjp,
  linear: linearVjp,
  where: whereVjp,
  reshape: (node, g) => [reshape(g, node.shapes[0]!)],
  permute: permuteVjp,
  broadcastTo: (node, g) => [unbroadcast(g, node.shapes[0]!)],
  sumTo: (node, g) => [broadcastTo(g, node.shapes[0]!)],
  slice: sliceVjp,
  concat: concatVjp,
  pad: padVjp,
  indexSelect: (node, g) => {
    const axis = node.numbers[0]!;
    const shape = node.shapes[0]!;
    return [
      apply(
        OPS.indexAdd,
        [g, node.kept[0]!],
        [axis, shape[axis < 0 ? axis + shape.length : axis]!],
      ),
      null,
    ];
  },
  indexAdd: (node, g) => [apply(OPS.indexSelect, [g, node.kept[0]!], [node.numbers[0]!]), null],
  conv2d: convolutionVjp,
  convolve2d: convolutionVjp,
  conv2dInput: (node, g, needs) => {
    const [y, w] = node.kept as [Tensor, Tensor];
    return [
      needs[0] ? convolve(g, w, node.numbers) : null,
      needs[1] ? byWeight(g, y, node.numbers, node.shapes[1]!) : null,
    ];
  },
  conv2dWeight: (node, g, needs) => {
    const [x, y] = node.kept as [Tensor, Tensor];
    return [
      needs[0] ? byInput(y, g, node.numbers, node.shapes[0]!) : null,
      needs[1] ? convolve(x, g, node.numbers) : null,
    ];
  },
  // Which element is the maximum does not change nearby: x has no gradient in the adjoints.
  maxPool2d: (node, g) => [apply(OPS.maxPool2dBackward, [g, node.kept[0]!], node.numbers)],
  maxPool2dBackward: (node, g) => [
    apply(OPS.maxPool2dSelect, [g, node.kept[0]!], node.numbers),
    null,
  ],
  maxPool2dSelect: (node, g) => [
    apply(OPS.maxPool2dBackward, [g, node.kept[0]!], node.numbers),
    null,
  ],
  avgPool2d: (node, g) => [
    apply(OPS.avgPool2dBackward, [g], [...node.numbers, ...node.shapes[0]!.slice(2)]),
  ],
  avgPool2dBackward: (node, g) => [apply(OPS.avgPool2d, [g], node.numbers.slice(0, 6))],
  layerNorm: layerNormVjp,
  channelNorm: channelNormVjp,
  drop: (node, g) => [apply(OPS.drop, [g], node.numbers)],
  cast: (node, g) => [apply(OPS.cast, [g], [node.numbers[1]!])],
  clone: (_node, g) => [g],
  to: (node, g) => [toDevice(g, DEVICES[node.numbers[0]!]!)],
};

/** The rule of an op. */
export function vjpOf(op: OpSpec): Vjp {
  const vjp =
    op.kind === 'unary' || op.kind === 'binary' || op.kind === 'loss'
      ? elementwise
      : STRUCTURED[op.name];
  if (!vjp) throw new Error(`${op.name} has no derivative`);
  return vjp;
}
