// Tensors in files of the safetensors format: what the user calls. The rules of the header are in
// safetensors-header.ts, safe replacement of files in atomic.ts.
//
// Readers check the whole header before the first tensor is made, and take one tensor's bytes at a
// time.
import * as fs from 'node:fs';
import { endianness } from 'node:os';
import { describe, wrongType, wrongValue } from '../errors.js';
import type { StoredArray } from '../native.js';
import type { DType } from '../schema.gen.js';
import { fromData } from '../create.js';
import { checkTensor, storedData, type Tensor } from '../tensor.js';
import { writeFileAtomic } from './atomic.js';
import { fileError, quote, reason } from './error.js';
import * as convert from './safetensors-convert.js';
import {
  ELEMENT_SIZES,
  FormatError,
  MAX_DIMENSIONS,
  MAX_ENTRIES,
  MAX_HEADER_BYTES,
} from './safetensors-header.js';
import { compareUtf8, formatHeader, hasLoneSurrogate, parseHeader } from './safetensors-header.js';
import type { Entry, FileDType } from './safetensors-header.js';

/** What a file holds. Both records have no prototype: every name is an ordinary key. */
export interface Safetensors {
  tensors: Record<string, Tensor>;
  metadata: Record<string, string>;
}
export interface SaveOptions {
  /** Strings to keep with the tensors. */
  metadata?: Record<string, string>;
}
/** Named tensors, or an `nn.Module` with its parameters and buffers. */
export type TensorSource = Readonly<Record<string, Tensor>> | ModuleLike;
interface ModuleLike {
  namedParameters(): [string, Tensor][];
  namedBuffers(): [string, Tensor][];
}

const WRITTEN: Record<DType, FileDType> = {
  float32: 'F32',
  float64: 'F64',
  int32: 'I32',
  bool: 'BOOL',
  bfloat16: 'BF16',
};
// The reference implementation puts wider elements first, which keeps each tensor aligned.
const ORDER: readonly FileDType[] = ['F64', 'F32', 'I32', 'BF16', 'BOOL'];

/**
 * Writes tensors, or the state of a module, to a safetensors file; the same tensors give the same
 * bytes. An existing file is replaced in one step when all is on disk, and untouched if anything
 * fails before that. Synchronous, so that no training step can fall between two tensors.
 *
 * @param tensors of any dtype and any shape.
 * @throws TapegradError `TG_FILE` if the system refuses, `TG_DISPOSED` for a tensor that is gone;
 * TypeError or RangeError for names or metadata that the format cannot hold.
 */
export function saveSafetensors(
  path: string,
  tensors: TensorSource,
  options: SaveOptions = {},
): void {
  const op = 'saveSafetensors';
  writeFileAtomic(checkPath(op, path), serialize(plan(op, tensors, options)));
}

/**
 * Reads a safetensors file. F32, F64, BF16, I32 and BOOL come back as written; F16 becomes float32; other integers become int32 if every value fits.
 *
 * Memory beyond the tensors returned: at most twice the file (four times for one-byte integers) and
 * 16 MiB.
 *
 * @throws TapegradError `TG_FILE` if the file cannot be read or breaks any rule of the format; then
 * no tensor is left behind.
 */
export function loadSafetensors(path: string): Safetensors {
  checkPath('loadSafetensors', path);
  let file: number;
  try {
    // Without O_NONBLOCK, opening a pipe would wait for a writer for ever.
    file = fs.openSync(path, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0));
  } catch (error) {
    throw fileError(`${path}: cannot open: ${reason(error)}`, error);
  }
  try {
    const stat = fs.fstatSync(file);
    if (!stat.isFile()) throw new FormatError('not a regular file');
    return read({ size: stat.size, read: (at, into) => readFully(file, at, into) });
  } catch (error) {
    throw explain(path, error);
  } finally {
    fs.closeSync(file);
  }
}

/**
 * The bytes of a safetensors file.
 * @throws As {@link saveSafetensors}, but for the file.
 */
export function encodeSafetensors(tensors: TensorSource, options: SaveOptions = {}): Uint8Array {
  const layout = plan('encodeSafetensors', tensors, options);
  const bytes = new Uint8Array(8 + layout.header.length + layout.dataBytes);
  let at = 0;
  for (const chunk of serialize(layout)) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/**
 * Reads the bytes of a safetensors file; they are copied.
 * @throws As {@link loadSafetensors}; the path in messages is `safetensors`.
 */
export function decodeSafetensors(bytes: Uint8Array): Safetensors {
  if (!(bytes instanceof Uint8Array))
    throw wrongType('decodeSafetensors', 'bytes', 'a Uint8Array', bytes);
  try {
    return read({
      size: bytes.byteLength,
      read: (at, into) => into.set(bytes.subarray(at, at + into.byteLength)),
    });
  } catch (error) {
    throw explain('safetensors', error);
  }
}

// ---- Reading

interface Source {
  readonly size: number;
  /** Fills `into` from the bytes at `at`, which are within the size. */
  read(at: number, into: Uint8Array): void;
}

function read(source: Source): Safetensors {
  checkHost();
  if (source.size < 8)
    throw new FormatError(`${source.size} bytes are too few: a file begins with 8 bytes`);
  const prefix = new Uint8Array(8);
  source.read(0, prefix);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new FormatError(
      `the header length of ${length} bytes is above the limit of ${MAX_HEADER_BYTES}`,
    );
  }
  const headerBytes = Number(length);
  const dataStart = 8 + headerBytes;
  if (dataStart > source.size) {
    throw new FormatError(
      `the header length of ${length} bytes passes the end of the file at ${source.size}`,
    );
  }
  const header = new Uint8Array(headerBytes);
  source.read(8, header);
  const { metadata, entries } = parseHeader(header, source.size - dataStart);

  const tensors = Object.create(null) as Record<string, Tensor>;
  try {
    for (const entry of entries) {
      const { data, dtype } = readData(source, dataStart, entry);
      tensors[entry.name] = fromData(data, entry.shape, dtype, 'cpu');
    }
  } catch (error) {
    for (const made of Object.values(tensors)) made.dispose();
    throw error;
  }
  return { tensors, metadata };
}

/**
 * One tensor's elements. Narrow elements are read into the end of the array and widened towards its
 * front.
 */
function readData(
  source: Source,
  dataStart: number,
  entry: Entry,
): { data: StoredArray; dtype: DType } {
  const { dtype, count, begin } = entry;
  const fileBytes = count * ELEMENT_SIZES[dtype];
  const target = convert.TARGETS[dtype];
  const buffer = new ArrayBuffer(Math.max(fileBytes, count * target.size));
  source.read(dataStart + begin, new Uint8Array(buffer, buffer.byteLength - fileBytes));
  const data = new target.array(buffer, 0, count);
  const bad = convert.inPlace(dtype, buffer, count);
  if (bad >= 0) {
    const what =
      dtype === 'BOOL' ? 'is neither 0 nor 1' : `does not fit into int32 (dtype ${dtype})`;
    throw new FormatError(`tensor ${quote(entry.name)}: element ${bad} ${what}`);
  }
  return { data, dtype: target.dtype };
}

function readFully(file: number, at: number, into: Uint8Array): void {
  for (let done = 0; done < into.byteLength;) {
    const n = fs.readSync(file, into, done, Math.min(1 << 26, into.byteLength - done), at + done);
    if (n === 0) throw new FormatError('the file became shorter while it was read');
    done += n;
  }
}

/**
 * Every failure of reading as a TG_FILE error that begins with the path; other codes (out of
 * memory) pass.
 */
function explain(path: string, error: unknown): unknown {
  if (error instanceof FormatError) return fileError(`${path}: ${error.message}`);
  if (error instanceof RangeError && /allocation failed/i.test(error.message)) {
    return fileError(`${path}: not enough memory to read it`, error);
  }
  const syscall = error instanceof Error && 'syscall' in error;
  return syscall ? fileError(`${path}: cannot read: ${reason(error)}`, error) : error;
}

// ---- Writing

interface Layout {
  header: Uint8Array;
  /** In file order. */
  tensors: Tensor[];
  dataBytes: number;
}

function plan(op: string, source: TensorSource, options: SaveOptions): Layout {
  checkHost();
  if (typeof source !== 'object' || source === null) {
    throw wrongType(op, 'tensors', 'an object of tensors or a module', source);
  }
  // A module's own tensors: its stateDict() would copy them all.
  const named: [string, unknown][] = isModule(source)
    ? [...source.namedParameters(), ...source.namedBuffers()]
    : Object.entries(source);
  const items = named.map(([name, value]) => {
    checkText(op, 'a tensor name', name);
    if (name === '__metadata__')
      throw wrongValue(op, 'a tensor name', 'other than __metadata__', name);
    const t = checkTensor(op, `tensors[${quote(name)}]`, value);
    return { name, tensor: t, dtype: WRITTEN[t.dtype] };
  });
  items.sort(
    (a, b) => ORDER.indexOf(a.dtype) - ORDER.indexOf(b.dtype) || compareUtf8(a.name, b.name),
  );
  let dataBytes = 0;
  const entries = items.map(({ name, tensor: t, dtype }): Entry => {
    const { shape, size: count } = t;
    if (shape.length > MAX_DIMENSIONS)
      throw wrongValue(op, name, `of at most ${MAX_DIMENSIONS} axes`, shape.length);
    const begin = dataBytes;
    dataBytes += count * ELEMENT_SIZES[dtype];
    return { name, dtype, shape, count, begin, end: dataBytes };
  });
  const metadata = checkMetadata(op, options);
  const count = entries.length + Object.keys(metadata).length;
  if (count > MAX_ENTRIES)
    throw wrongValue(op, 'tensors and metadata', `at most ${MAX_ENTRIES} entries`, count);
  const header = formatHeader({ metadata, entries });
  if (header.length > MAX_HEADER_BYTES) {
    throw wrongValue(op, 'the header', `at most ${MAX_HEADER_BYTES} bytes`, header.length);
  }
  return { header, tensors: items.map((item) => item.tensor), dataBytes };
}

const isModule = (source: object): source is ModuleLike =>
  typeof (source as ModuleLike).namedParameters === 'function';

/** The file piece by piece, so that no more than one tensor is copied at a time. */
function* serialize({ header, tensors }: Layout): Generator<Uint8Array> {
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(header.length), true);
  yield prefix;
  yield header;
  for (const t of tensors) {
    const data = storedData(t);
    yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
}

function checkMetadata(op: string, options: unknown): Record<string, string> {
  if (typeof options !== 'object' || options === null)
    throw wrongType(op, 'options', 'an object', options);
  const { metadata = {} } = options as { metadata?: unknown };
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw wrongType(op, 'metadata', 'an object of strings', metadata);
  }
  const copy = Object.create(null) as Record<string, string>;
  for (const [key, value] of Object.entries(metadata)) {
    checkText(op, 'a metadata key', key);
    copy[key] = checkText(op, `metadata[${quote(key)}]`, value);
  }
  return copy;
}

function checkText(op: string, argument: string, value: unknown): string {
  if (typeof value !== 'string') throw wrongType(op, argument, 'a string', value);
  if (hasLoneSurrogate(value)) throw wrongValue(op, argument, 'well-formed Unicode', value);
  return value;
}

function checkPath(op: string, path: unknown): string {
  if (typeof path !== 'string') throw wrongType(op, 'path', 'a string', path);
  if (path === '' || path.includes('\0'))
    throw new RangeError(`${op}: path must name a file, got ${describe(path)}`);
  return path;
}

/** The format is little-endian, and so are the machines that the kernels support. */
function checkHost(): void {
  if (endianness() !== 'LE')
    throw fileError('safetensors: this machine is big-endian, which is not supported');
}
