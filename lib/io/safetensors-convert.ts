// Elements as files hold them → elements as tensors hold them. Pure arithmetic on one buffer.
import type { DType } from '../schema.gen.js';
import type { FileDType } from './safetensors-header.js';

interface Target {
  readonly dtype: DType;
  readonly size: number;
  readonly array:
    | Float32ArrayConstructor
    | Float64ArrayConstructor
    | Int32ArrayConstructor
    | Uint16ArrayConstructor
    | Uint8ArrayConstructor;
}
const float32: Target = { dtype: 'float32', size: 4, array: Float32Array };
const float64: Target = { dtype: 'float64', size: 8, array: Float64Array };
const int32: Target = { dtype: 'int32', size: 4, array: Int32Array };
const bool: Target = { dtype: 'bool', size: 1, array: Uint8Array };
const bfloat16: Target = { dtype: 'bfloat16', size: 2, array: Uint16Array };

/** What each dtype of a file becomes. */
export const TARGETS: Record<FileDType, Target> = {
  ...{ F64: float64, F32: float32, F16: float32, BF16: bfloat16, BOOL: bool },
  ...{
    I64: int32,
    U64: int32,
    I32: int32,
    U32: int32,
    I16: int32,
    U16: int32,
    I8: int32,
    U8: int32,
  },
};

/**
 * Converts `count` elements that end where the buffer ends into elements of the target that begin
 * where it begins. Writing at 4·i never passes reading: at size − (count − i)·width for narrow
 * elements, 8·i for wide.
 *
 * @returns the index of the first element that the target cannot hold, or -1.
 */
export function inPlace(dtype: FileDType, buffer: ArrayBuffer, count: number): number {
  const words = () => new Int32Array(buffer);
  const narrow = <T>(type: new (b: ArrayBuffer, at: number, n: number) => T, width: number) =>
    new type(buffer, buffer.byteLength - count * width, count);
  const copy = (from: { readonly [i: number]: number }) => {
    const out = words();
    for (let i = 0; i < count; ++i) out[i] = from[i]!;
    return -1;
  };
  switch (dtype) {
    case 'F64':
    case 'F32':
    case 'I32':
    case 'BF16':
      return -1;
    case 'BOOL':
      return new Uint8Array(buffer).findIndex((value) => value > 1);
    case 'U32':
      return words().findIndex((value) => value < 0);
    case 'I8':
      return copy(narrow(Int8Array, 1));
    case 'U8':
      return copy(narrow(Uint8Array, 1));
    case 'I16':
      return copy(narrow(Int16Array, 2));
    case 'U16':
      return copy(narrow(Uint16Array, 2));
    case 'I64':
    case 'U64':
      return fromWide(words(), count, dtype === 'I64');
    case 'F16': {
      const from = narrow(Uint16Array, 2);
      const bits = words();
      for (let i = 0; i < count; ++i) bits[i] = fromHalf(from[i]!);
      return -1;
    }
  }
}

/**
 * Pairs of words, lower first: the value fits if the upper word only repeats the lower one's sign.
 */
function fromWide(words: Int32Array, count: number, signed: boolean): number {
  for (let i = 0; i < count; ++i) {
    const low = words[2 * i]!;
    const fits = words[2 * i + 1] === low >> 31 && (signed || low >= 0);
    if (!fits) return i;
    words[i] = low;
  }
  return -1;
}

const scratch = new Float32Array(1);
const scratchBits = new Int32Array(scratch.buffer);

/** The bits of the float32 with the value of an IEEE 754 binary16: exact, NaN payloads kept. */
function fromHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const rest = half & 0x7fff;
  if (rest >= 0x7c00) return sign | 0x7f800000 | ((rest & 0x3ff) << 13);
  if (rest >= 0x400) return sign | ((rest << 13) + ((127 - 15) << 23));
  scratch[0] = rest * 2 ** -24; // zero or denormal
  return sign | scratchBits[0]!;
}
