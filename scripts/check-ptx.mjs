// Looks at what nvcc makes of the kernels that live on the tensor cores: node scripts/check-ptx.mjs [SOURCE…]
// Compiles native/cuda/gemm_hopper.cu, gemm_hopper_tf32.cu and gemm_split.cu, or those named, for sm_90a and fails if a
// kernel spills registers, if the assembler has given up asynchrony, or if a product lacks its instructions.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { has, root, skip } from './tools.mjs';

/** What kind of product a file's kernels make. */
const kinds = {
  gemm_hopper: 'k16.f32.bf16.bf16',
  gemm_hopper_tf32: 'k8.f32.tf32.tf32',
  gemm_split: 'k16.f32.bf16.bf16',
};
const sources = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(kinds);
const wanted = ['wgmma.mma_async', 'cp.async.bulk.tensor', 'setmaxnreg', 'mbarrier.try_wait'];

const nvcc = [process.env.CUDACXX, 'nvcc', '/usr/local/cuda/bin/nvcc'].find(
  (program) => program && has(program),
);
if (!nvcc) skip('the check of PTX', 'nvcc is missing (tried CUDACXX, PATH and /usr/local/cuda)');

const { tg_cuda_flags: flags } = JSON.parse(
  readFileSync(join(root, 'native/sources.gypi'), 'utf8'),
).variables;

/** What nvcc's assembler says of each kernel, and the PTX that it has read. */
function compile(source) {
  const folder = mkdtempSync(join(tmpdir(), 'tapegrad-ptx-'));
  const result = spawnSync(
    nvcc,
    [
      ...flags,
      '--generate-code=arch=compute_90a,code=sm_90a',
      '--ptxas-options=-v',
      '--keep',
      `--keep-dir=${folder}`,
      '-c',
      `native/cuda/${source}.cu`,
      '-o',
      join(folder, 'object.o'),
    ],
    { cwd: root, encoding: 'utf8' },
  );
  const report = `${result.stdout}${result.stderr}`;
  const ptx = readdirSync(folder).find((file) => file.endsWith('.ptx'));
  const text = ptx ? readFileSync(join(folder, ptx), 'utf8') : '';
  rmSync(folder, { recursive: true });
  if (result.status === 0 && text) return { report, text };
  console.error(report);
  console.error(`${source}.cu: nvcc failed (${result.status ?? result.error?.message})`);
  process.exit(1);
}

/** Bytes that each kernel spills, by its name, from the report of `ptxas -v`. */
function spills(report) {
  const bytes = new Map();
  let name = null;
  for (const line of report.split('\n')) {
    name = /Compiling entry function '(\w+)'/.exec(line)?.[1] ?? name;
    const found = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(
      line,
    );
    if (found && name) bytes.set(name, Math.max(...found.slice(1).map(Number)));
  }
  return bytes;
}

/** The text of each kernel, by its name. */
const kernels = (ptx) =>
  new Map(ptx.split('.entry ').map((text) => [/^\w*/.exec(text)[0], text])).entries();

let faults = 0;
const fault = (message) => {
  ++faults;
  console.error(`FAULT ${message}`);
};
for (const source of sources) {
  const { report, text } = compile(source);
  // C75xx: instructions were made to wait for each other, or registers were not handed over.
  for (const [, warning] of report.matchAll(/(\(C75\d\d\).*)/g)) fault(`${source}.cu: ${warning}`);
  const spilled = spills(report);
  if (spilled.size === 0) fault(`${source}.cu: ptxas reports no kernel`);
  for (const [name, bytes] of spilled)
    if (bytes > 0) fault(`${name} has ${bytes} bytes of its registers in memory`);
  let products = 0;
  for (const [name, kernel] of kernels(text)) {
    if (!name.includes('gemm_kernel')) continue;
    ++products;
    for (const instruction of [...wanted, kinds[source] ?? ''])
      if (!kernel.includes(instruction)) fault(`${name} has no ${instruction}`);
  }
  if (products === 0) fault(`${source}.cu has no product`);
  console.log(`${source}.cu: ${spilled.size} kernels, ${products} of them products`);
}
console.log(faults ? `PTX: ${faults} faults` : 'PTX: no spills, all instructions there');
process.exit(faults ? 1 : 0);
