// The child process that measures TensorFlow.js: `node tfjs.js wasm '{"work":…,"seconds":…}'`; the same computations,
// data and timing as ours.ts. Written on tfjs-core, below the layers API, which is the faster way: variables,
// `minimize`, `tidy`. The wasm backend picks its SIMD kernels by itself; its threads are for browsers only.
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-layers'; // for what its bundle registers: the gradients of the ops
import type { Work } from '../cases.js';
import { measure, type Measurement } from '../measure.js';

type Run = (n: number) => void;

function elementwise(op: string, shape: number[]): Run {
  const normal = tf.randomNormal(shape);
  const x = op === 'log' ? tf.abs(normal) : normal;
  const apply: Record<string, () => tf.Tensor> = {
    relu: () => tf.relu(x),
    sigmoid: () => tf.sigmoid(x),
    tanh: () => tf.tanh(x),
    exp: () => tf.exp(x),
    log: () => tf.log(x),
    gelu: () => tf.tidy(() => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1))),
    softmax: () => tf.softmax(x, -1),
    sum: () => tf.sum(x),
  };
  const call = apply[op];
  if (!call) throw new Error(`no elementwise op ${op}`);
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
