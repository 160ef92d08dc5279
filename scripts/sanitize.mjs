// The addon with AddressSanitizer and UBSan, and the baseline's kernels, in build-sanitize/: node scripts/sanitize.mjs build | test
// `test` builds it and runs mocha on it, with further arguments passed on. Node itself is not
// instrumented, hence the preloaded runtime; its leaks at exit are not ours.
import { join } from 'node:path';
import {
  configureSanitized,
  has,
  jobs,
  needSanitizers,
  output,
  root,
  run,
  skip,
} from './tools.mjs';

const [command = 'build', ...args] = process.argv.slice(2);
const what = `sanitizer ${command}`;
if (process.platform !== 'linux') skip(what, 'written for Linux');
if (!has('cmake')) skip(what, 'cmake is missing');
needSanitizers(what);

configureSanitized();
run('cmake', ['--build', 'build-sanitize', '--parallel', jobs, '--target', 'tapegrad']);
if (command === 'test') {
  const library = (name) => output(process.env.CXX || 'g++', [`-print-file-name=${name}`]);
  run(
    process.execPath,
    [join(root, 'node_modules/mocha/bin/mocha.js'), '--timeout', '120000', ...args],
    {
      TAPEGRAD_ADDON: join(root, 'build-sanitize/Release/tapegrad.node'),
      LD_PRELOAD: [library('libasan.so'), library('libstdc++.so')].join(':'),
      ASAN_OPTIONS: 'detect_leaks=0:handle_segv=2:allocator_may_return_null=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
  );
}
