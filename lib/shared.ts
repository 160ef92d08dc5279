// Tensors that several threads of the process use at once (Hogwild! training). What is shared is memory, not
// tensors: every thread has tensor objects of its own over it.
import { zeros } from './create.js';
import { TapegradError, checkKeys, checkNumber, wrongType } from './errors.js';
import { native } from './native.js';
import { DTYPES, type DType } from './schema.gen.js';
import { checkTensor, handleOf, isTensor, shapeOf, type Tensor } from './tensor.js';

/** Says where shared tensors are. Plain data: goes to workers as workerData or in a message, not to processes. */
export interface SharedToken {
  readonly tensors: Readonly<Record<string, SharedTensor>>;
}
export interface SharedTensor {
  readonly id: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly requiresGrad: boolean;
}

/** Named tensors, or a module (its parameters and buffers). */
export type SharedSource =
  | Readonly<Record<string, Tensor>>
  | {
      namedParameters(): readonly (readonly [string, Tensor])[];
      namedBuffers(): readonly (readonly [string, Tensor])[];
    };

function entriesOf(op: string, source: unknown): [string, Tensor][] {
  if (typeof source !== 'object' || source === null || isTensor(source))
    throw wrongType(op, 'the tensors', 'a module or an object of tensors', source);
  const { namedParameters, namedBuffers } = source as Record<string, unknown>;
  const entries: [string, unknown][] =
    typeof namedParameters === 'function' && typeof namedBuffers === 'function'
      ? [
          ...(namedParameters.call(source) as [string, unknown][]),
          ...(namedBuffers.call(source) as [string, unknown][]),
        ]
      : Object.entries(source);
  return entries.map(([name, value]) => {
    const t = checkTensor(op, name, value);
    if (t.node)
      throw new TypeError(`${op}: ${name} is an intermediate result; only leaves can be shared`);
    return [name, t];
  });
}

/**
 * Moves tensors, or a module's parameters and buffers, to memory that other threads of this process can use at the
 * same time, and returns the token by which they {@link attach} it. The tensors here go on as before.
 *
 * Nothing is locked. Threads that write the same elements race, as Hogwild! (Niu, Recht, Ré & Wright 2011) wants it:
 * an update may be lost or seen in part, an element is always one that somebody wrote. The memory lives until the
 * last tensor over it, in whichever thread, is disposed of or its thread ends, by terminate() or otherwise; so the
 * tensors must be kept here until the others have attached them.
 * @example
 * new Worker(file, { workerData: tg.share(model) }); // and in the worker, which makes the same kind of model:
 * tg.attach(workerData, model);
 * for (;;) optimizer.minimize(() => loss(model, batch()));
 * @throws TypeError for anything else, RangeError for views and transposed tensors; the values are never changed
 */
export function share(source: SharedSource): SharedToken {
  const tensors: Record<string, SharedTensor> = {};
  for (const [name, t] of entriesOf('share', source))
    tensors[name] = {
      id: native.share(handleOf(t)),
      dtype: t.dtype,
      shape: shapeOf(t).slice(),
      requiresGrad: t.requiresGrad,
    };
  return { tensors };
}

function checkToken(token: unknown): [string, SharedTensor][] {
  if (typeof token !== 'object' || token === null)
    throw wrongType('attach', 'token', 'what share returned', token);
  const { tensors } = checkKeys('attach', token, ['tensors']);
  if (typeof tensors !== 'object' || tensors === null)
    throw wrongType('attach', 'token', 'what share returned', token);
  return Object.entries(tensors).map(([name, value]: [string, unknown]) => {
    const { id, dtype, shape, requiresGrad } = checkKeys('attach', value, [
      'id',
      'dtype',
      'shape',
      'requiresGrad',
    ]);
    checkNumber('attach', `the id of ${name}`, id, { min: 1, integer: true });
    if (!DTYPES.includes(dtype as DType))
      throw wrongType('attach', `the dtype of ${name}`, DTYPES.join(' or '), dtype);
    if (!Array.isArray(shape)) throw wrongType('attach', `the shape of ${name}`, 'sizes', shape);
    if (typeof requiresGrad !== 'boolean')
      throw wrongType('attach', `requiresGrad of ${name}`, 'a boolean', requiresGrad);
    return [name, value as SharedTensor];
  });
}

/**
 * Uses what another thread (or this one) shared.
 * @param into - a module or named tensors whose memory is given up for the shared one: names, dtypes and shapes must
 * be those of the token. Without it new tensors are made, for the caller to dispose of.
 * @returns The tensors over the shared memory, by name.
 * @throws TapegradError TG_DISPOSED if all tensors over the memory are gone, TG_STATE if names do not fit;
 * RangeError for shapes and dtypes. Nothing is attached then.
 */
export function attach(token: SharedToken, into?: SharedSource): Record<string, Tensor> {
  const entries = checkToken(token);
  const made: Record<string, Tensor> = {};
  const drop = (): void => {
    for (const t of Object.values(made)) t.dispose();
  };
  try {
    for (const [name, { id, dtype, shape, requiresGrad }] of entries) {
      const t = zeros(shape, { dtype, device: 'cpu' });
      made[name] = t;
      native.attach(handleOf(t), id);
      t.requiresGrad = requiresGrad;
    }
    if (into === undefined) return made;
    const own = new Map(entriesOf('attach', into));
    const names = entries.map(([name]) => name);
    const problems = [
      ...names.filter((name) => !own.has(name)).map((name) => `${name} is not in the module`),
      ...[...own.keys()].filter((name) => !(name in made)).map((name) => `${name} is not shared`),
      ...entries
        .filter(([name, { dtype, shape }]) => {
          const t = own.get(name);
          return t && (t.dtype !== dtype || shapeOf(t).join() !== shape.join());
        })
        .map(([name, { dtype, shape }]) => `${name} must be ${dtype} [${shape.join(', ')}]`),
    ];
    if (problems.length > 0) throw new TapegradError('TG_STATE', `attach: ${problems.join('; ')}`);
    const result: Record<string, Tensor> = {};
    for (const [name, { id }] of entries) {
      const t = own.get(name)!;
      native.attach(handleOf(t), id);
      ++(t.base ?? t).version;
      result[name] = t;
    }
    drop(); // they held the memory until the module's tensors did
    return result;
  } catch (error) {
    drop();
    throw error;
  }
}
