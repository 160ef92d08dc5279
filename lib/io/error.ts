// The errors of every reader and writer of files, and their words. Knows no format.
import { TapegradError } from '../errors.js';

/**
 * A file that cannot be read or written, or whose content breaks the rules of its format.
 * The message reads `path: what is wrong, where`; `cause` is the system's error, if there was one.
 */
export function fileError(message: string, cause?: unknown): TapegradError {
  return new TapegradError('TG_FILE', message, cause === undefined ? undefined : { cause });
}

/**
 * The system's words for a failed call, without its path: `ENOSPC: no space left on device, write`.
 */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message.replace(/ '.*$/s, '') : String(error);
}

/**
 * A name out of a file, fit for a message: quoted, control characters escaped, cut after 80
 * characters.
 */
export function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}
