/* eslint-disable @typescript-eslint/unbound-method -- accessors are called with receivers of all kinds */
// Everything that a user can call, found at run time, so that what is added later is covered: functions,
// constructors, and the methods and accessors of every class. Says nothing of what is passed to them.
import * as fs from 'node:fs';
import * as tg from 'tapegrad';

/** Something to call: `template` are arguments that would do, so that hostile ones reach every position. */
export interface Target {
  readonly name: string;
  /** Messages must hold one of these. */
  readonly names: readonly string[];
  readonly isMethod: boolean;
  template(): unknown[];
  receiver(): unknown;
  call(self: unknown, args: readonly unknown[]): unknown;
}

/** Every leaf that a template made since this was emptied: its grad belongs to nobody else. */
export const leaves: tg.Tensor[] = [];
function t(): tg.Tensor {
  const rows = [
    [1, -2, 3],
    [0.5, 0, -1],
  ];
  const leaf = tg.tensor(rows, { requiresGrad: true });
  leaves.push(leaf);
  return leaf;
}
const scalarLoss = (): tg.Tensor => t().square().sum();
const parameters = (): tg.Tensor[] => {
  const p = t();
  p.grad = tg.keep(tg.ones([2, 3]));
  return [p];
};
const byAxis = { axis: 0 };
const labels = (): tg.Tensor => tg.tensor(Int32Array.of(0, 1));
const images = (): tg.Tensor => tg.ones([2, 3, 4]);
const f = (x: unknown): tg.Tensor => (x as tg.Tensor).mul(x as tg.Tensor).sum();

/** Its parameters belong to no tidy. */
const MODEL = new tg.nn.Linear(3, 4);

/** Arguments that do, where two tensors do not. */
const TEMPLATES: Readonly<Record<string, () => unknown[]>> = {
  __proto__: null as never, // names such as toString are asked for
  tensor: () => [[1, 2], {}],
  zeros: () => [[2, 3], {}],
  ones: () => [[2, 3], {}],
  full: () => [[2, 3], 1, {}],
  fullLike: () => [t(), 1, {}],
  zerosLike: () => [t(), {}],
  onesLike: () => [t(), {}],
  arange: () => [0, 5, 1, {}],
  linspace: () => [0, 1, 5, {}],
  eye: () => [2, 3, {}],
  rand: () => [[2, 3], {}],
  randn: () => [[2, 3], {}],
  randint: () => [0, 5, [2], {}],
  permutation: () => [5],
  compile: () => [f, {}],
  manualSeed: () => [1],
  setRandomState: () => [{ seed: 1, stream: 0 }],
  setNumThreads: () => [2],
  backward: () => [scalarLoss(), {}],
  gradients: () => [scalarLoss(), [t()], {}],
  grad: () => [f, {}],
  valueAndGrad: () => [f, {}],
  gradientTape: () => [scalarLoss],
  noGrad: () => [() => 1],
  enableGrad: () => [() => 1],
  tidy: () => [t],
  concat: () => [[t(), t()], byAxis],
  stack: () => [[t(), t()], byAxis],
  split: () => [t(), 1, 0],
  where: () => [tg.tensor([true, false, true]), t(), t()],
  reshape: () => [t(), [3, 2]],
  permute: () => [t(), [1, 0]],
  broadcastTo: () => [t(), [4, 2, 3]],
  indexSelect: () => [t(), tg.tensor(Int32Array.of(0, 1)), byAxis],
  pad: () => [
    t(),
    {
      padding: [
        [1, 1],
        [0, 2],
      ],
    },
  ],
  slice: () => [t(), { axis: 1, start: 0, end: 2 }],
  matmul: () => [t(), tg.ones([3, 2])],
  linear: () => [t(), tg.ones([4, 3]), tg.ones([4])],
  conv2d: () => [tg.ones([1, 2, 4, 4]), tg.ones([3, 2, 2, 2]), tg.ones([3]), {}],
  maxPool2d: () => [tg.ones([1, 2, 4, 4]), { kernelSize: 2 }],
  avgPool2d: () => [tg.ones([1, 2, 4, 4]), { kernelSize: 2 }],
  layerNorm: () => [t(), tg.ones([3]), tg.ones([3]), {}],
  batchNorm: () => [t(), tg.ones([3]), tg.ones([3]), {}],
  embedding: () => [t(), tg.tensor(Int32Array.of(0, 1))],
  dropout: () => [t(), {}],
  maxout: () => [t(), tg.ones([2, 4, 3]), tg.ones([2, 4])],
  to: () => [t(), 'float64'],
  unsqueeze: () => [t(), 0],
  crossEntropy: () => [t(), tg.tensor(Int32Array.of(0, 2)), {}],
  nllLoss: () => [t(), tg.tensor(Int32Array.of(0, 2)), {}],
  multiclassHinge: () => [t(), tg.tensor(Int32Array.of(0, 2)), {}],
  crammerSingerHinge: () => [t(), tg.tensor(Int32Array.of(0, 2)), {}],
  structuredHinge: () => [
    t(),
    tg.tensor([0, 1, 1, 0, 0, 1]).reshape([2, 3]),
    { distance: 'hamming' },
  ],
  rankingHinge: () => [tg.tensor([1, 2, 3]), tg.tensor([0, 2, 1]), {}],
  taxonomy: () => [[-1, 0, 0, 1]],
  inverse: () => [{ base: 1 }],
  inverseSqrt: () => [{ base: 1 }],
  multiStep: () => [{ base: 1, milestones: [2, 3] }],
  cosine: () => [{ base: 1, steps: 9 }],
  cosineRestarts: () => [{ base: 1, period: 9 }],
  warmUp: () => [1, { steps: 9 }],
  linearScaling: () => [1, { batch: 4, referenceBatch: 2 }],
  reduceOnPlateau: () => [{ base: 1 }],
  ReduceOnPlateau: () => [{ base: 1 }],
  report: () => [1],
  clipGradNorm: () => [parameters(), 1, {}],
  clipGradValue: () => [parameters(), 1],
  share: () => [{ w: tg.ones([2]) }],
  attach: () => [tg.share({ w: tg.ones([2]) }), { w: tg.ones([2]) }],
  project: () => [t(), { l2Ball: 1 }, tg.ones([2, 3])],
  softThreshold: () => [t(), 0.1, tg.ones([2, 3])],
  addParameterGroup: () => [{ parameters: parameters(), learningRate: 0.1 }],
  SVRG: () => [new tg.optim.SGD(parameters()), scalarLoss, 2, { innerSteps: 2 }],
  saveSafetensors: () => ['saved.safetensors', { w: t() }, {}],
  loadSafetensors: () => ['saved.safetensors'],
  saveCheckpoint: () => ['saved.checkpoint', { model: MODEL }],
  loadCheckpoint: () => ['saved.checkpoint', { model: MODEL }],
  encodeSafetensors: () => [{ w: t() }, {}],
  decodeSafetensors: () => [tg.io.encodeSafetensors({ w: t() })],
  Linear: () => [3, 4, {}],
  Conv2d: () => [2, 3, 2, {}],
  MaxPool2d: () => [2, {}],
  AvgPool2d: () => [2, {}],
  BatchNorm1d: () => [3, {}],
  BatchNorm2d: () => [3, {}],
  LayerNorm: () => [3, {}],
  Embedding: () => [5, 3, {}],
  Dropout: () => [0.5],
  Maxout: () => [3, 4, 2, {}],
  Sequential: () => [new tg.nn.ReLU(), new tg.nn.Tanh()],
  SGD: () => [parameters(), {}],
  Adam: () => [parameters(), {}],
  AdamW: () => [parameters(), {}],
  constant: () => [[2, 3], 1, {}],
  normal: () => [[2, 3], 0.1, {}],
  glorotUniform: () => [[2, 3], 1, {}],
  glorotNormal: () => [[2, 3], 1, {}],
  heUniform: () => [[2, 3], {}],
  heNormal: () => [[2, 3], {}],
  calibratedUniform: () => [[2, 3], 3, {}],
  loadStateDict: () => [{ weight: tg.ones([4, 3]), bias: tg.ones([4]) }, {}],
  jacobian: () => [f, t()],
  hessian: () => [f, t()],
  hvp: () => [f, t(), t()],
  newton: () => [f, t(), {}],
  lbfgs: () => [f, t(), {}],
  gradientDescent: () => [f, t(), {}],
  proximalGradient: () => [f, t(), { penalty: { l1: 1 } }],
  backtracking: () => [f, t(), {}],
  exactLineSearch: () => [f, t(), {}],
  lipschitz: () => [f, t(), {}],
  classifyCriticalPoint: () => [f, tg.zeros([2, 3]), {}],
  logBarrier: () => [f, tg.tensor([[1], [-1]]), tg.ones([2]), {}],
  minimize: () => [scalarLoss()],
  DataLoader: () => [{ x: t(), y: tg.tensor(Int32Array.of(0, 1)) }, { batchSize: 1 }],
  order: () => [1],
  load: () => [{ epoch: 0, position: 1 }],
  classBalanced: () => [labels(), {}],
  weighted: () => [labels(), {}],
  sequential: () => [],
  random: () => [],
  largestErrorFirst: () => [{}],
  trainTestSplit: () => [{ x: t(), y: labels() }, {}],
  oneHot: () => [labels(), 3],
  Standardizer: () => [{}],
  Pca: () => [{}],
  fit: () => [t()],
  transform: () => [t()],
  randomFlip: () => [images(), {}],
  randomRotate: () => [images(), { degrees: 9 }],
  randomShift: () => [images(), { pixels: 1 }],
  randomErase: () => [images(), { rows: 1 }],
  randomNoise: () => [images(), { deviation: 1 }],
  randomElastic: () => [images(), { alpha: 1, sigma: 1 }],
  accuracy: () => [t(), labels()],
  topKAccuracy: () => [t(), labels(), { k: 1 }],
  confusionMatrix: () => [t(), labels(), {}],
  classScores: () => [t(), labels(), {}],
  precision: () => [t(), labels(), {}],
  recall: () => [t(), labels(), {}],
  f1: () => [t(), labels(), {}],
  rocAuc: () => [tg.tensor([1, 2]), labels(), {}],
  logLoss: () => [tg.tensor([0.1, 0.2]), labels(), {}],
  forward: () => [t()],
};
/** `init.zeros` takes a shape like `zeros`; methods take what their function takes after the first. */
const templateOf = (name: string): (() => unknown[]) => TEMPLATES[name] ?? (() => [t(), t(), {}]);

/** Other names under which a function speaks: those that are made of others. */
const SPEAKS_AS: Readonly<Record<string, readonly string[]>> = {
  __proto__: null as never,
  pow: ['square', 'sqrt', 'rsqrt', 'reciprocal'],
  gelu: ['geluErf', 'geluTanh'],
  runSync: ['compile', 'compiled function', 'a batch'],
  program: ['compile', 'compiled function'],
  train: ['compile', 'compiled function', 'DataLoader', 'a batch'],
  T: ['transpose'],
  data: ['dataSync'],
  toArray: ['dataSync'],
  unsqueeze: ['reshape'],
  squeeze: ['reshape'],
  flatten: ['reshape'],
  detach: ['reshape'],
  transpose: ['permute'],
  stack: ['concat'],
  split: ['slice'],
  to: ['cast'],
  grad: ['valueAndGrad', 'gradients', 'backward'],
  valueAndGrad: ['gradients', 'backward'],
  gradientTape: ['gradients'],
  reduceOnPlateau: ['ReduceOnPlateau'],
  normal: ['randn'],
  batchNorm: ['channelNorm', 'channelMoments', 'copyFrom'],
  embedding: ['indexSelect'],
  maxout: ['linear', 'reshape'],
  heNormal: ['init.normal', 'randn'],
  glorotNormal: ['init.normal', 'randn'],
  heUniform: ['rand'],
  glorotUniform: ['rand'],
  calibratedUniform: ['rand'],
  constant: ['full'],
  parameter: ['requiresGrad', 'keep'],
  minimize: ['backward', 'SGD'],
  learningRate: ['SGD'],
  addParameterGroup: ['SGD'],
  step: ['SGD', 'compile', 'compiled function'],
  Linear: ['rand'],
  forward: [': '], // whichever op the layer is made of
  toString: ['slice', 'concat', 'dataSync'],
  limit: ['memory.limit'],
  loadStateDict: ['clone', 'copyFrom'],
  stateDict: ['clone'],
};

function target(
  name: string,
  isMethod: boolean,
  template: () => unknown[],
  receiver: () => unknown,
  call: Target['call'],
): Target {
  const last = name.slice(name.lastIndexOf('.') + 1);
  return {
    name,
    names: [last, name, 'requiresGrad', ...(SPEAKS_AS[last] ?? [])],
    isMethod,
    template,
    receiver,
    call,
  };
}

/** Members that the declarations call private or protected: at run time they look like any other. */
function internalMembers(): ReadonlySet<string> {
  const dist = new URL('../../../dist/', import.meta.url);
  const found = new Set<string>();
  for (const file of fs.readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.d.ts')) continue;
    const text = fs.readFileSync(new URL(file, dist), 'utf8');
    for (const [, name] of text.matchAll(
      /^ +(?:private|protected)(?: (?:abstract|get|set|readonly))* (\w+)/gm,
    ))
      found.add(name!);
  }
  return found;
}
const INTERNAL = internalMembers();

/** Methods and accessors of a class; accessors count as methods without argument, setters with one. */
function members(
  className: string,
  prototype: object,
  receiver: () => unknown,
  isOp: boolean,
): Target[] {
  const found: Target[] = [];
  for (const key of Reflect.ownKeys(prototype)) {
    if (key === 'constructor' || INTERNAL.has(key as string)) continue;
    const { value, get, set } = Object.getOwnPropertyDescriptor(prototype, key)!;
    const last = typeof key === 'symbol' ? (key.description ?? '') : key;
    const name = `${className}.${key === Symbol.dispose ? 'dispose' : last.endsWith('inspect.custom') ? 'toString' : last}`;
    const own =
      isOp && !(last in TEMPLATES && !(last in tg))
        ? () => templateOf(last)().slice(1)
        : templateOf(last);
    if (typeof value === 'function')
      found.push(
        target(name, true, own, receiver, (self, args) => Reflect.apply(value, self, args)),
      );
    if (get)
      found.push(
        target(
          name,
          true,
          () => [],
          receiver,
          (self) => Reflect.apply(get, self, []),
        ),
      );
    if (set)
      found.push(
        target(
          name,
          true,
          () => [false],
          receiver,
          (self, [v]) => Reflect.apply(set, self, [v]),
        ),
      );
  }
  return found;
}

const isClass = (v: unknown): v is new (...args: unknown[]) => object =>
  typeof v === 'function' && /^class\b/.test(Function.prototype.toString.call(v));

/** Arguments that make an instance. */
function constructorTemplate(
  name: string,
  type: new (...args: unknown[]) => object,
): () => unknown[] {
  if (TEMPLATES[name]) return TEMPLATES[name];
  if (type.prototype instanceof tg.optim.Optimizer || name === 'Optimizer')
    return () => [parameters(), {}];
  return () => (name === 'Tensor' ? [t()] : []);
}

function instanceOf(name: string, type: new (...args: unknown[]) => object): () => unknown {
  if (name === 'Tensor') return t;
  if (name === 'Module') return () => new tg.nn.Linear(3, 4); // abstract
  if (name === 'Optimizer') return () => new tg.optim.SGD(parameters(), { momentum: 0.9 }); // abstract
  return () => new type(...constructorTemplate(name, type)());
}

function exportsOf(prefix: string, namespace: object): Target[] {
  const found: Target[] = [];
  for (const [key, value] of Object.entries(namespace) as [string, unknown][]) {
    const name = `${prefix}${key}`;
    if (key === 'TapegradError') continue; // made by the package, not called by users
    if (isClass(value)) {
      const make = (_: unknown, args: readonly unknown[]): unknown =>
        Reflect.construct(value, args);
      found.push(target(name, false, constructorTemplate(key, value), () => undefined, make));
      found.push(
        ...members(name, value.prototype as object, instanceOf(key, value), key === 'Tensor'),
      );
    } else if (typeof value === 'function') {
      found.push(
        target(
          name,
          false,
          templateOf(key),
          () => undefined,
          (self, args) => Reflect.apply(value, self, args),
        ),
      );
    } else if (typeof value === 'object' && value !== null) {
      found.push(...exportsOf(`${name}.`, value));
    }
  }
  return found;
}

/** Functions that `valueAndGrad`, `grad`, `gradientTape` and `compile` return. */
function returned(): Target[] {
  const apply = (fn: unknown, args: readonly unknown[]): unknown =>
    (fn as (...a: unknown[]) => unknown)(...args);
  const step = tg.compile((x: unknown) => (tg.isTensor(x) ? f(x) : tg.ones([1])));
  const pair = tg.compile((x: unknown) => (tg.isTensor(x) ? f(x) : tg.ones([1])));
  const compiled = (
    name: string,
    template: () => unknown[],
    call: (args: readonly unknown[]) => unknown,
  ): Target =>
    target(
      `compile.${name}`,
      false,
      template,
      () => undefined,
      (_, args) => call(args),
    );
  const table = (): unknown[] => [[t(), t()], { batchSize: 1 }];
  return [
    compiled(
      'runSync',
      () => [t(), { onNaN: 'skip' }],
      (args) => apply(step.runSync, args),
    ),
    compiled(
      'step',
      () => [t(), { onNaN: 'throw' }],
      (args) => apply(step, args),
    ),
    compiled(
      'program',
      () => [t()],
      (args) => apply(step.program, args),
    ),
    compiled('train', table, (args) => (apply(pair.train, args) as tg.TrainingRun).finished),
    compiled(
      'dispose',
      () => [],
      (args) => apply(step.dispose, args),
    ),
    target(
      'valueAndGrad',
      false,
      () => [t()],
      () => undefined,
      (_, args) => apply(tg.valueAndGrad(f), args),
    ),
    target(
      'grad',
      false,
      () => [t()],
      () => undefined,
      (_, args) => apply(tg.grad(f), args),
    ),
    target(
      'gradientTape.gradient',
      false,
      () => [[t()], {}],
      () => undefined,
      (_, args) => {
        const w = t();
        return apply(tg.gradientTape(() => f(w)).gradient, args);
      },
    ),
  ];
}

export function targets(): Target[] {
  const limit = Object.getOwnPropertyDescriptor(tg.memory, 'limit')!;
  return [
    ...exportsOf('', tg),
    ...returned(),
    target(
      'memory.limit',
      false,
      () => [2 ** 26],
      () => undefined,
      (_, [v]) => Reflect.apply(limit.set!, tg.memory, [v]),
    ),
  ];
}
