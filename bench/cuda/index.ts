// node build-ts/bench/cuda/index.js: measures tapegrad on a CUDA device beside PyTorch. For each case a process of
// ours and one of Python's for all, asked in turn for a round each; medians, paired ratios, a table and a JSON file.
// Nothing is computed in this process. A case that fails, hangs or crashes is named and costs no other.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { ROOT, machine } from '../machine.js';
import { UsageError, prepare } from '../options.js';
import { CASES, QUICK, type Case } from './cases.js';
import { Child, type Greeting } from './child.js';
import {
  compare,
  measured,
  roofed,
  series,
  summary,
  table,
  type Report,
  type Result,
  type Side,
} from './report.js';

const HELP = `Measures tapegrad on a CUDA device, beside PyTorch where python3 has it.

  --out FILE       where the JSON goes [bench/results/cuda-DATE.json]
  --case NAME,…    cases or groups; all unless told
  --rounds N       of each case, ours and theirs in turn [7]
  --seconds X      for everything; what is left then is skipped by name [150]
  --commit TEXT    which state of the sources this is, where git does not know
  --quick          tiny sizes, one round, no peer: for an emulated device
  --list           names of the cases
  --help           this text`;

const OURS = fileURLToPath(new URL('./ours.js', import.meta.url));
const PEER = join(ROOT, 'bench/cuda/peer.py');

// A round is long against its synchronisation.
const LEAST_NS = 2e7;
// A round takes milliseconds, and preparations at most as long as torch.compile.
const ROUND_MS = 20_000;
const PREPARE_MS = 30_000;
const COMPILE_MS = 90_000;
const START_MS = 60_000;
const TOO_LATE = 'no time was left';

interface Options {
  cases: readonly Case[];
  rounds: number;
  seconds: number;
  leastNs: number;
  peer: boolean;
  commit: string | null;
  out: string;
}

function number(flag: string, text: string, most: number): number {
  const value = /^\d{1,4}$/.test(text) ? Number(text) : NaN;
  if (value >= 1 && value <= most) return value;
  throw new UsageError(`--${flag} must be from 1 to ${most}, got ${JSON.stringify(text)}`);
}

function flags(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        out: { type: 'string' },
        case: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string', default: '150' },
        commit: { type: 'string' },
        quick: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function parse(args: string[], date: Date): Options | null {
  const values = flags(args);
  const { quick } = values;
  const all = quick ? QUICK : CASES;
  if (values.help || values.list) {
    console.log(values.help ? HELP : all.map((c) => c.name).join('\n'));
    return null;
  }
  const names = values.case?.split(',');
  const matches = (c: Case, name: string) => c.name === name || c.name.split('/')[0] === name;
  const unknown = names?.find((name) => !all.some((c) => matches(c, name)));
  if (unknown !== undefined)
    throw new UsageError(`--case ${unknown}: no such case or group (see --list)`);
  const dated = `bench/results/cuda-${date.toISOString().replace(/[:.]/g, '-')}.json`;
  return {
    cases: all.filter((c) => !names || names.some((name) => matches(c, name))),
    rounds: number('rounds', values.rounds ?? (quick ? '1' : '7'), 1000),
    seconds: number('seconds', values.seconds, 9999),
    leastNs: quick ? 0 : LEAST_NS,
    peer: !quick,
    commit: values.commit ?? null,
    out: values.out ?? join(ROOT, dated),
  };
}

/** Until when; how long something may take that needs at most so long. */
class Deadline {
  readonly #end: number;
  constructor(seconds: number) {
    this.#end = performance.now() + seconds * 1e3;
  }
  get over(): boolean {
    return performance.now() >= this.#end;
  }
  within(ms: number): number {
    return Math.max(1, Math.min(ms, this.#end - performance.now()));
  }
}

/** One of both: how to start its process, and what is known of it. */
class Participant {
  child: Child | null = null;
  greeting: Greeting | null = null;
  /** Why it is not asked any more. */
  gone: string | null = null;

  constructor(
    private readonly command: string,
    private readonly args: readonly string[],
    private readonly deadline: Deadline,
  ) {}

  /** Its running process; a new one if there is none. @throws Error */
  async start(): Promise<Child> {
    if (this.child) return this.child;
    this.child = new Child(this.command, this.args);
    this.greeting = await this.child.greeting(this.deadline.within(START_MS));
    return this.child;
  }
  stop(): void {
    this.child?.stop();
    this.child = null;
  }
}

interface Turn {
  participant: Participant;
  rounds: number[];
  iterations: number;
  note?: string;
  side: Side | null;
}

/** Does something with a participant's process; if that fails, its turn and its process are over. */
async function attempt(
  turn: Turn,
  deadline: Deadline,
  act: (child: Child) => Promise<void>,
): Promise<void> {
  if (turn.side) return;
  try {
    await act(await turn.participant.start());
  } catch (error) {
    turn.side = deadline.over ? { skipped: TOO_LATE } : { failed: (error as Error).message };
    turn.participant.stop();
  }
}

async function measureCase(
  c: Case,
  ours: Participant,
  theirs: Participant,
  { rounds, leastNs }: Options,
  deadline: Deadline,
): Promise<Result> {
  const turns = [ours, theirs].map((participant): Turn => {
    const side = participant.gone === null ? null : { skipped: participant.gone };
    return { participant, rounds: [], iterations: 0, side };
  });
  const compiles = c.work.kind === 'step' && c.work.peer === 'compile';
  for (const [seed, turn] of turns.entries()) {
    await attempt(turn, deadline, async (child) => {
      const ms = compiles && turn.participant === theirs ? COMPILE_MS : PREPARE_MS;
      const job = { work: c.work, seed: seed + 1, least_ns: leastNs };
      const { iterations, note } = await child.prepare(job, deadline.within(ms));
      turn.iterations = iterations;
      turn.note = note;
    });
  }
  // Ours, theirs, theirs, ours, … so that a drift of the clock hits both alike.
  for (let round = 0; round < rounds; ++round) {
    for (const turn of round % 2 ? turns.toReversed() : turns) {
      await attempt(turn, deadline, async (child) => {
        turn.rounds.push((await child.round(deadline.within(ROUND_MS))).ns);
      });
    }
  }
  ours.stop(); // with all that it had on the device
  const [first, second] = turns.map(
    (turn): Side => turn.side ?? series(turn.rounds, turn.iterations, turn.note),
  );
  return compare(c, first!, second!);
}

async function measure(options: Options, date: Date): Promise<Report> {
  const deadline = new Deadline(options.seconds);
  const ours = new Participant(process.execPath, [OURS], deadline);
  const theirs = new Participant('python3', [PEER], deadline);
  await ours.start().catch((error: Error) => {
    ours.gone = deadline.over ? TOO_LATE : error.message;
    ours.stop();
  });
  if (!options.peer) theirs.gone = 'not asked for';
  else
    await theirs.start().catch((error: Error) => {
      theirs.gone = error.message;
      theirs.stop();
    });
  const missing = ours.gone !== null && !deadline.over;
  if (missing) console.error(`no CUDA device: ${ours.gone}`);
  const results: Result[] = [];
  for (const c of missing ? [] : options.cases) {
    if (deadline.over) ours.gone = theirs.gone = TOO_LATE;
    const result = await measureCase(c, ours, theirs, options, deadline);
    results.push(result);
    console.log(summary(result));
  }
  const peer = theirs.greeting ?? { skipped: theirs.gone ?? 'not reached' };
  ours.stop();
  theirs.stop();
  const where = machine();
  return {
    schema: 1,
    date: date.toISOString(),
    commit: options.commit ?? where.commit,
    machine: where,
    device: ours.greeting,
    peer,
    rounds: options.rounds,
    least_ns: options.leastNs,
    ...roofed(results),
  };
}

async function main(): Promise<void> {
  const date = new Date();
  const options = parse(process.argv.slice(2), date);
  if (!options) return;
  prepare(options.out);
  const report = await measure(options, date);
  writeFileSync(options.out, `${JSON.stringify(report, null, 1)}\n`);
  console.log(`\n${options.out}\n\n${table(report)}`);
  if (!report.device || report.results.some(({ ours }) => !measured(ours) && 'failed' in ours))
    process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
