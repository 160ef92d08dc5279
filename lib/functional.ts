// Functions of functions: gradients of what a function returns with respect to what it is given.
import { gradients, type BackwardOptions } from './backward.js';
import { zerosLike } from './create.js';
import { TapegradError, checkKeys, wrongType } from './errors.js';
import { detach } from './ops.js';
import { enableGrad } from './tape.js';
import { checkTensor, isFloat, isTensor, type Tensor } from './tensor.js';

/** A function of tensors (and whatever else) to a scalar tensor. */
export type ScalarFunction<A extends readonly unknown[]> = (...args: A) => Tensor;

export interface ValueAndGrads {
  value: Tensor;
  /** One for each tensor argument with a float dtype, in their order. */
  grads: Tensor[];
}

const isDifferentiable = (a: unknown): a is Tensor => isTensor(a) && isFloat(a.dtype);

/**
 * Turns f into a function that also returns the gradients of its scalar result with respect to its float
 * tensor arguments. Those need no requiresGrad; a tensor that f does not use has a gradient of zeros.
 * @param options - `createGraph`: the gradients can be differentiated again
 * @throws TypeError if f is no function or returns no tensor; as {@link gradients} otherwise
 */
export function valueAndGrad<A extends readonly unknown[]>(
  f: ScalarFunction<A>,
  options?: Pick<BackwardOptions, 'createGraph'>,
): (...args: A) => ValueAndGrads {
  if (typeof f !== 'function') throw wrongType('valueAndGrad', 'f', 'a function', f);
  const { createGraph = false } = checkKeys('valueAndGrad', options, ['createGraph']);
  if (typeof createGraph !== 'boolean')
    throw wrongType('valueAndGrad', 'createGraph', 'a boolean', createGraph);
  return (...args: A) =>
    enableGrad(() => {
      const inputs: Tensor[] = [];
      const inside = args.map((a, i) => {
        if (!isDifferentiable(a)) return a;
        checkTensor('valueAndGrad', `argument ${i}`, a);
        // With createGraph the outer graph must stay connected; else f gets leaves of its own.
        const leaf = createGraph && a.requiresGrad ? a : detach(a);
        if (!leaf.requiresGrad) leaf.requiresGrad = true;
        inputs.push(leaf);
        return leaf;
      }) as unknown as A;
      if (inputs.length === 0)
        throw new TypeError(
          'valueAndGrad: f was given no float tensor to differentiate with respect to',
        );
      const value = f(...inside);
      if (!isTensor(value)) throw wrongType('valueAndGrad', "f's result", 'a scalar Tensor', value);
      if (!value.requiresGrad)
        throw new TapegradError(
          'TG_GRAPH',
          "valueAndGrad: f's result does not depend on its tensor arguments",
        );
      const grads = gradients(value, inputs, { createGraph }).map(
        (g, i) => g ?? zerosLike(inputs[i]!),
      );
      if (createGraph) return { value, grads };
      const detached = detach(value);
      for (const t of inputs) t.dispose(); // views of the arguments, not the arguments
      return { value: detached, grads };
    });
}

/**
 * As {@link valueAndGrad}, returning gradients only: that of a function of one argument as a tensor, of
 * several as a list.
 * @example tg.grad((x) => x.square().sum())(tg.tensor([1, 2])); // tensor([2., 4.])
 */
export function grad(
  f: ScalarFunction<[Tensor]>,
  options?: Pick<BackwardOptions, 'createGraph'>,
): (x: Tensor) => Tensor;
export function grad<A extends readonly unknown[]>(
  f: ScalarFunction<A>,
  options?: Pick<BackwardOptions, 'createGraph'>,
): (...args: A) => Tensor[];
export function grad<A extends readonly unknown[]>(
  f: ScalarFunction<A>,
  options?: Pick<BackwardOptions, 'createGraph'>,
): (...args: A) => Tensor | Tensor[] {
  if (typeof f !== 'function') throw wrongType('grad', 'f', 'a function', f);
  const both = valueAndGrad(f, options);
  return (...args: A) => {
    const { value, grads } = both(...args);
    if (!options?.createGraph) value.dispose();
    return args.length === 1 ? grads[0]! : grads;
  };
}

/** What {@link gradientTape} recorded. */
export interface GradientTape<T> {
  /** What the function returned. */
  readonly value: T;
  /**
   * Gradients of the function's (scalar) result with respect to tensors it used, leaves with requiresGrad
   * or intermediate results; null where it does not depend on one. The tape can be asked again.
   */
  gradient(
    targets: readonly Tensor[],
    options?: Pick<BackwardOptions, 'createGraph' | 'gradient'>,
  ): (Tensor | null)[];
}

/**
 * Records a function and answers for gradients of its result: TensorFlow's idiom.
 * @example const [dw] = gradientTape(() => loss(w)).gradient([w]);
 */
export function gradientTape<T extends Tensor>(fn: () => T): GradientTape<T> {
  if (typeof fn !== 'function') throw wrongType('gradientTape', 'fn', 'a function', fn);
  const value = enableGrad(fn);
  checkTensor('gradientTape', "the function's result", value);
  return {
    value,
    gradient(targets, options) {
      const given = checkKeys('gradient', options, ['createGraph', 'gradient']);
      return gradients(value, targets, { ...given, retainGraph: true });
    },
  };
}
