// Builds and runs the native tests: node scripts/native-test.mjs [--sanitize | --thread | --cuda | --arm64] [-R <tests>]
// --sanitize: with AddressSanitizer and UBSan, beside the addon's (sanitize.mjs); --thread: with ThreadSanitizer;
// --cuda: those of the CUDA kernels on an emulated device, and only those; --arm64: cross-compiled and run by QEMU.
// Further arguments go to ctest.
import { existsSync } from 'node:fs';
import { configureSanitized, has, jobs, needSanitizers, run, skip } from './tools.mjs';

const KINDS = {
  '--plain': { folder: 'build-native', options: ['-DTAPEGRAD_LINT=ON'] },
  '--sanitize': { folder: 'build-sanitize', options: [] },
  '--thread': { folder: 'build-native-thread', options: ['-DTAPEGRAD_SANITIZE=thread'] },
  '--cuda': {
    folder: 'build-cuda-emulated',
    options: ['-DTAPEGRAD_CUDA_EMULATED=ON', '-DTAPEGRAD_ISAS=avx2', '-DTAPEGRAD_LINT=ON'],
    targets: ['cuda', 'cuda_gemm', 'cuda_gemm_hopper', 'cuda_emulation', 'cuda_emulation_units'],
  },
  '--arm64': {
    folder: 'build-arm64',
    options: ['-DTAPEGRAD_LINT=ON', '-DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake'],
  },
};
const args = process.argv.slice(2);
const kind = args[0] in KINDS ? args.shift() : '--plain';
const { folder, options, targets = [] } = KINDS[kind];
const what = `native tests (${kind.slice(2)})`;

if (!has('cmake')) skip(what, 'cmake is missing');
if (kind === '--sanitize') needSanitizers(what);
if (kind === '--arm64') {
  if (!has('aarch64-linux-gnu-g++')) skip(what, 'aarch64-linux-gnu-g++ is missing');
  if (!has('qemu-aarch64') && !has('qemu-aarch64-static')) skip(what, 'qemu-aarch64 is missing');
  if (!existsSync('/usr/aarch64-linux-gnu/lib')) skip(what, 'the AArch64 C library is missing');
}

if (kind === '--sanitize') configureSanitized();
else run('cmake', ['-S', '.', '-B', folder, '-DTAPEGRAD_ADDON=OFF', ...options]);
const only = targets.length > 0 ? ['--target', ...targets.map((name) => `${name}_test`)] : [];
run('cmake', ['--build', folder, '--parallel', jobs, ...only]);
run('ctest', [
  '--test-dir',
  folder,
  '--output-on-failure',
  '--no-tests=error',
  '--parallel',
  jobs,
  ...(targets.length > 0 ? ['-R', '^cuda'] : []),
  ...args,
]);
