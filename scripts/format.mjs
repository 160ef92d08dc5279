// Formats every source that git knows or would add: node scripts/format.mjs [--check]
// clang-format for C++, prettier for the rest (which skips what .prettierignore names).
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { output, root, run } from './tools.mjs';

const require = createRequire(import.meta.url);
const check = process.argv.includes('--check');
const listed = output('git', [
  'ls-files',
  '--cached',
  '--others',
  '--exclude-standard',
  '--deduplicate',
]);
const cpp = listed?.split('\n').filter((file) => /\.(cpp|h|cu|cuh)$/.test(file)) ?? [];
if (cpp.length === 0) throw new Error('git lists no C++ files: run this in a checkout');

const clangFormat = join(dirname(require.resolve('clang-format')), 'index.js');
run(process.execPath, [clangFormat, ...(check ? ['--dry-run', '--Werror'] : ['-i']), ...cpp]);
const prettier = join(dirname(require.resolve('prettier')), 'bin/prettier.cjs');
run(process.execPath, [prettier, check ? '--check' : '--write', '--log-level', 'warn', root]);
console.log(check ? 'format: clean' : 'format: done');
