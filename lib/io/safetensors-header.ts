// The header of a safetensors file: bytes → checked layout, and back. Pure: no files, no tensors.
// The format: https://github.com/huggingface/safetensors#format
//
// The parser knows the one grammar that the format allows instead of calling JSON.parse, which
// would hide duplicate keys and let 100 MB of "[[[[…" grow to gigabytes of objects.
import { quote } from './error.js';

/** Bytes per element of each dtype that can be read. */
export const ELEMENT_SIZES = {
  ...{ F64: 8, F32: 4, F16: 2, BF16: 2, BOOL: 1 },
  ...{ I64: 8, U64: 8, I32: 4, U32: 4, I16: 2, U16: 2, I8: 1, U8: 1 },
} as const;
export type FileDType = keyof typeof ELEMENT_SIZES;

/** One tensor of a file; `begin` and `end` count bytes from the end of the header. */
export interface Entry {
  readonly name: string;
  readonly dtype: FileDType;
  readonly shape: readonly number[];
  readonly count: number;
  readonly begin: number;
  readonly end: number;
}
export interface Header {
  readonly metadata: Record<string, string>;
  /** By position in the file. */
  readonly entries: readonly Entry[];
}

export const MAX_HEADER_BYTES = 100_000_000;
/** Tensors and metadata entries together: bounds the memory that a hostile header can ask for. */
export const MAX_ENTRIES = 16_384;
export const MAX_DIMENSIONS = 8;
const MAX_ELEMENTS = 2 ** 48;

/** What is wrong, without the file's name: the caller knows that. */
export class FormatError extends Error {}

/**
 * Reads and checks a whole header: every rule of the format holds for what is returned.
 *
 * @param bytes the header; strings with escapes are decoded in place, so it is not the same
 * afterwards.
 * @param dataBytes the number of bytes that follow the header.
 * @throws FormatError
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number): Header {
  const reader = new Reader(bytes);
  const metadata = Object.create(null) as Record<string, string>;
  const entries: Entry[] = [];
  if (bytes[0] !== 0x7b) reader.fail('expected "{" as the first byte of the header');
  let limit = MAX_ENTRIES;
  const countEntry = () => {
    if (limit-- === 0) reader.fail(`more than ${MAX_ENTRIES} tensors and metadata entries`);
  };
  reader.object('header', (name) => {
    if (name === '__metadata__') {
      reader.object('__metadata__', (key) => {
        countEntry();
        metadata[key] = reader.string(`the value of __metadata__ ${quote(key)}`);
      });
    } else {
      countEntry();
      entries.push(readEntry(reader, name));
    }
  });
  reader.end();
  checkLayout(entries, dataBytes);
  return { metadata, entries };
}

function readEntry(reader: Reader, name: string): Entry {
  const where = `tensor ${quote(name)}`;
  let dtype: string | undefined, shape: number[] | undefined, offsets: number[] | undefined;
  reader.object(where, (field) => {
    if (field === 'dtype') dtype = reader.string(`${where}: dtype`);
    else if (field === 'shape') shape = reader.integers(`${where}: shape`, MAX_DIMENSIONS);
    else if (field === 'data_offsets') offsets = reader.integers(`${where}: data_offsets`, 2);
    else reader.fail(`${where}: unknown field ${quote(field)}`);
  });
  if (dtype === undefined) throw new FormatError(`${where}: dtype is missing`);
  if (shape === undefined) throw new FormatError(`${where}: shape is missing`);
  if (offsets === undefined) throw new FormatError(`${where}: data_offsets is missing`);
  if (!Object.hasOwn(ELEMENT_SIZES, dtype)) {
    throw new FormatError(`${where}: dtype ${quote(dtype)} is not supported`);
  }
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined) {
    throw new FormatError(`${where}: data_offsets must be two numbers`);
  }
  if (begin > end) throw new FormatError(`${where}: data_offsets [${begin}, ${end}] run backwards`);
  // Sizes of zero do not hide an overflow in the others.
  if (shape.reduce((product, size) => product * (size || 1), 1) > MAX_ELEMENTS) {
    throw new FormatError(`${where}: shape [${shape.join(', ')}] has more than 2^48 elements`);
  }
  const count = shape.reduce((product, size) => product * size, 1);
  const bytes = count * ELEMENT_SIZES[dtype as FileDType];
  if (end - begin !== bytes) {
    throw new FormatError(
      `${where}: ${dtype} of shape [${shape.join(', ')}] takes ${bytes} bytes, ` +
        `but data_offsets [${begin}, ${end}] hold ${end - begin}`,
    );
  }
  return { name, dtype: dtype as FileDType, shape, count, begin, end };
}

/**
 * Sorts the entries by position; they must cover the data exactly, without a hole or an overlap.
 */
function checkLayout(entries: Entry[], dataBytes: number): void {
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== at) {
      const what =
        begin < at
          ? 'overlaps the tensor before it'
          : `leaves a hole of ${begin - at} bytes before it`;
      throw new FormatError(`tensor ${quote(name)}: data_offsets [${begin}, ${end}]: ${what}`);
    }
    if (end > dataBytes) {
      throw new FormatError(
        `tensor ${quote(name)}: data_offsets [${begin}, ${end}] pass the end of the data at ${dataBytes}`,
      );
    }
    at = end;
  }
  if (at !== dataBytes)
    throw new FormatError(`${dataBytes - at} bytes after the last tensor belong to none`);
}

const SIMPLE_ESCAPES = new Map(
  Object.entries({
    '"': '"',
    '\\': '\\',
    '/': '/',
    b: '\b',
    f: '\f',
    n: '\n',
    r: '\r',
    t: '\t',
  }).map(([letter, meaning]) => [letter.charCodeAt(0), meaning.charCodeAt(0)] as const),
);

/** A cursor over JSON of the few shapes that a header may have. */
class Reader {
  #at = 0;
  readonly #encoder = new TextEncoder();
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(readonly bytes: Uint8Array) {}

  fail(what: string, at = this.#at): never {
    throw new FormatError(`${what} (header byte ${at})`);
  }

  /** Calls `value` at each value of an object, with its key; a key that comes twice is an error. */
  object(where: string, value: (key: string) => void): void {
    this.#expect('{', `${where}: expected an object`);
    const seen = new Set<string>();
    if (this.#accept('}')) return;
    do {
      const key = this.string(`${where}: key`);
      if (seen.has(key)) this.fail(`${where}: duplicate key ${quote(key)}`);
      seen.add(key);
      this.#expect(':', `${where}: expected ":"`);
      value(key);
    } while (this.#accept(','));
    this.#expect('}', `${where}: expected "," or "}"`);
  }

  /** An array of at most `most` non-negative integers that a double holds exactly. */
  integers(where: string, most: number): number[] {
    const values: number[] = [];
    this.#expect('[', `${where}: expected an array`);
    if (this.#accept(']')) return values;
    do {
      if (values.length === most) this.fail(`${where}: more than ${most} numbers`);
      values.push(this.#integer(where));
    } while (this.#accept(','));
    this.#expect(']', `${where}: expected "," or "]"`);
    return values;
  }

  string(where: string): string {
    this.#expect('"', `${where}: expected a string`);
    const { bytes } = this;
    const start = this.#at;
    // The string without its escapes, which is never longer, is written over the original.
    let end = start;
    for (;;) {
      const byte = bytes[this.#at];
      if (byte === undefined) this.fail(`${where}: the header ends inside a string`);
      if (byte < 0x20) this.fail(`${where}: control character in a string`);
      this.#at++;
      if (byte === 0x22) break;
      if (byte === 0x5c) end = this.#escape(where, end);
      else bytes[end++] = byte;
    }
    try {
      return this.#utf8.decode(bytes.subarray(start, end));
    } catch {
      this.fail(`${where}: not valid UTF-8`, start);
    }
  }

  /** Writes what the escape after a backslash stands for to `end`; returns where that ends. */
  #escape(where: string, end: number): number {
    const { bytes } = this;
    const start = this.#at - 1;
    const simple = SIMPLE_ESCAPES.get(bytes[this.#at] ?? 0);
    if (simple !== undefined) {
      this.#at++;
      bytes[end] = simple;
      return end + 1;
    }
    let code = this.#unicodeEscape(where, start);
    if (code >= 0xd800 && code < 0xdc00 && bytes[this.#at] === 0x5c) {
      this.#at++;
      const low = this.#unicodeEscape(where, start);
      code =
        low >= 0xdc00 && low < 0xe000 ? 0x10000 + (code - 0xd800) * 0x400 + (low - 0xdc00) : 0xd800;
    }
    if (code >= 0xd800 && code < 0xe000) this.fail(`${where}: half of a surrogate pair`, start);
    return end + this.#encoder.encodeInto(String.fromCodePoint(code), bytes.subarray(end)).written;
  }

  /** The value of `uXXXX`. */
  #unicodeEscape(where: string, start: number): number {
    const text = String.fromCharCode(...this.bytes.subarray(this.#at, this.#at + 5));
    if (!/^u[0-9a-fA-F]{4}$/.test(text)) this.fail(`${where}: invalid escape in a string`, start);
    this.#at += 5;
    return parseInt(text.slice(1), 16);
  }

  /** Nothing but white space may follow. */
  end(): void {
    this.#skipSpace();
    if (this.#at !== this.bytes.length) this.fail('expected only spaces after the object');
  }

  #integer(where: string): number {
    this.#skipSpace();
    const start = this.#at;
    let value = 0;
    for (; ; this.#at++) {
      const digit = (this.bytes[this.#at] ?? 0) - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
      if (value > Number.MAX_SAFE_INTEGER) this.fail(`${where}: number above 2^53 - 1`, start);
    }
    const digits = this.#at - start;
    const next = this.bytes[this.#at];
    const fraction = next === 0x2e || next === 0x65 || next === 0x45;
    if (digits === 0 || fraction) this.fail(`${where}: expected a non-negative integer`, start);
    if (digits > 1 && this.bytes[start] === 0x30)
      this.fail(`${where}: number with a leading zero`, start);
    return value;
  }

  #expect(character: string, message: string): void {
    if (!this.#accept(character)) this.fail(message);
  }

  #accept(character: string): boolean {
    this.#skipSpace();
    if (this.bytes[this.#at] !== character.charCodeAt(0)) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const byte = this.bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at++;
    }
  }
}

/** Whether UTF-8 cannot hold the string. */
export function hasLoneSurrogate(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}

/** The layout as the bytes of a header, padded with spaces to a multiple of 8. */
export function formatHeader({ metadata, entries }: Header): Uint8Array {
  const fields = entries.map(
    ({ name, dtype, shape, begin, end }) =>
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],"data_offsets":[${begin},${end}]}`,
  );
  const keys = Object.keys(metadata).sort(compareUtf8);
  if (keys.length) {
    const pairs = keys.map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`);
    fields.unshift(`"__metadata__":{${pairs.join(',')}}`);
  }
  const json = `{${fields.join(',')}}`;
  const length = Math.ceil(Buffer.byteLength(json) / 8) * 8;
  const bytes = Buffer.alloc(length, ' ');
  bytes.write(json);
  return bytes;
}

/** The order of the reference implementation, so that both write the same bytes. */
export function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
