// The child process that measures TensorFlow.js: `node tfjs.js wasm '{"work":…,"seconds":…}'`; the same computations,
// data and timing as ours.ts. Written on tfjs-core, below the layers API, which is the faster way: variables,
// `minimize`, `tidy`. The wasm backend picks its SIMD kernels by itself; its threads are for browsers only.
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-layers'; // for what its bundle registers: the gradients of the ops
import type { ElementwiseOp, Work } from '../cases.js';
import { measure, type Measurement } from '../measure.js';

type Run = (n: number) => void;

function elementwise(op: ElementwiseOp, shape: number[]): Run {
  const normal = tf.randomNormal(shape);
  const x = op.startsWith('log') && shape.length === 1 ? tf.abs(normal) : normal;
  const last = shape.at(-1)!;
  const y = tf.randomNormal(shape);
  const row = tf.randomNormal([last]);
  const labels = () =>
    tf.oneHot(tf.randomUniform([shape[0]!], 0, last, 'int32'), last) as tf.Tensor2D;
  const targets = op === 'crossEntropy' ? labels() : null;
  const apply: Record<ElementwiseOp, () => tf.Tensor> = {
    relu: () => tf.relu(x),
    sigmoid: () => tf.sigmoid(x),
    tanh: () => tf.tanh(x),
    exp: () => tf.exp(x),
    expm1: () => tf.expm1(x),
    log: () => tf.log(x),
    log1p: () => tf.log1p(x),
    erf: () => tf.erf(x),
    sin: () => tf.sin(x),
    cos: () => tf.cos(x),
    gelu: () => tf.tidy(() => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1))),
    add: () => tf.add(x, y),
    mul: () => tf.mul(x, y),
    addNumber: () => tf.add(x, 2),
    addRow: () => tf.add(x, row),
    sum: () => tf.sum(x),
    sum0: () => tf.sum(x, 0),
    sum1: () => tf.sum(x, 1),
    mean: () => tf.mean(x),
    mean0: () => tf.mean(x, 0),
    max: () => tf.max(x),
    max0: () => tf.max(x, 0),
    max1: () => tf.max(x, 1),
    softmax: () => tf.softmax(x, -1),
    // Its softmax and log-softmax work along the last axis only.
    softmax0: () => tf.tidy(() => tf.transpose(tf.softmax(tf.transpose(x), -1))),
    logSoftmax: () => tf.logSoftmax(x, -1),
    crossEntropy: () => tf.losses.softmaxCrossEntropy(targets!, x),
    layerNorm: () =>
      tf.tidy(() => {
        const { mean, variance } = tf.moments(x, -1, true);
        return tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5))), row);
      }),
  };
  const call = apply[op];
  return (n) => {
    for (let i = 0; i < n; ++i) call().dispose();
  };
}

const weights = (shape: number[], inputs: number) => ({
  w: tf.variable(tf.randomUniform(shape, -1 / Math.sqrt(inputs), 1 / Math.sqrt(inputs))),
  b: tf.variable(tf.zeros([shape.at(-1)!])),
});

/** Steps of Adam on the cross-entropy of `forward` and random labels. */
function train(batch: number, classes: number, forward: () => tf.Tensor2D): Run {
  const labels = tf.oneHot(tf.randomUniform([batch], 0, classes, 'int32'), classes);
  // So small that weights and gradients stay ordinary numbers however often the batch is seen.
  const optimizer = tf.train.adam(1e-6);
  const loss = (): tf.Scalar => tf.losses.softmaxCrossEntropy(labels, forward());
  return (n) => {
    for (let i = 0; i < n; ++i) optimizer.minimize(loss);
  };
}

type Dense = ReturnType<typeof weights>;
const dense = (x: tf.Tensor, { w, b }: Dense) =>
  tf.add(tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D), b);

function step(sizes: number[], batch: number): Run {
  const layers = sizes.slice(1).map((out, i) => weights([sizes[i]!, out], sizes[i]!));
  const x = tf.randomNormal([batch, sizes[0]!]);
  return train(batch, sizes.at(-1)!, () => {
    let h: tf.Tensor = x;
    for (const [i, layer] of layers.entries()) h = dense(i === 0 ? h : tf.relu(h), layer);
    return h as tf.Tensor2D;
  });
}

function build(work: Work): Run {
  switch (work.kind) {
    case 'elementwise':
      return elementwise(work.op, work.shape);
    case 'step':
      return step(work.sizes, work.batch);
    default:
      throw new Error(`no ${work.kind} here`);
  }
}

const [backend = '', text = ''] = process.argv.slice(2);
const { work, seconds } = JSON.parse(text) as { work: Work; seconds: number };
console.warn = () => {}; // it advertises tfjs-node at each start
if (!(await tf.setBackend(backend))) throw new Error(`the ${backend} backend does not start`);
const simd = backend === 'wasm' && (await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'));
const result: Measurement = {
  ...(await measure(build(work), seconds)),
  library: `TensorFlow.js ${tf.version_core} ${backend}`,
  isa: backend === 'cpu' ? 'JavaScript' : simd ? 'wasm SIMD' : 'wasm',
  threads: 1,
};
console.log(JSON.stringify(result));
