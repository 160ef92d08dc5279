// Class numbers as rows with a one.
import { oneHot as hot } from '../classes.js';
import { fromData } from '../create.js';
import { getDefaultDevice } from '../device.js';
import { checkNumber } from '../errors.js';
import { to } from '../ops.js';
import { noGrad } from '../tape.js';
import { isTensor, tidy, type Tensor } from '../tensor.js';
import { readNumbers, type Numbers } from './numbers.js';

/**
 * Class numbers as rows of zeros with a one: float32 [n, classes].
 * @param labels - [n] integers in 0 … classes - 1
 * @param classes - how many there are; one more than the largest label unless told
 * @throws TypeError, RangeError
 */
export function oneHot(labels: Numbers, classes?: number): Tensor {
  const op = 'oneHot';
  const known =
    classes === undefined
      ? null
      : checkNumber(op, 'classes', classes, { min: 1, max: 2 ** 31 - 1, integer: true });
  const max = (known ?? 2 ** 31 - 1) - 1;
  const ids = Int32Array.from(readNumbers(op, 'labels', labels, { min: 0, max, integer: true }));
  const count = known ?? ids.reduce((a, b) => Math.max(a, b), 0) + 1;
  const device = isTensor(labels) ? labels.device : getDefaultDevice();
  return tidy(() =>
    noGrad(() => to(hot(fromData(ids, [ids.length], 'int32', device), count), 'float32')),
  );
}
