// Builds the CUDA library in build-cuda/, where nvcc is found: node scripts/build-cuda.mjs [--check | --emulated]
// --check: in build-cuda-check/ and hardly optimized, in a third of the time: whether nvcc takes all sources for all
// targets. --emulated: the same sources for an emulated device, in build-cuda-emulated/, which tests use.
import { existsSync } from 'node:fs';
import { has, jobs, run, skip } from './tools.mjs';

const emulated = process.argv.includes('--emulated');
const check = process.argv.includes('--check');
const folder = emulated ? 'build-cuda-emulated' : check ? 'build-cuda-check' : 'build-cuda';
const what = emulated ? 'the CUDA library for an emulated device' : 'the CUDA library';

const nvcc = [process.env.CUDACXX, 'nvcc', '/usr/local/cuda/bin/nvcc'].find(
  (program) => program && has(program),
);
if (!has('cmake')) skip(what, 'cmake is missing');
if (!emulated && !nvcc) skip(what, 'nvcc is missing (tried CUDACXX, PATH and /usr/local/cuda)');

const options = emulated
  ? ['-DTAPEGRAD_CUDA_EMULATED=ON', '-DTAPEGRAD_ISAS=avx2']
  : [
      ...['-DTAPEGRAD_CUDA=ON', `-DCMAKE_CUDA_COMPILER=${nvcc}`],
      `-DTAPEGRAD_CUDA_CHECK=${check ? 'ON' : 'OFF'}`,
    ];
if (!existsSync(new URL(`../${folder}/CMakeCache.txt`, import.meta.url)))
  run('cmake', ['-S', '.', '-B', folder, '-DTAPEGRAD_ADDON=OFF', ...options]);
run('cmake', [
  '--build',
  folder,
  '--parallel',
  jobs,
  '--target',
  emulated ? 'tapegrad_cuda_emulated' : 'tapegrad_cuda',
]);
