// A safetensors file that notices damage: a checksum of every tensor and of a text, in its metadata. Knows nothing of
// what the text and the tensors mean.
import { createHash } from 'node:crypto';
import type { Tensor } from '../tensor.js';
import { fileError, quote } from './error.js';
import { loadSafetensors, saveSafetensors } from './safetensors.js';

/** What a sealed file holds. */
export interface Sealed {
  readonly tensors: Record<string, Tensor>;
  readonly text: string;
}

const hex = (...parts: (string | Uint8Array)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

/** SHA-256 of dtype, shape and elements. */
function digest(t: Tensor): string {
  const { buffer, byteOffset, byteLength } = t.dataSync();
  return hex(`${t.dtype}[${t.shape.join()}]`, new Uint8Array(buffer, byteOffset, byteLength));
}

/**
 * @internal Writes tensors and a text in one step, as {@link saveSafetensors} does.
 * @param kind - what the file is, such as "tapegrad.checkpoint"
 * @param version - of the text's and the names' meaning
 */
export function saveSealed(
  path: string,
  kind: string,
  version: number,
  { tensors, text }: Sealed,
): void {
  const sums = Object.entries(tensors).map(([name, t]) => [name, digest(t)]);
  saveSafetensors(path, tensors, {
    metadata: {
      [kind]: `${version}`,
      text,
      'sha256.text': hex(text),
      'sha256.tensors': JSON.stringify(Object.fromEntries(sums)),
    },
  });
}

/**
 * @internal Reads what {@link saveSealed} wrote.
 * @throws TapegradError TG_FILE if the file cannot be read, is of another kind or version, or was damaged; then no
 * tensor is left behind
 */
export function loadSealed(path: string, kind: string, version: number): Sealed {
  const { tensors, metadata } = loadSafetensors(path);
  try {
    const found = metadata[kind];
    if (found === undefined) throw fileError(`${path}: is no ${kind}`);
    if (found !== `${version}`)
      throw fileError(
        `${path}: is a ${kind} of version ${quote(found)}; this tapegrad reads version ${version}`,
      );
    const { text = '' } = metadata;
    if (metadata['sha256.text'] !== hex(text))
      throw fileError(`${path}: is damaged: the checksum of its text is wrong`);
    const sums = parse(metadata['sha256.tensors']);
    for (const [name, t] of Object.entries(tensors))
      if (sums.get(name) !== digest(t))
        throw fileError(`${path}: is damaged: the checksum of tensor ${quote(name)} is wrong`);
    for (const name of sums.keys())
      if (!Object.hasOwn(tensors, name))
        throw fileError(`${path}: is damaged: tensor ${quote(name)} is missing`);
    return { tensors, text };
  } catch (error) {
    for (const t of Object.values(tensors)) t.dispose();
    throw error;
  }
}

function parse(sums: string | undefined): Map<string, unknown> {
  try {
    return new Map(Object.entries(JSON.parse(sums ?? '{}') as Record<string, unknown>));
  } catch {
    return new Map(); // every tensor will lack its checksum
  }
}
