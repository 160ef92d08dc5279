// Tensors as text, laid out as PyTorch does. Large ones are summarised.
import { wrongType } from './errors.js';
import { slice } from './ops.gen.js';
import { noGrad } from './tape.js';
import { isDoomed, isTensor, shapeOf, tidy, type Tensor } from './tensor.js';
import { native } from './native.js';
import { handleOf } from './tensor.js';
import { concat } from './ops.gen.js';

const EDGE = 3;
const THRESHOLD = 1000;

/** Only the corners of a large tensor are read: a gigabyte is not copied to print nine numbers. */
function corners(x: Tensor): Tensor {
  let result = x;
  shapeOf(x).forEach((d, axis) => {
    if (d > 2 * EDGE)
      result = concat(
        [slice(result, { axis, start: 0, end: EDGE }), slice(result, { axis, start: d - EDGE })],
        { axis },
      );
  });
  return result;
}

function formatter(values: ArrayLike<number>, dtype: string): (v: number) => string {
  if (dtype === 'bool') return (v) => (v ? 'true' : 'false').padStart(5);
  const finite = Array.from(values).filter(Number.isFinite);
  const sizes = finite.map(Math.abs).filter((v) => v > 0);
  const largest = Math.max(0, ...sizes);
  const smallest = sizes.length ? Math.min(...sizes) : 0;
  const whole = finite.every(Number.isInteger);
  const exponential =
    !whole && (largest >= 1e5 || (smallest > 0 && (largest / smallest > 1e3 || smallest < 1e-4)));
  const text = (v: number): string => {
    if (Number.isNaN(v)) return 'nan';
    if (!Number.isFinite(v)) return v > 0 ? 'inf' : '-inf';
    if (dtype === 'int32') return String(v);
    if (whole && largest < 1e8) return `${Object.is(v, -0) ? '-0' : v}.`;
    if (exponential || whole) return v.toExponential(4).replace(/e([+-])(\d)$/, 'e$10$2');
    return v.toFixed(4);
  };
  const width = Math.max(0, ...Array.from(values, (v) => text(v).length));
  return (v) => text(v).padStart(width);
}

function layout(
  values: ArrayLike<number>,
  full: readonly number[],
  shown: readonly number[],
  format: (v: number) => string,
): string {
  let at = 0;
  const block = (axis: number, indent: number): string => {
    if (axis === shown.length) return format(values[at++]!);
    const parts: string[] = [];
    const cut = shown[axis]! < full[axis]!;
    for (let i = 0; i < shown[axis]!; ++i) {
      if (cut && i === EDGE) parts.push('...');
      parts.push(block(axis + 1, indent + 1));
    }
    if (axis === shown.length - 1) {
      // Long rows wrap at about 80 columns.
      const width = (parts[0]?.length ?? 0) + 2;
      const perLine = Math.max(1, Math.floor((80 - indent) / width));
      const lines: string[] = [];
      for (let i = 0; i < parts.length; i += perLine)
        lines.push(parts.slice(i, i + perLine).join(', '));
      return `[${lines.join(`,\n${' '.repeat(indent + 1)}`)}]`;
    }
    return `[${parts.join(`,${'\n'.repeat(shown.length - axis - 1)}${' '.repeat(indent + 1)}`)}]`;
  };
  return block(0, 'tensor('.length);
}

/** The tensor as text: values (four digits), and dtype, device, requiresGrad where they are not the default. */
export function toText(x: Tensor): string {
  if (!isTensor(x)) throw wrongType('toString', 'this', 'a Tensor', x);
  if (isDoomed(x) || !native.alive(handleOf(x))) return 'tensor(<disposed>)';
  const shape = shapeOf(x);
  const suffix = [
    ...(x.size === 0 && shape.length > 1 ? [`shape=[${shape.join(', ')}]`] : []),
    ...(x.dtype === 'float32' ? [] : [`dtype=${x.dtype}`]),
    ...(x.device === 'cpu' ? [] : [`device=${x.device}`]),
    ...(x.node ? [`grad=<${x.node.op.name}>`] : x.requiresGrad ? ['requiresGrad=true'] : []),
  ];
  const body = noGrad(() =>
    tidy(() => {
      const part = x.size > THRESHOLD ? corners(x) : x;
      const values = part.dataSync();
      return x.size === 0 ? '[]' : layout(values, shape, shapeOf(part), formatter(values, x.dtype));
    }),
  );
  return `tensor(${[body, ...suffix].join(', ')})`;
}
