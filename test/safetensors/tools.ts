// What the tests of safetensors share: files made by hand, errors caught, processes of their own.
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tg from 'tapegrad';

/** A temporary folder for the tests of the surrounding `describe`; the answer is its path. */
export function useFolder(): () => string {
  let folder = '';
  before(() => {
    folder = fs.mkdtempSync(join(tmpdir(), 'tapegrad-test-'));
  });
  after(() => {
    fs.rmSync(folder, { recursive: true });
  });
  return () => folder;
}

/** A file with any header, whether or not its length field tells the truth. */
export function fileOf(
  header: string | Uint8Array,
  data: Uint8Array | number = 0,
  length?: bigint,
): Uint8Array {
  const text = typeof header === 'string' ? Buffer.from(header) : header;
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(text.length));
  return Buffer.concat([prefix, text, typeof data === 'number' ? new Uint8Array(data) : data]);
}
export const bytesOf = (array: ArrayBufferView) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** One tensor "x" of a dtype over the given elements. */
export const single = (
  dtype: string,
  array: ArrayBufferView & { length: number },
  shape: number[] = [array.length],
) =>
  fileOf(
    JSON.stringify({ x: { dtype, shape, data_offsets: [0, array.byteLength] } }),
    bytesOf(array),
  );

/** What the call throws; that it throws is asserted. */
export function caught(call: () => unknown): Error & { code?: string } {
  try {
    call();
  } catch (error) {
    expect(error).to.be.instanceOf(Error);
    return error as Error & { code?: string };
  }
  throw new Error('nothing was thrown');
}

/** A process of its own, in the package's folder so that it finds `tapegrad`. */
export const child = (wrapper: string[], script: string) => {
  const [command, ...args] = [...wrapper, process.execPath, '--input-type=module', '-e', script];
  return spawnSync(command, args, {
    encoding: 'utf8',
    cwd: new URL('../../../', import.meta.url),
  });
};

/** Live tensors of this thread, so that a leak shows. */
export const live = () => tg.memory().tensors;
