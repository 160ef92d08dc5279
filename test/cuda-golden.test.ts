// The golden ops, optimizers and trainings, and the tests of layers, with 'cuda' as the default device: in a process
// of their own, since they make all their tensors there.
import { expect } from 'chai';
import { fileURLToPath } from 'node:url';
import { runTests } from './children.js';
import { needsDevice } from './cuda/device.js';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

describe('golden cases on CUDA', function () {
  this.timeout(600_000);
  before(function () {
    needsDevice(this);
  });

  it('ops with their gradients, optimizers and trainings', async () => {
    const { code, signal, report, stderr } = await runTests({}, [
      '--file',
      here('cuda/default.js'),
      here('golden.test.js'),
    ]);
    expect(
      (report?.failures ?? []).map((f) => `${f.fullTitle}: ${f.err.message}`).join('\n'),
      stderr,
    ).to.equal('');
    expect({ code, signal }).to.deep.equal({ code: 0, signal: null });
    expect(report!.passes.filter((p) => p.fullTitle.startsWith('golden ')).length).to.be.above(300);
  });
});
