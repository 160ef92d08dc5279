// Child process: programs that drop tensors without disposing of them, and allocations near the limit, each
// named by the first argument. Prints one line of JSON.
import * as fs from 'node:fs';
import * as tg from 'tapegrad';
import { setup, step } from './train.js';

/** Peak resident memory in bytes, by the kernel's count. */
function peakResident(): number {
  const line = /^VmHWM:\s+(\d+) kB/m.exec(fs.readFileSync('/proc/self/status', 'utf8'));
  return line ? Number(line[1]) * 1024 : 0;
}
const [mode, count] = [process.argv[2], Number(process.argv[3])];
const startResident = peakResident();
const print = (result: object): void => {
  console.log(JSON.stringify(result));
};

switch (mode) {
  // Many small tensors, made and forgotten, in a loop that never returns to the event loop.
  case 'drop': {
    let most = 0;
    for (let i = 0; i < count; ++i) {
      tg.ones([4, 4]).add(1);
      if (i % 1000 === 0) most = Math.max(most, tg.memory().tensors);
    }
    print({ most, peakBytes: tg.memory().peakBytes, resident: peakResident() - startResident });
    break;
  }
  // The same with 1 MiB each.
  case 'drop-large': {
    for (let i = 0; i < count; ++i) tg.zeros([512, 512]);
    print({ peakBytes: tg.memory().peakBytes, resident: peakResident() - startResident });
    break;
  }
  // A first program's training loop: nothing is disposed of.
  case 'train': {
    const s = setup(1);
    const seen: { tensors: number; bytes: number; systemAllocations: number }[] = [];
    for (let i = 0; i < count; ++i) {
      step(s);
      if ((i + 1) % 100 === 0) seen.push(tg.memory());
    }
    print({ seen, resident: peakResident() - startResident });
    break;
  }
  // Needs --expose-gc: what the collector took is freed once the event loop turns.
  case 'event-loop': {
    const before = tg.memory();
    (() => {
      for (let i = 0; i < count; ++i) tg.ones([1000]);
    })();
    const made = tg.memory().tensors - before.tensors;
    for (let i = 0; i < 20 && tg.memory().tensors > before.tensors; ++i) {
      globalThis.gc!();
      await new Promise((done) => setTimeout(done, 5));
    }
    const after = tg.memory();
    print({ made, left: after.tensors - before.tensors, bytes: after.bytes - before.bytes });
    break;
  }
  // Garbage is collected before an allocation is refused.
  case 'garbage': {
    tg.memory.limit = 64 << 20;
    // 8 MiB each: sixteen times what fits, and nobody says dispose.
    for (let i = 0; i < count; ++i) tg.ones([2 << 20]);
    // One that fits only if all of them go, but not the one that is in use.
    const used = tg.ones([2 << 20]);
    const large = tg.zeros([12 << 20]);
    print({ sum: used.sum().item(), size: large.size, peakBytes: tg.memory().peakBytes });
    break;
  }
  default:
    throw new Error(`no mode ${mode}`);
}
