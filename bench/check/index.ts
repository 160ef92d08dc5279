// npm run bench:check: the gate against getting slower. Never an absolute time: counts that are exact, and ratios
// within one run. See docs/performance.md.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { counters } from './counters.js';
import { instructions } from './instructions.js';
import { BASELINE, readBaseline, writeBaseline, type Baseline, type Part } from './part.js';
import { buildAddon } from './programs.js';
import { roofline } from './roofline.js';

type AnyPart = { [Name in keyof Baseline]: Part<Name> }[keyof Baseline];
const PARTS: readonly AnyPart[] = [counters, instructions, roofline];
const NAMES = PARTS.map((part) => part.name);

const HELP = `Fails if tapegrad does more work than it did, or runs slower against the machine's limits.

  --only PART[,PART]   of ${NAMES.join(', ')}; all unless told. Only roofline needs a quiet machine.
  --update             writes what was counted into bench/check/baseline.json; bounds of the roofline stay
  --baseline FILE      instead of that one
  --base REF           then compares with a build of this commit, as npm run bench:compare -- REF does
  --help               this text`;

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        only: { type: 'string', default: NAMES.join() },
        update: { type: 'boolean', default: false },
        baseline: { type: 'string', default: BASELINE },
        base: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    const [line = ''] = (error as Error).message.split(/\n|\. /);
    throw new Error(`${line} (see --help)`);
  }
}

/** Checks one part, or rewrites its baseline; whether it holds. */
function check<Name extends keyof Baseline>(
  part: Part<Name>,
  baseline: Baseline,
  update: boolean,
): boolean {
  const expected = baseline[part.name];
  const reason = part.missing() ?? (update ? null : (part.incomparable?.(expected) ?? null));
  if (reason !== null) {
    console.log(`SKIPPED ${part.name}: ${reason}`);
    return true;
  }
  const now = part.measure(expected);
  const { checked, failures } = part.compare(now, expected);
  if (update && part.name !== 'roofline') baseline[part.name] = now;
  const verdict = failures.length === 0 ? 'as the baseline says' : `${failures.length} differ`;
  console.log(`${part.name}: ${checked} checked, ${verdict}`);
  for (const failure of failures) console.log(`  ${failure}`);
  return failures.length === 0 || (update && part.name !== 'roofline');
}

/** How the comparison with another commit ends: as an exit code. It prints its own table. */
function compareWith(ref: string): number {
  const program = fileURLToPath(new URL('../compare/index.js', import.meta.url));
  return spawnSync(process.execPath, [program, ref], { stdio: 'inherit' }).status ?? 1;
}

function main(): void {
  const { only, update, base, help, baseline: file } = parse(process.argv.slice(2));
  if (help) return console.log(HELP);
  const wanted = only.split(',');
  const unknown = wanted.find((name) => !NAMES.some((known) => known === name));
  if (unknown !== undefined)
    throw new Error(`--only ${unknown}: unknown; known: ${NAMES.join(', ')}`);

  const baseline = readBaseline(file);
  buildAddon();
  let holds = true;
  for (const part of PARTS)
    if (wanted.includes(part.name)) holds = check(part as Part<never>, baseline, update) && holds;
  if (update) writeBaseline(file, baseline);
  if (!holds) {
    console.log('\nIf that is meant: npm run bench:check -- --update, and commit the baseline.');
    process.exitCode = 1;
  }
  if (base !== undefined) process.exitCode ||= compareWith(base);
  else if (wanted.length === NAMES.length) console.log('SKIPPED comparison: no --base REF');
}

try {
  main();
} catch (error) {
  console.error(`bench:check: ${(error as Error).message}`);
  process.exitCode = 2; // 1 says that something differs
}
