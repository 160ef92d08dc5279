// Lints the C++ code: every source in native/sources.gypi, those of CUDA too, through the compilers' front ends with the
// flags of the build plus tg_lint_flags. g++ must exist; clang++ takes part where it does. Sources of
// another processor are left to a cross compiler, if there is one. --unbuilt: without what
// test:native:sanitize and test:native:cuda build with these flags anyway.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { has, hasSanitizers, jobs, root } from './tools.mjs';

const unbuilt = process.argv.includes('--unbuilt') && has('cmake') && hasSanitizers();
const { variables } = JSON.parse(readFileSync(join(root, 'native/sources.gypi'), 'utf8'));
const napi = resolve(createRequire(import.meta.url)('node-addon-api').include_dir);
const nodeApi = createRequire(import.meta.url)('node-api-headers').include_dir;
const ISAS = { x64: ['baseline', 'avx2', 'avx512', 'avx512bf16'], arm64: ['neon'] };

/** [source, flags] of all sources that the compiler of a processor sees. */
function sourcesFor(arch) {
  const list = variables.tg_core_sources.map((source) => [source, []]);
  const binding = ['-isystem', napi, '-isystem', nodeApi];
  binding.push(...variables.tg_defines.map((name) => `-D${name}`));
  for (const source of variables.tg_binding_sources) list.push([source, binding]);
  for (const isa of ISAS[arch])
    for (const source of variables[`tg_${isa}_sources`])
      list.push([source, variables[`tg_${isa}_flags`] ?? []]);
  return list;
}

/** The CUDA library's sources, as g++ sees them for the emulated device. */
function cudaSources() {
  const folder = 'native/cuda/emulation';
  const flags = [`-I${folder}`, '-Wno-unknown-pragmas', '-xc++'];
  const own = readdirSync(join(root, folder)).filter((file) => file.endsWith('.cpp'));
  return [...variables.tg_cuda_sources, ...own.map((file) => `${folder}/${file}`)].map((source) => [
    source,
    flags,
  ]);
}

const native = process.arch;
const cross = { x64: 'aarch64-linux-gnu-g++', arm64: 'x86_64-linux-gnu-g++' }[native];
const compilers = [
  ['g++', native],
  ['clang++', native],
  [cross, native === 'x64' ? 'arm64' : 'x64'],
];
const tasks = [];
for (const [compiler, arch] of compilers) {
  if (!has(compiler)) {
    if (compiler === 'g++') throw new Error('g++ is missing');
    console.log(`lint: ${compiler} is missing and left out`);
    continue;
  }
  const flags = [...variables.tg_flags, ...variables.tg_lint_flags, '-fsyntax-only'];
  let sources = sourcesFor(arch);
  if (compiler === 'g++') sources.push(...cudaSources());
  if (compiler === 'g++' && unbuilt)
    sources = sources.filter(([source]) => variables.tg_avx512_sources.includes(source));
  for (const [source, more] of sources) tasks.push([compiler, [...flags, ...more, source]]);
}

let failed = 0;
const total = tasks.length;
async function worker() {
  for (let task = tasks.shift(); task; task = tasks.shift()) {
    const child = spawn(task[0], task[1], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    const status = await new Promise((resolve) => {
      child.on('error', () => resolve(-1)).on('close', resolve);
    });
    if (status !== 0) ++failed;
  }
}
await Promise.all(Array.from({ length: Number(jobs) }, worker));
console.log(`lint: ${total} compilations of native sources, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
