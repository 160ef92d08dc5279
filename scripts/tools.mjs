// What the build scripts share: running a program, finding one, and skipping with a reason.
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
export const jobs = String(availableParallelism());

/** Runs a program in the repository's root with our input and output; ends this process if it fails. */
export function run(program, args, env = {}) {
  console.log(`$ ${[program, ...args].join(' ')}`);
  const result = spawnSync(program, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (result.error) console.error(`${program}: ${result.error.message}`);
  if (result.signal) console.error(`${program}: ended by ${result.signal}`);
  if (result.status !== 0) process.exit(result.status || 1);
}

/** What a program prints, trimmed, or null if it is missing or fails. */
export function output(program, args, input = '') {
  const result = spawnSync(program, args, { cwd: root, input, encoding: 'utf8' });
  return result.status === 0 ? result.stdout.trim() : null;
}

export const has = (program) => output(program, ['--version']) !== null;

export function skip(what, reason) {
  console.log(`SKIPPED ${what}: ${reason}`);
  process.exit(0);
}

/** Prepares build-sanitize/, where the addon and the native tests share what both need. */
export function configureSanitized() {
  run(process.execPath, [
    join(root, 'node_modules/cmake-js/bin/cmake-js'),
    ...['configure', '--out', 'build-sanitize'],
    ...['--CDTAPEGRAD_SANITIZE=ON', '--CDTAPEGRAD_ISAS=baseline', '--CDTAPEGRAD_LINT=ON'],
    '--CDBUILD_TESTING=ON',
  ]);
}

const compiler = process.env.CXX || 'g++';

/** Whether the C++ compiler can link with AddressSanitizer. */
export function hasSanitizers() {
  const args = ['-fsanitize=address,undefined', '-x', 'c++', '-', '-o', '/dev/null'];
  return output(compiler, args, 'int main() {}') !== null;
}

/** Ends this process, successfully, where it cannot. */
export function needSanitizers(what) {
  if (!hasSanitizers())
    skip(what, `${compiler} cannot link with -fsanitize=address,undefined (libasan, libubsan)`);
}
