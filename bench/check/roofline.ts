// Part "roofline" of bench:check: how near kernels come to a multiply-add loop or a copy that runs beside them
// (native/bench/roofline.cpp). Lower bounds are set by hand, with room for noise and other processors: this part
// finds a kernel that fell off a cliff, the others smaller losses.
import { spawnSync } from 'node:child_process';
import { isa } from 'tapegrad';
import type { Part } from './part.js';
import { compiler, program } from './programs.js';

/** The median ratio to the roof of every case. @throws Error with what the program said */
function measure(command: string, set: string): Record<string, number> {
  const { status, stdout, stderr } = spawnSync(command, [set], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${set}: ${stderr.trim()}`);
  return Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([name, median]) => [name!, Number(median)]),
  );
}

export const roofline: Part<'roofline'> = {
  name: 'roofline',
  missing: () => (compiler() === null ? 'g++ is missing' : null),
  measure(baseline) {
    const command = program('roofline');
    const sets = isa().available.filter((set) => baseline[set]);
    return Object.fromEntries(sets.map((set) => [set, measure(command, set)]));
  },
  compare(now, baseline) {
    const failures: string[] = [];
    let checked = 0;
    for (const [set, ratios] of Object.entries(now)) {
      const bounds = baseline[set] ?? {};
      for (const name of new Set([...Object.keys(bounds), ...Object.keys(ratios)])) {
        ++checked;
        const [bound, ratio] = [bounds[name], ratios[name]];
        if (bound === undefined || ratio === undefined)
          failures.push(`${set} ${name}: ${bound ? 'no longer measured' : 'has no bound'}`);
        else if (!(ratio >= bound))
          failures.push(
            `${set} ${name}: ${ratio.toFixed(3)} of the roof, at least ${bound} wanted`,
          );
      }
    }
    return { checked, failures };
  },
};
