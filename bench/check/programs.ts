// Compiles the native benchmarks (native/bench) against the addon's own objects: what is measured is what ships,
// and it takes a second.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../machine.js';

const OBJECTS = join(ROOT, 'build/Release/obj.target');
const CXX = process.env['CXX'] || 'g++';

/** "g++ (Debian 12.2.0-14+deb12u1) 12.2.0", or null if there is none. */
export function compiler(): string | null {
  const { status, stdout } = spawnSync(CXX, ['--version'], { encoding: 'utf8' });
  return status === 0 ? (stdout.split('\n', 1)[0] ?? '').trim() : null;
}

/** Whether a program may include <file>. */
export function hasHeader(file: string): boolean {
  const args = ['-x', 'c++', '-fsyntax-only', '-include', file, '/dev/null'];
  return spawnSync(CXX, args).status === 0;
}

/** Brings the addon up to date, which its objects are read from. @throws Error */
export function buildAddon(): void {
  const gyp = join(ROOT, 'node_modules/node-gyp/bin/node-gyp.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [gyp, 'build'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the addon does not build:\n${tail(stdout + stderr)}`);
}

/** The path of a program of native/bench, freshly compiled. @throws Error with the compiler's complaint */
export function program(name: 'instructions' | 'roofline'): string {
  const { variables } = JSON.parse(readFileSync(join(ROOT, 'native/sources.gypi'), 'utf8')) as {
    variables: Record<string, string[]>;
  };
  const objects = Object.entries(variables)
    .filter(([list]) => list.endsWith('_sources') && list !== 'tg_binding_sources')
    .flatMap(([list, sources]) => {
      const target = list === 'tg_core_sources' ? 'tapegrad' : list.replace(/_sources$/, '');
      return sources.map((source) => join(OBJECTS, target, source.replace(/\.cpp$/, '.o')));
    })
    .filter((object) => existsSync(object)); // those of another processor do not
  const folder = join(ROOT, 'build-bench');
  mkdirSync(folder, { recursive: true });
  const out = join(folder, name);
  const { status, stderr } = spawnSync(
    CXX,
    [
      ...[...variables['tg_flags']!, ...variables['tg_lint_flags']!],
      ...[join(ROOT, `native/bench/${name}.cpp`), ...objects, '-pthread', '-o', out],
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`native/bench/${name}.cpp does not build:\n${tail(stderr)}`);
  return out;
}

const tail = (text: string): string => text.trim().split('\n').slice(-15).join('\n');
