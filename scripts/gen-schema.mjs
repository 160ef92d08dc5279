// Writes lib/*.gen.ts and docs/ops.md from the schema that the built addon prints.
//   node scripts/gen-schema.mjs           writes
//   node scripts/gen-schema.mjs --check   exits 1 if a file is stale
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { format, resolveConfig } from 'prettier';
import { compileRule } from './rules.mjs';

const root = new URL('../', import.meta.url);
const require = createRequire(import.meta.url);
const schema = JSON.parse(require('../build/Release/tapegrad.node').schema());

const HEADER = '// Generated from native/schema by `npm run gen`; do not edit.\n';
const KEEPS = { NONE: '', X: 'x', Y: 'y', XY: 'xy', XYZ: 'xyz' };

/** "axis:axes=null keepDims:flag=false" -> [{name, kind, default}] */
function parseAttrs(text) {
  if (!text) return [];
  return text.split(' ').map((part) => {
    const [name, rest] = part.split(':');
    const [kind, fallback] = rest.split('=');
    return { name, kind, ...(fallback === undefined ? {} : { default: fallback }) };
  });
}

const ops = schema.ops.map((op) => ({
  ...op,
  attrs: parseAttrs(op.attrs ?? ''),
  inputs:
    {
      unary: ['x'],
      binary: ['x', 'y'],
      compare: ['x', 'y'],
      loss: ['prediction', 'target'],
      reduce: ['x'],
    }[op.kind] ?? op.inputs.split(' ').filter(Boolean),
}));

const TYPES = {
  number: 'number',
  positive: 'number',
  flag: 'boolean',
  axis: 'number',
  axes: 'number | readonly number[] | null',
  shape: 'readonly number[]',
  pairs: 'readonly (readonly [number, number])[]',
  pair: 'number | readonly [number, number]',
  dtype: 'DType',
};
const UNITS = {
  axes: 'axes, negatives counting from the end; null means all',
  axis: 'an axis, negatives counting from the end',
  pairs: '[before, after] for each axis',
  pair: 'one for rows and columns, or [rows, columns]',
};

function optionsType(op) {
  const fields = op.attrs.map(
    (a) =>
      `${a.name}${a.default === undefined ? '' : '?'}: ${TYPES[a.kind]}${a.kind === 'pair' && a.default === 'null' ? ' | null' : ''}`,
  );
  return `{ ${fields.join('; ')} }`;
}
const hasRequired = (op) => op.attrs.some((a) => a.default === undefined);

function comment(op, indent = '') {
  const lines = [op.doc];
  for (const a of op.attrs) {
    const unit = UNITS[a.kind] ? ` (${UNITS[a.kind]})` : '';
    lines.push(
      `- \`${a.name}\`: ${a.kind}${unit}${a.default === undefined ? '' : `, ${a.default} unless told`}`,
    );
  }
  if (op.inputs.length === 2 && ['binary', 'compare'].includes(op.kind))
    lines.push('', 'The shapes broadcast.');
  lines.push(
    '',
    '@throws TypeError for an operand of the wrong kind, RangeError for shapes or values that do not fit.',
  );
  return `${indent}/**\n${lines.map((l) => `${indent} * ${l}`.trimEnd()).join('\n')}\n${indent} */`;
}

function schemaFile() {
  const entries = ops.map((op) => {
    const fields = {
      code: op.code,
      name: op.name,
      kind: op.kind,
      inputs: op.inputs,
      ...(op.types ? { types: op.types === 'FLOAT' ? 'float' : 'number' } : {}),
      ...(op.keeps ? { keeps: KEEPS[op.keeps] } : {}),
      ...(op.dxCode ? { dxCode: op.dxCode } : {}),
      ...(op.dyCode ? { dyCode: op.dyCode } : {}),
      attrs: op.attrs,
    };
    return `  ${op.name}: ${JSON.stringify(fields)},`;
  });
  const rules = schema.optimizers.map(
    (o) =>
      `  ${o.name}: ${JSON.stringify({ code: o.code, name: o.name, states: o.states, numbers: o.numbers.split(/,\s*/) })},`,
  );
  return `${HEADER}
export type AttrKind = 'number' | 'positive' | 'flag' | 'axis' | 'axes' | 'shape' | 'pairs' | 'pair' | 'dtype';
export interface AttrSpec { readonly name: string; readonly kind: AttrKind; readonly default?: string }
export interface OpSpec {
  readonly code: number;
  readonly name: string;
  readonly kind: 'unary' | 'binary' | 'loss' | 'compare' | 'reduce' | 'op' | 'internal';
  readonly inputs: readonly string[];
  /** What elementwise and reducing ops accept: float takes float32 and float64, number also int32. */
  readonly types?: 'float' | 'number';
  /** What the derivative reads: x, y the inputs (of a unary op y is the result), z a binary op's result. */
  readonly keeps?: string;
  /** Fused backward kernels. */
  readonly dxCode?: number;
  readonly dyCode?: number;
  readonly attrs: readonly AttrSpec[];
}
export interface OptimizerSpec {
  readonly code: number;
  readonly name: string;
  /** Arrays as large as the parameter that the rule keeps. */
  readonly states: number;
  readonly numbers: readonly string[];
}

/** Element types, in the order of their native codes. */
export const DTYPES = ${JSON.stringify(schema.dtypes)} as const;
export type DType = (typeof DTYPES)[number];

export const OPS = {
${entries.join('\n')}
} as const satisfies Record<string, OpSpec>;

export const OPTIMIZERS = {
${rules.join('\n')}
} as const satisfies Record<string, OptimizerSpec>;
`;
}

function opsFile() {
  const out = [];
  for (const op of ops) {
    if (op.kind === 'internal' || op.kind === 'loss') continue;
    const list = op.inputs[0]?.endsWith('…');
    const name = op.name === 'where' ? 'where' : op.name;
    const operandType =
      { binary: 'Tensor | number', compare: 'Tensor | number' }[op.kind] ?? 'Tensor';
    const args = list
      ? [`${op.inputs[0].slice(0, -1)}: readonly Tensor[]`]
      : op.inputs.map(
          (i) =>
            `${i}: ${op.name === 'where' ? (i === 'condition' ? 'Tensor' : 'Tensor | number') : operandType}`,
        );
    if (op.attrs.length) {
      const short = TYPES[op.attrs[0].kind];
      args.push(`options${hasRequired(op) ? '' : '?'}: ${optionsType(op)} | ${short}`);
    }
    const encoded = op.attrs.length ? `encode(OPS.${op.name}, options)` : 'null';
    const call = list
      ? `applyList(OPS.${op.name}, ${op.inputs[0].slice(0, -1)}, ${encoded})`
      : `apply(OPS.${op.name}, [${op.inputs.join(', ')}], ${encoded})`;
    out.push(
      `${comment(op)}\nexport function ${name}(${args.join(', ')}): Tensor {\n  return ${call};\n}`,
    );
  }
  return `${HEADER}
// One function for each public op of the schema.
import { apply, applyList, encode } from './apply.js';
import { OPS, type DType } from './schema.gen.js';
import type { Tensor } from './tensor.js';

${out.join('\n\n')}
`;
}

function methodsFile() {
  const own = ops.filter(
    (op) =>
      op.kind !== 'internal' &&
      op.kind !== 'loss' &&
      !op.inputs[0]?.endsWith('…') &&
      op.name !== 'where',
  );
  const types = [];
  const code = [];
  for (const op of own) {
    const args = op.inputs
      .slice(1)
      .map(
        (i) => `${i}: ${['binary', 'compare'].includes(op.kind) ? 'Tensor | number' : 'Tensor'}`,
      );
    if (op.attrs.length)
      args.push(
        `options${hasRequired(op) ? '' : '?'}: ${optionsType(op)} | ${TYPES[op.attrs[0].kind]}`,
      );
    types.push(`${comment(op, '    ')}\n    ${op.name}(${args.join(', ')}): Tensor;`);
    const names = [...op.inputs.slice(1), ...(op.attrs.length ? ['options'] : [])];
    code.push(
      `  ${op.name}(${['this: Tensor', ...args].join(', ')}) { return ops.${op.name}(${['this', ...names].join(', ')}); },`,
    );
  }
  return `${HEADER}
// The same ops as methods of Tensor: x.add(y) is add(x, y).
import * as ops from './ops.gen.js';
import type { DType } from './schema.gen.js';
import type { Tensor } from './tensor.js';

declare module './tensor.js' {
  interface Tensor {
${types.join('\n')}
  }
}

export const generatedMethods = {
${code.join('\n')}
};
`;
}

function vjpsFile() {
  const entries = ops
    .filter((op) => ['unary', 'binary', 'loss'].includes(op.kind))
    .map((op) => {
      const unary = op.kind === 'unary';
      const dx = compileRule(op.dx, ops, unary);
      const dy = unary ? null : compileRule(op.dy, ops, unary);
      return `  ${op.name}: [${[dx, ...(dy ? [dy] : [])].map((r) => `rule(${r.opCount}, ${r.code})`).join(', ')}],`;
    });
  return `${HEADER}
// The derivative rules of elementwise ops, replayed with differentiable ops: for gradients of gradients,
// and where a rule is a single op, so that no fused kernel is needed. In a unary rule y is the result.
import { compose } from './compose.js';
import { OPS } from './schema.gen.js';
import type { Operand, Tensor } from './tensor.js';

export type Composed = (g: Tensor, x: Operand, y: Operand, z: Operand, p: readonly number[]) => Operand;
export interface Rule { readonly ops: number; readonly run: Composed }
const rule = (ops: number, run: Composed): Rule => ({ ops, run });

export const RULES: Readonly<Record<string, readonly Rule[]>> = {
${entries.join('\n')}
};
`;
}

function lossesFile() {
  const losses = ops.filter((op) => op.kind === 'loss');
  const code = losses.map((op) => {
    const options = `{ ${[...op.attrs.map((a) => `${a.name}?: ${TYPES[a.kind]}`), 'reduction?: Reduction'].join('; ')} }`;
    return `/**
 * ${op.doc} Elementwise over prediction and target, which broadcast, then reduced.
${op.attrs.map((a) => ` * - \`${a.name}\`: ${a.kind}, ${a.default} unless told\n`).join('')} * - \`reduction\`: 'mean' (default), 'sum' or 'none'
 *
 * @throws TypeError, RangeError for operands that do not fit or an unknown reduction.
 */
export function ${op.name}(prediction: Tensor, target: Tensor | number, options?: ${options}): Tensor {
  return elementwiseLoss(OPS.${op.name}, prediction, target, options);
}`;
  });
  return `${HEADER}
// The elementwise losses of the schema, with a reduction.
import { elementwiseLoss, type Reduction } from './reduction.js';
import { OPS } from './schema.gen.js';
import type { Tensor } from './tensor.js';

${code.join('\n\n')}
`;
}

function docsFile() {
  const cell = (s) => s.replaceAll('|', '\\|');
  const rows = (kinds) =>
    ops
      .filter((op) => kinds.includes(op.kind))
      .map((op) => {
        const attrs = op.attrs
          .map((a) => `\`${a.name}\`${a.default === undefined ? '' : ` = ${a.default}`}`)
          .join(', ');
        const derivative = op.dx
          ? `\`${cell(op.dx)}\`${op.dy ? `<br>\`${cell(op.dy)}\`` : ''}`
          : '';
        return `| \`${op.name}(${op.inputs.join(', ')})\` | ${cell(op.doc)} | ${attrs} | ${derivative} |`;
      });
  const table = (title, kinds) =>
    `## ${title}\n\n| op | meaning | options | derivative |\n|---|---|---|---|\n${rows(kinds).join('\n')}\n`;
  return `<!-- Generated from native/schema by \`npm run gen\`; do not edit. -->

# Ops

Every op is a function \`tg.op(...tensors, options?)\` and, but for lists and \`where\`, a method \`x.op(...)\`.
In a derivative \`g\` is the incoming gradient, \`x\` and \`y\` are the inputs; in the one of a function of one
argument \`y\` is the result, in one of two arguments \`z\` is; \`p0\`, \`p1\` are the options in order.

${table('Functions of one argument', ['unary'])}
${table('Functions of two arguments', ['binary'])}
${table('Comparisons', ['compare'])}
${table('Reductions', ['reduce'])}
${table('Structure', ['op'])}
${table('Elementwise losses (under `losses`)', ['loss'])}`;
}

const files = {
  'lib/schema.gen.ts': schemaFile(),
  'lib/ops.gen.ts': opsFile(),
  'lib/methods.gen.ts': methodsFile(),
  'lib/vjps.gen.ts': vjpsFile(),
  'lib/losses.gen.ts': lossesFile(),
  'docs/ops.md': docsFile(),
};
let stale = 0;
for (const [name, text] of Object.entries(files)) {
  const url = new URL(name, root);
  const options = (await resolveConfig(url)) ?? {};
  const formatted = await format(text, { ...options, filepath: url.pathname });
  const old = await readFile(url, 'utf8').catch(() => '');
  if (old === formatted) continue;
  if (process.argv.includes('--check')) {
    console.error(`${name} is stale: run npm run gen`);
    stale = 1;
  } else {
    await writeFile(url, formatted);
    console.log(`wrote ${name}`);
  }
}
process.exitCode = stale;
