// Writing a file so that a reader finds the old content or the new, whatever happens in between.
// Knows nothing of tensors or formats.
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { fileError, reason } from './error.js';

// One write call takes at most 2 GiB on every system; smaller pieces cost nothing.
const PIECE = 1 << 26;

/**
 * Replaces the content of `path` by `chunks`, one after the other: a new file in the same folder is
 * written, forced to the disk and renamed over the old one. On any error, that of an iterator
 * included, the new file is removed and the old one is untouched. A symbolic link keeps pointing
 * where it did; an existing file keeps its permissions. Only a process killed in mid-write can
 * leave its `.tapegrad-*.tmp` behind.
 *
 * Synchronous, so that no other code runs, and changes the chunks, between the first and the last.
 *
 * @throws TapegradError `TG_FILE` if the system refuses; errors of the iterator pass through.
 */
export function writeFileAtomic(path: string, chunks: Iterable<Uint8Array>): void {
  const fail = (error: unknown): never => {
    throw fileError(`${path}: cannot write: ${reason(error)}`, error);
  };
  const attempt = <T>(call: () => T): T => {
    try {
      return call();
    } catch (error) {
      return fail(error);
    }
  };

  const old = attempt(() => fs.statSync(path, { throwIfNoEntry: false }));
  // Renaming over a device or a pipe would replace it.
  if (old && !old.isFile()) throw fileError(`${path}: cannot write: not a regular file`);
  const target = attempt(() => (old ? fs.realpathSync(path) : path));
  const folder = dirname(target);
  // Named independently of the target, whose name may be as long as the system allows.
  const temporary = join(folder, `.tapegrad-${randomBytes(12).toString('hex')}.tmp`);
  const file = attempt(() => fs.openSync(temporary, 'wx'));
  let open = true;
  try {
    for (const chunk of chunks) attempt(() => writeAll(file, chunk));
    attempt(() => {
      if (old) fs.fchmodSync(file, old.mode);
      fs.fsyncSync(file);
      open = false;
      fs.closeSync(file);
      fs.renameSync(temporary, target);
    });
  } catch (error) {
    if (open) ignoreErrors(() => fs.closeSync(file));
    ignoreErrors(() => fs.unlinkSync(temporary));
    throw error;
  }
  syncFolder(folder);
}

function writeAll(file: number, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.byteLength;) {
    const written = fs.writeSync(file, chunk, at, Math.min(PIECE, chunk.byteLength - at));
    if (written === 0) throw new Error('the system wrote nothing, and gave no reason');
    at += written;
  }
}

/**
 * Makes the new name survive a power cut. The content is in place by now, so a refusal is no
 * failure.
 */
function syncFolder(folder: string): void {
  ignoreErrors(() => {
    const handle = fs.openSync(folder, 'r');
    try {
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
  });
}

function ignoreErrors(call: () => void): void {
  try {
    call();
  } catch {
    // The error worth telling is already on its way.
  }
}
