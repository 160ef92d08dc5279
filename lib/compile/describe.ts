// A compiled program as data and as a listing for people: its instructions, what they read and write, and where
// that lies. Knows native code's JSON (native/program/describe.cpp), not how a program is run; drawn by draw.ts.
import { wrongValue } from '../errors.js';
import type { DType } from '../schema.gen.js';

/** A program as it was recorded, or as it is run: after the passes, and laid out in memory. */
export type ProgramStage = 'recorded' | 'planned';

export interface DescribeOptions {
  /** `'planned'` unless told. */
  stage?: ProgramStage;
}

/** A block of memory that instructions read and write; views of one tensor are one value. */
export interface ProgramValue {
  /**
   * `x0` … the arguments' tensors, `p0` … parameters that an optimizer updates, `s0` … its state, `t0` … other
   * tensors from outside, `n0` … numbers that change from step to step, `v0` … what is computed. A value has the
   * same name in both stages.
   */
  readonly name: string;
  readonly kind: 'input' | 'parameter' | 'state' | 'outside' | 'number' | 'computed';
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Bytes from the arena's start; null for what lies outside, between the ops of a chain, or before planning. */
  readonly offset: number | null;
}

/** One op, or one step of something larger. */
export interface ProgramCall {
  /** An op such as `linear`, `relu (backward)`; an optimizer; `accumulate`, `clipGradNorm`, … */
  readonly op: string;
  /** What it makes; null if it only changes what exists. */
  readonly result: string | null;
  /** Names of values, with the shape behind where it is not the value's own: a view. Numbers stand for themselves. */
  readonly operands: readonly string[];
}

export interface ProgramInstruction extends ProgramCall {
  /** From 0, through the setup and the step. */
  readonly number: number;
  /** Whether it runs once, before the first step. */
  readonly setup: boolean;
  /** Of a chain: ops that run one after the other on each tile, while it is in the cache; a product is the first. */
  readonly parts: readonly ProgramCall[];
  /** Names of the values that it reads, and of those that it writes. */
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

/** What a program consists of. */
export interface ProgramDescription {
  readonly stage: ProgramStage;
  /** All of it as text. */
  readonly text: string;
  readonly instructions: readonly ProgramInstruction[];
  readonly values: readonly ProgramValue[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Of the one block in which everything that is computed lies; null before planning. */
  readonly arenaBytes: number | null;
  /** What is computed, if nothing shared memory. */
  readonly intermediateBytes: number;
}

interface RawOperand {
  readonly value?: number;
  readonly number?: number | null;
  readonly shape?: readonly number[];
  readonly dtype: DType;
}
interface RawInstruction {
  readonly name: string;
  readonly setup: boolean;
  readonly out?: RawOperand;
  readonly in: readonly RawOperand[];
  readonly writes: readonly number[];
  /** Of an optimizer: tensors behind each parameter and its gradient. */
  readonly states?: number;
  readonly parts: readonly RawInstruction[];
}
/** @internal What native/program/describe.cpp writes. */
export interface RawProgram {
  readonly instructions: readonly RawInstruction[];
  readonly values: readonly { kind: string; bytes: number; offset?: number }[];
  readonly inputs: readonly RawOperand[];
  readonly outputs: readonly RawOperand[];
  readonly arenaBytes?: number;
  readonly sumBytes?: number;
}

interface Known {
  name: string;
  kind: ProgramValue['kind'];
  dtype: DType;
  shape: readonly number[];
}

const PREFIX = { input: 'x', parameter: 'p', state: 's', outside: 't', number: 'n', computed: 'v' };

/** Names for the values of programs, in the order in which they come up. */
class Names {
  readonly known = new Map<number, Known>();
  private readonly counts = new Map<string, number>();

  constructor(private readonly values: RawProgram['values']) {}

  /** An optimizer's operands say more about a tensor than any other use: they are never views. */
  add({ instructions, inputs }: RawProgram): this {
    for (const o of inputs) this.note(o, 'input');
    for (const { in: list, states } of instructions) {
      if (states === undefined) continue;
      list.forEach((o, k) => {
        const place = k % (2 + states);
        if (place !== 1) this.note(o, place === 0 ? 'parameter' : 'state');
      });
    }
    for (const i of instructions) this.addCall(i);
    return this;
  }

  private addCall({ in: list, out, parts }: RawInstruction): void {
    for (const part of parts) this.addCall(part);
    for (const o of list) {
      const kind = o.value === undefined ? '' : this.values[o.value]!.kind;
      this.note(o, kind === 'input' ? 'number' : kind === 'external' ? 'outside' : 'computed');
    }
    if (out) this.note(out, this.values[out.value!]!.kind === 'external' ? 'outside' : 'computed');
  }

  private note({ value, dtype, shape = [] }: RawOperand, kind: ProgramValue['kind']): void {
    if (value === undefined || this.known.has(value)) return;
    const count = this.counts.get(kind) ?? 0;
    this.counts.set(kind, count + 1);
    this.known.set(value, { name: `${PREFIX[kind]}${count}`, kind, dtype, shape });
  }

  of(value: number): string {
    return this.known.get(value)!.name;
  }

  operand({ value, number, shape = [] }: RawOperand): string {
    if (value === undefined) return number === null ? 'NaN' : `${number!}`;
    const { name, shape: own } = this.known.get(value)!;
    return shape.join() === own.join() ? name : `${name}${brackets(shape)}`;
  }
}

const brackets = (shape: readonly number[]): string => `[${shape.join()}]`;

function callOf(names: Names, { name, in: list, out }: RawInstruction): ProgramCall {
  return {
    op: name,
    result: out ? names.of(out.value!) : null,
    operands: list.map((o) => names.operand(o)),
  };
}

function readsOf(raw: RawInstruction): number[] {
  const own = raw.in.flatMap(({ value }) => value ?? []);
  return [...new Set([...raw.parts.flatMap(readsOf), ...own])];
}

/** @internal @throws RangeError for another stage */
export function readStage(op: string, options: DescribeOptions = {}): ProgramStage {
  const { stage = 'planned' } = options;
  if (stage !== 'recorded' && stage !== 'planned')
    throw wrongValue(op, 'stage', "'recorded' or 'planned'", stage);
  return stage;
}

/** @internal The description of a stage; names come from the recorded one, so that both stages agree. */
export function describeProgram(
  recorded: RawProgram,
  raw: RawProgram,
  stage: ProgramStage,
): ProgramDescription {
  const names = new Names(raw.values).add(recorded).add(raw);
  const used = new Set(raw.instructions.flatMap((i) => [...readsOf(i), ...i.writes]));
  for (const { value } of [...raw.inputs, ...raw.outputs]) used.add(value!);
  const values = [...names.known]
    .filter(([value]) => used.has(value))
    .map(([value, known]): ProgramValue => {
      const { bytes, offset = null } = raw.values[value]!;
      return { ...known, bytes, offset };
    });
  const instructions = raw.instructions.map((i, number): ProgramInstruction => ({
    ...callOf(names, i),
    number,
    setup: i.setup,
    parts: i.parts.map((part) => callOf(names, part)),
    reads: readsOf(i).map((v) => names.of(v)),
    writes: [...new Set(i.writes)].map((v) => names.of(v)),
  }));
  const computed = values.filter((v) => v.kind === 'computed');
  const facts = {
    stage,
    instructions,
    values,
    inputs: raw.inputs.map((o) => names.operand(o)),
    outputs: raw.outputs.map((o) => names.operand(o)),
    arenaBytes: raw.arenaBytes ?? null,
    intermediateBytes: raw.sumBytes ?? computed.reduce((sum, { bytes }) => sum + bytes, 0),
  };
  const steps = raw.instructions.map(({ states }) => states);
  return { ...facts, text: listing(facts, steps) };
}

const bytes = (n: number): string => `${n.toLocaleString('en')} B`;
const typeOf = ({ dtype, shape }: ProgramValue): string => `${dtype}${brackets(shape)}`;

/** "s0 … s7, 1,088 B": an optimizer's state has the shapes of its parameters. */
const range = (list: readonly ProgramValue[]): string =>
  `${[...new Set([list[0]!.name, list.at(-1)!.name])].join(' … ')}, ${bytes(list.reduce((sum, v) => sum + v.bytes, 0))}`;

/** The columns of a line: number, result and its type, bytes, offset, call. */
type Line = [string, string, string, string, string];

function linesOf(
  { number, parts, ...call }: ProgramInstruction,
  states: number | undefined,
  values: ReadonlyMap<string, ProgramValue>,
): Line[] {
  const line = (at: string, { op, result, operands }: ProgramCall, indent = ''): Line => {
    const value = result === null ? undefined : values.get(result)!;
    const lies = value?.offset ?? null;
    return [
      at,
      indent + (value ? `${value.name} ${typeOf(value)}` : ''),
      value ? bytes(value.bytes) : '',
      lies === null ? '' : `@${lies.toLocaleString('en')}`,
      `${indent}${op}(${operands.join(', ')})`,
    ];
  };
  if (parts.length > 0)
    return [[`${number}`, '', '', '', 'chain'], ...parts.map((part) => line('', part, '  '))];
  if (states === undefined) return [line(`${number}`, call)];
  const each: Line[] = [[`${number}`, '', '', '', call.op]];
  for (let k = 0; k < call.operands.length; k += 2 + states) {
    const [parameter, gradient, ...rest] = call.operands.slice(k, k + 2 + states);
    const state = rest.length > 0 ? `, state ${rest.join(', ')}` : '';
    each.push(['', '', '', '', `  ${parameter} by its gradient ${gradient}${state}`]);
  }
  return each;
}

/** Lines in columns; numbers stand to the right. */
function columns(lines: readonly Line[], widths: readonly number[]): string[] {
  return lines.map(([number, result, size, offset, call]) =>
    [
      number.padStart(widths[0]!),
      result.padEnd(widths[1]!),
      size.padStart(widths[2]!),
      offset.padStart(widths[3]!),
      call,
    ]
      .join('  ')
      .trimEnd(),
  );
}

function listing(
  program: Omit<ProgramDescription, 'text'>,
  states: readonly (number | undefined)[],
): string {
  const { stage, instructions, values, arenaBytes, intermediateBytes, inputs, outputs } = program;
  const byName = new Map(values.map((v) => [v.name, v]));
  const blocks = instructions.map((i, k) => linesOf(i, states[k], byName));
  const widths = [0, 1, 2, 3].map((c) => Math.max(...blocks.flat().map((line) => line[c]!.length)));
  const part = (setup: boolean): string[] =>
    columns(blocks.filter((_, k) => instructions[k]!.setup === setup).flat(), widths);
  const listed = (kind: ProgramValue['kind']): string[] =>
    values.filter((v) => v.kind === kind).map((v) => `${v.name} ${typeOf(v)}`);
  const row = (title: string, names: readonly string[]): string[] =>
    names.length > 0 ? [`${title}  ${names.join(', ')}`] : [];
  const state = values.filter((v) => v.kind === 'state');
  const setup = part(true);
  return [
    `${stage}: ${instructions.length} instructions`,
    ...row(
      'arguments ',
      inputs.map((name) => `${name} ${typeOf(byName.get(name)!)}`),
    ),
    ...row('parameters', listed('parameter')),
    ...row('state     ', state.length > 0 ? [range(state)] : []),
    ...row('outside   ', listed('outside')),
    ...row('per step  ', listed('number')),
    ...(setup.length > 0 ? ['', 'once, before the first step', ...setup] : []),
    '',
    'each step',
    ...part(false),
    '',
    ...row('returns   ', outputs),
    arenaBytes === null
      ? `computed    ${bytes(intermediateBytes)}`
      : `arena       ${bytes(arenaBytes)}, ${Math.round((100 * arenaBytes) / Math.max(intermediateBytes, 1))} % of the ${bytes(intermediateBytes)} of what is computed`,
  ].join('\n');
}
