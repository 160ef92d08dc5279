// Which CUDA device tests run on: that of TAPEGRAD_CUDA_LIBRARY, else a real one, else the emulated one where it
// is built (npm run build:cuda:emulated), else none. Imported before the library is looked for.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';

const EMULATED = fileURLToPath(
  new URL('../../../build-cuda-emulated/Release/libtapegrad_cuda_emulated.so', import.meta.url),
);
if (!process.env['TAPEGRAD_CUDA_LIBRARY'] && !existsSync('/dev/nvidiactl') && existsSync(EMULATED))
  process.env['TAPEGRAD_CUDA_LIBRARY'] = EMULATED;

/** Why there is no device; empty if there is one. */
export const missing = tg.cuda.diagnose().reason;
export const emulated = tg.cuda.diagnose().devices[0]?.name === 'Emulated device';

/** Skips a test or a suite without a device, and says why. */
export function needsDevice(context: Mocha.Context): void {
  if (missing === '') return;
  // Mocha has printed the suite's title already, and prints no reason.
  console.log(`    skipped: ${missing}`);
  context.skip();
}
