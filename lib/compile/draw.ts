// A described program as a graph: in Graphviz's language, and laid out as SVG by the optional package @viz-js/viz.
// Knows descriptions only.
import { TapegradError } from '../errors.js';
import type {
  ProgramCall,
  ProgramDescription,
  ProgramInstruction,
  ProgramValue,
} from './describe.js';

const PACKAGE = '@viz-js/viz';
// Wide margins: a viewer without these fonts takes one with wider letters.
const FONT = 'fontname="Helvetica,Arial,sans-serif"';
const STYLE = [
  `graph [rankdir=TB nodesep=0.4 ranksep=0.4 ${FONT} fontsize=11]`,
  `node [shape=box margin="0.25,0.08" style="rounded,filled" fillcolor="#eef3fb" color="#5a7db5" ${FONT} fontsize=11]`,
  `edge [color="#666666" ${FONT} fontsize=9 fontcolor="#444444"]`,
];
const INPUT = 'shape=ellipse style=filled fillcolor="#e9f5e6" color="#5f9a50"';
const OUTPUT = 'shape=ellipse style=filled fillcolor="#fdf2dc" color="#c08a2b"';
const UPDATE = 'fillcolor="#fbe9e7" color="#b5685a"';

const quoted = (text: string): string =>
  `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
/** Lines that stand to the left. */
const label = (lines: readonly string[]): string =>
  `"${lines.map((line) => quoted(line).slice(1, -1)).join('\\l')}\\l"`;

const node = (number: number): string => `i${number}`;

const text = ({ op, operands }: ProgramCall): string => `${op}(${operands.join(', ')})`;

/** An instruction's lines: what is drawn as an edge need not be named, so an optimizer names its parameters only. */
function linesOf(i: ProgramInstruction, values: ReadonlyMap<string, ProgramValue>): string[] {
  if (i.parts.length > 0) return [`${i.number}  chain`, ...i.parts.map((p) => `    ${text(p)}`)];
  if (i.result !== null) return [`${i.number}  ${text(i)}`];
  const changed = i.writes.filter((name) => values.get(name)!.kind !== 'state');
  return [`${i.number}  ${i.op}`, ...changed.map((name) => `    ${name}`)];
}

/** Names the value on an edge: its shape, and in a plan where it lies. */
function edgeLabel({ name, shape, offset }: ProgramValue): string {
  const lies = offset === null ? '' : ` @${offset.toLocaleString('en')}`;
  return `${name} [${shape.join()}]${lies}`;
}

/** @internal The program in Graphviz's language: a box for each instruction, an arrow for each value it waits for. */
export function dot({ instructions, values, inputs, outputs }: ProgramDescription): string {
  const byName = new Map(values.map((v) => [v.name, v]));
  const writer = new Map<string, string>();
  for (const name of inputs) writer.set(name, name);
  const box = (i: ProgramInstruction): string =>
    `${node(i.number)} [label=${label(linesOf(i, byName))}${i.result === null && i.parts.length === 0 ? ` ${UPDATE}` : ''}]`;
  const setup = instructions.filter((i) => i.setup);
  const lines = [
    ...STYLE,
    ...inputs.map((name) => {
      const { dtype, shape } = byName.get(name)!;
      return `${name} [label=${quoted(`${name} ${dtype}[${shape.join()}]`)} ${INPUT}]`;
    }),
    ...(setup.length > 0
      ? [
          `subgraph cluster_setup { label="once, before the first step" color="#bbbbbb" style=dashed ${setup.map(box).join('; ')} }`,
        ]
      : []),
    ...instructions.filter((i) => !i.setup).map(box),
  ];
  for (const { number, reads, writes } of instructions) {
    for (const name of reads) {
      const from = writer.get(name);
      if (from !== undefined && from !== node(number))
        lines.push(`${from} -> ${node(number)} [label=${quoted(edgeLabel(byName.get(name)!))}]`);
    }
    for (const name of writes) writer.set(name, node(number));
  }
  outputs.forEach((name, k) => {
    const from = writer.get(name.replace(/\[.*/, ''));
    lines.push(`out${k} [label=${quoted(`returns ${name}`)} ${OUTPUT}]`);
    if (from !== undefined) lines.push(`${from} -> out${k}`);
  });
  return `digraph program {\n${lines.map((line) => `  ${line};`).join('\n')}\n}\n`;
}

/** @internal Graphviz's language as SVG. @throws TapegradError TG_MISSING without the package */
export async function draw(graph: string): Promise<string> {
  const { instance } = await import('@viz-js/viz').catch((cause: unknown) => {
    throw new TapegradError(
      'TG_MISSING',
      `svg: drawing needs the optional package ${PACKAGE}: npm install ${PACKAGE} (or give the text of dot() to Graphviz)`,
      { cause },
    );
  });
  const viz = await instance();
  return viz.renderString(graph, { format: 'svg' });
}
