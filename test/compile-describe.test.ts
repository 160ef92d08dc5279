// What a compiled step says about itself: the listing, the data behind it, the graph, and the page that shows them.
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';
import { losses, nn, optim, type CompiledProgram, type ProgramDescription } from 'tapegrad';
import { collect } from './collect.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** A training step of a ReLU network as a program. */
function programOf(sizes: number[], batch: number): CompiledProgram {
  const layers = sizes
    .slice(1)
    .flatMap((out, i) => [new nn.Linear(sizes[i]!, out), new nn.ReLU()])
    .slice(0, -1);
  const model = new nn.Sequential(...layers);
  const optimizer = new optim.Adam(model.parameters(), { learningRate: 0.01 });
  const step = tg.compile((x: tg.Tensor, y: tg.Tensor) => {
    const loss = losses.crossEntropy(model.forward(x), y);
    optimizer.minimize(loss);
    return loss;
  });
  return step.program(tg.zeros([batch, sizes[0]!]), tg.zeros([batch], { dtype: 'int32' }));
}

const opsOf = ({ instructions }: ProgramDescription): string[] =>
  instructions.flatMap(({ op, parts }) => (parts.length > 0 ? parts.map((p) => p.op) : [op]));

/** The texts of a well-formed document; each tag is closed in order. */
function textsOf(svg: string): string[] {
  const open: string[] = [];
  for (const [, end, name, empty] of svg.matchAll(/<(\/?)([a-z]+)(?:\s[^<>]*?)?(\/?)>/gi)) {
    if (end) expect(open.pop()).to.equal(name);
    else if (!empty) open.push(name!);
  }
  expect(open).to.deep.equal([]);
  return [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) =>
    text!.replaceAll('&#160;', ' ').replaceAll('&gt;', '>').trim(),
  );
}

describe('program.describe', () => {
  const program = programOf([4, 16, 3], 32);
  const recorded = program.describe({ stage: 'recorded' });
  const planned = program.describe();

  it('lists a step as it was recorded', () => {
    expect(opsOf(recorded).filter((op) => op === 'linear')).to.have.length(2);
    // Two products for the second layer's gradients; the first layer's input needs none.
    expect(opsOf(recorded).filter((op) => op === 'matmul')).to.have.length(3);
    expect(opsOf(recorded).at(-1)).to.equal('adam');
    expect(recorded.instructions.every(({ setup }) => !setup)).to.equal(true);
    expect(recorded.arenaBytes).to.equal(null);
    expect(recorded.values.every(({ offset }) => offset === null)).to.equal(true);
    expect(recorded.inputs).to.deep.equal(['x0', 'x1']);
    const shapes = (kind: string) =>
      recorded.values.filter((v) => v.kind === kind).map(({ name, shape }) => [name, ...shape]);
    expect(shapes('parameter')).to.deep.equal([
      ['p0', 16, 4],
      ['p1', 16],
      ['p2', 3, 16],
      ['p3', 3],
    ]);
    expect(shapes('state')).to.have.length(8);
    const sum = recorded.values
      .filter((v) => v.kind === 'computed')
      .reduce((total, { bytes }) => total + bytes, 0);
    expect(recorded.intermediateBytes).to.equal(sum);
    expect(recorded.text).to.match(/^ 0 {2}v0 float32\[32,16\] +2,048 B +linear\(x0, p0, p1\)$/m);
    expect(recorded.text).to.match(/^ +p3 by its gradient v\d+, state s6, s7$/m);
  });

  it('shows what the passes did: less to do, setup apart, chains, places in the arena', () => {
    expect(planned.stage).to.equal('planned');
    expect(opsOf(planned).length).to.be.below(opsOf(recorded).length);
    expect(planned.instructions.filter(({ setup }) => setup)).to.not.be.empty;
    const chain = planned.instructions.find(({ parts }) => parts.length > 0)!;
    expect(chain.parts.map(({ op }) => op)).to.deep.equal(['linear', 'relu']);
    expect(chain.reads).to.include.members(['x0', 'p0', 'p1']);
    for (const { name, kind, bytes, offset } of planned.values) {
      if (kind === 'parameter' || kind === 'state') expect(offset, name).to.equal(null);
      else if (offset !== null) expect(offset + bytes, name).to.be.at.most(planned.arenaBytes!);
    }
    expect(planned.text).to.include('once, before the first step').and.include('% of the');
    // The same tensor has the same name before and after.
    for (const { name, shape, bytes } of planned.values) {
      const before = recorded.values.find((v) => v.name === name)!;
      expect([before.shape, before.bytes], name).to.deep.equal([shape, bytes]);
    }
  });

  it('gives a six-layer network an arena of at most 60 % of what it computes', () => {
    const { arenaBytes, intermediateBytes } = programOf(
      [64, 128, 128, 128, 128, 128, 10],
      32,
    ).describe();
    expect(arenaBytes! / intermediateBytes).to.be.within(0.05, 0.6);
  });

  it('names what is neither argument nor parameter', () => {
    const scale = tg.tensor([1, 2, 3]);
    const step = tg.compile((x: tg.Tensor) => x.mul(scale).transpose());
    const { text, outputs, values } = step
      .program(tg.zeros([2, 3]))
      .describe({ stage: 'recorded' });
    expect(text)
      .to.include('outside     t0 float32[3]')
      .and.match(/mul\(x0, t0(\[2,3\])?\)/);
    expect(values.find((v) => v.name === 't0')!.kind).to.equal('outside');
    expect(outputs).to.deep.equal(['v0[3,2]']);
  });

  it('is the same text each time', () => {
    expect(programOf([4, 16, 3], 32).describe().text).to.equal(planned.text);
  });

  it('refuses another stage, and a program that is gone', () => {
    expect(() => program.describe({ stage: 'fused' as never })).to.throw(
      RangeError,
      "describe: stage must be 'recorded' or 'planned', got the string \"fused\"",
    );
    const step = tg.compile((x: tg.Tensor) => x.mul(2));
    const gone = step.program(tg.zeros([2]));
    step.dispose();
    expect(() => gone.describe())
      .to.throw(Error, 'this compiled function was disposed of')
      .with.property('code', 'TG_DISPOSED');
  });
});

describe('a program that is looked at', () => {
  it('stays when nobody holds the compiled function', async () => {
    const programs = [1, 2, 3].map((batch) => programOf([4, 16, 3], batch));
    for (let turn = 0; turn < 5; ++turn) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const program of programs) expect(program.describe().instructions).to.not.be.empty;
  });
});

describe('program.svg', () => {
  const program = programOf([4, 16, 3], 32);

  it('draws a box for each instruction and an arrow for each value', async () => {
    for (const stage of ['recorded', 'planned'] as const) {
      const { instructions, inputs } = program.describe({ stage });
      const svg = await program.svg({ stage });
      const texts = textsOf(svg);
      for (const { number, op } of instructions)
        expect(
          texts.some((text) => text.startsWith(`${number} `) && text.includes(op)),
          `${number} ${op}`,
        ).to.equal(true);
      expect(texts).to.include('x0 float32[32,4]').and.include('x1 int32[32]');
      expect(svg.match(/class="node"/g)).to.have.length(instructions.length + inputs.length + 1);
      const arrows = program.dot({ stage }).match(/ -> /g)!.length;
      expect(svg.match(/class="edge"/g)).to.have.length(arrows);
    }
  });

  it('joins who writes a value to who reads it', () => {
    const { instructions } = program.describe();
    const wrote = instructions.findIndex(({ writes }) => writes.includes('v1'));
    const readers = instructions.filter(
      ({ reads, number }) => reads.includes('v1') && number !== wrote,
    );
    expect(readers).to.not.be.empty;
    for (const { number } of readers)
      expect(program.dot()).to.include(`i${wrote} -> i${number} [label="v1 [32,16] @`);
  });

  it('names the package if it is not installed', () => {
    const hook = `export async function resolve(name, context, next) {
      if (name === '@viz-js/viz') throw Object.assign(new Error('none'), { code: 'ERR_MODULE_NOT_FOUND' });
      return next(name, context);
    }`;
    const script = `
      import { register } from 'node:module';
      register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}));
      const tg = await import('tapegrad');
      const program = tg.compile((x) => x.mul(2)).program(tg.zeros([2]));
      await program.svg().catch((error) => console.log(error.code, error.message));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect(stdout, stderr).to.match(/^TG_MISSING svg: .*npm install @viz-js\/viz/);
  });
});

describe('docs/compiled.md', () => {
  it('shows what the library prints', () => {
    const script = fileURLToPath(new URL('../../scripts/gen-compiled.mjs', import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [script, '--check'], {
      encoding: 'utf8',
    });
    expect(status, stderr).to.equal(0);
  });
});
