// The sources of the CUDA backend, where no device is needed: each is built, each op of the schema has its driver,
// and the tensor cores are used as they are meant to be. That each op's kernel is right is shown on a device: by
// cuda-catalogue.test.ts, and by native/test/cuda_test.cpp, which counts the opcodes that it has seen.
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OPS } from '#lib/schema.gen.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

describe('the sources of the CUDA backend', function () {
  it('are all built', () => {
    const { variables } = JSON.parse(read('native/sources.gypi')) as {
      variables: { tg_cuda_sources: string[] };
    };
    const files = readdirSync(join(ROOT, 'native/cuda')).filter((file) => file.endsWith('.cu'));
    expect([...variables.tg_cuda_sources].sort()).to.deep.equal(
      files.map((file) => `native/cuda/${file}`).sort(),
    );
  });

  it('have a driver for each op of the schema', () => {
    const elementwise = ['unary', 'binary', 'loss', 'compare'];
    const others = Object.values(OPS).filter(({ kind }) => !elementwise.includes(kind));
    // Nothing is computed by views, and `where` is elementwise, too: the switch's default.
    const views = ['reshape', 'permute', 'broadcastTo', 'slice'];
    const wanted = others
      .map(({ name }) => name)
      .filter((n) => n !== 'where' && !views.includes(n));
    const cases = [...read('native/cuda/backend.cu').matchAll(/\bcase op_(\w+):/g)];
    expect(cases.map(([, name]) => name!).sort()).to.deep.equal(wanted.sort());
    expect(read('native/cuda/backend.cu')).to.match(/default:\s+return run_elementwise\(/);
  });

  it('use wgmma and TMA on sm_90a, without spills', async function () {
    // One file: nvcc has other things to do in CI. `npm run check:ptx` looks at all of them.
    this.timeout(600_000);
    const { code, text } = await new Promise<{ code: number | null; text: string }>(
      (resolve, reject) => {
        const child = spawn(process.execPath, [join(ROOT, 'scripts/check-ptx.mjs'), 'gemm_hopper']);
        let text = '';
        for (const stream of [child.stdout, child.stderr])
          stream.setEncoding('utf8').on('data', (part: string) => (text += part));
        child.on('error', reject);
        child.on('close', (code) => {
          resolve({ code, text });
        });
      },
    );
    const skipped = /^SKIPPED .*: (.*)$/m.exec(text);
    if (skipped) {
      this.test!.title += ` (${skipped[1]})`;
      this.skip();
    }
    expect(code, text).to.equal(0);
    expect(text).to.match(/^gemm_hopper\.cu: [1-9]\d* kernels, [1-9]\d* of them products$/m);
  });
});
