// Steps in flight on a CUDA device, at once and, on the emulated one, in processes whose copies come late: what the
// host writes or reads too early shows then. The tests themselves are in cuda/flight.ts.
import { expect } from 'chai';
import { fileURLToPath } from 'node:url';
import { runTests } from './children.js';
import { emulated, needsDevice } from './cuda/device.js';
import './cuda/flight.js';

describe('steps in flight, with another timing', function () {
  this.timeout(600_000);
  before(function () {
    needsDevice(this);
    if (!emulated) this.skip();
  });

  const ENVIRONMENTS: Record<string, NodeJS.ProcessEnv> = {
    'late copies, shuffled threads': {
      TAPEGRAD_EMULATION_COPY_DELAY: '300',
      TAPEGRAD_EMULATION_SEED: '5',
    },
    'launches that wait': { CUDA_LAUNCH_BLOCKING: '1' },
  };
  for (const [name, env] of Object.entries(ENVIRONMENTS))
    it(name, async () => {
      const { code, signal, report, stderr } = await runTests(env, [
        fileURLToPath(new URL('cuda/flight.js', import.meta.url)),
      ]);
      const failures = (report?.failures ?? []).map((f) => `${f.fullTitle}: ${f.err.message}`);
      expect(failures.join('\n'), stderr).to.equal('');
      expect({ code, signal }).to.deep.equal({ code: 0, signal: null });
      expect(report!.passes.length).to.be.at.least(14);
    });
});
