// The memory plan of a program, and what a step costs: values that live at the same time never share bytes, and
// after the first step nothing is allocated and JavaScript is hardly called.
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';
import { losses, nn, optim, type Tensor } from 'tapegrad';
import { Program } from '#lib/compile/program.js';
import { native } from '#lib/native.js';
import { batch, labels } from './compile/tools.js';

interface Operand {
  value?: number;
  shape?: number[];
}
interface Instruction {
  name: string;
  setup: boolean;
  in: Operand[];
  out?: Operand;
  parts: Instruction[];
}
interface Value {
  kind: 'external' | 'input' | 'computed' | 'passing';
  bytes: number;
  offset?: number;
  first?: number;
  last?: number;
}
interface Plan {
  instructions: Instruction[];
  values: Value[];
  inputs: Operand[];
  outputs: Operand[];
  arenaBytes: number;
  sumBytes: number;
}
const ELEMENTWISE = (i: Instruction): boolean => i.name === 'chain' || i.parts.length === 0;
const reads = (i: Instruction): number[] =>
  [...i.in, ...i.parts.flatMap((p) => p.in)].flatMap((o) => o.value ?? []);
const writes = (i: Instruction): number[] =>
  [i.out, ...i.parts.map((p) => p.out)].flatMap((o) => o?.value ?? []);

/** Finds the lifetimes from the instructions alone, and everything that is wrong with the plan. */
function faultsOf({ instructions, values, inputs, outputs, arenaBytes }: Plan): string[] {
  const faults: string[] = [];
  const setups = instructions.filter((i) => i.setup).length;
  const body = instructions.filter((i) => !i.setup);
  const last = new Map<number, number>();
  const first = new Map<number, number>();
  const touch = (v: number, at: number): void => {
    if (!first.has(v)) first.set(v, at);
    last.set(v, Math.max(at, last.get(v) ?? at));
  };
  for (const { value } of inputs) touch(value!, -1);
  instructions.forEach((i, n) => {
    for (const v of [...reads(i), ...writes(i)]) touch(v, i.setup ? -1 : n - setups);
    if (i.setup) for (const v of writes(i)) last.set(v, body.length); // valid from step to step
  });
  for (const { value } of [...outputs, ...inputs]) touch(value!, body.length);
  const kept = values.flatMap((v, id) =>
    v.offset === undefined || v.kind === 'passing' ? [] : [{ ...v, id }],
  );
  for (const v of kept) {
    if (v.offset! % 64 !== 0) faults.push(`${v.id} is not aligned`);
    if (v.offset! + v.bytes > arenaBytes) faults.push(`${v.id} lies outside`);
    if (!first.has(v.id)) continue;
    if (v.first! > first.get(v.id)! || v.last! < last.get(v.id)!)
      faults.push(
        `${v.id} is used from ${first.get(v.id)} to ${last.get(v.id)}, planned from ${v.first} to ${v.last}`,
      );
  }
  for (const a of kept)
    for (const b of kept) {
      if (a.id >= b.id || a.offset! >= b.offset! + b.bytes || b.offset! >= a.offset! + a.bytes)
        continue;
      const [begin, end] = [
        Math.max(first.get(a.id)!, first.get(b.id)!),
        Math.min(last.get(a.id)!, last.get(b.id)!),
      ];
      if (begin > end) continue;
      // In place: one elementwise instruction reads the one for the last time and makes the other, element by element.
      const i = body[begin];
      const inPlace =
        begin === end &&
        i &&
        ELEMENTWISE(i) &&
        a.offset === b.offset &&
        a.bytes === b.bytes &&
        writes(i).some((v) => v === a.id || v === b.id);
      if (!inPlace) faults.push(`${a.id} and ${b.id} share bytes from ${begin} to ${end}`);
    }
  return faults;
}

function perceptron(layers: number, width: number) {
  const list = Array.from({ length: layers }, (_, i) => [
    new nn.Linear(width, i + 1 === layers ? 10 : width),
    ...(i + 1 < layers ? [new nn.ReLU()] : []),
  ]);
  return new nn.Sequential(...list.flat());
}
function trainer(model: nn.Sequential) {
  const optimizer = new optim.Adam(model.parameters());
  return (x: Tensor, y: Tensor): Tensor => {
    const loss = losses.crossEntropy(model.forward(x), y);
    optimizer.zeroGrad();
    loss.backward();
    tg.clipGradNorm(model.parameters(), 1);
    optimizer.step();
    return loss;
  };
}
const planOf = (fn: (x: Tensor, y: Tensor) => Tensor, x: Tensor, y: Tensor) => {
  const program = new Program(fn, [x, y], 'cpu');
  const { id } = program as unknown as { id: number };
  return { program, id, plan: JSON.parse(native.programDescribe(id, 0)) as Plan };
};

describe('the memory plan', () => {
  const NETS: Readonly<Record<string, { model: nn.Sequential; shape: number[] }>> = {
    'a perceptron of six layers': { model: perceptron(6, 32), shape: [16, 32] },
    'a convolutional net': {
      model: new nn.Sequential(
        new nn.Conv2d(2, 4, 3),
        new nn.BatchNorm2d(4),
        new nn.ReLU(),
        new nn.MaxPool2d(2),
        new nn.Flatten(),
        new nn.Dropout(0.3),
        new nn.Linear(36, 10),
      ),
      shape: [4, 2, 8, 8],
    },
    'layer norm and gelu': {
      model: new nn.Sequential(
        new nn.Linear(12, 20),
        new nn.LayerNorm(20),
        new nn.GELU(),
        new nn.Linear(20, 10),
      ),
      shape: [8, 12],
    },
  };
  for (const [name, { model, shape }] of Object.entries(NETS))
    it(`of ${name}: what lives at the same time shares no bytes`, () => {
      const step = trainer(model);
      const { plan } = planOf(step, batch(1, shape), labels(1, shape[0]!, 10));
      expect(plan.instructions.length).to.be.above(10);
      expect(faultsOf(plan)).to.deep.equal([]);
    });

  it('the check finds a plan that is wrong', () => {
    const step = trainer(NETS['layer norm and gelu']!.model);
    const { plan } = planOf(step, batch(1, [8, 12]), labels(1, 8, 10));
    const computed = plan.values.filter((v) => v.kind === 'computed' && v.offset !== undefined);
    for (const v of computed) v.offset = 0;
    expect(faultsOf(plan)).to.not.deep.equal([]);
  });

  it('takes at most 60 % of what all intermediate results would take', () => {
    const step = trainer(perceptron(6, 64));
    const { arenaBytes, sumBytes } = planOf(step, batch(1, [128, 64]), labels(1, 128, 10)).program
      .facts;
    expect(arenaBytes / sumBytes).to.be.at.most(0.6);
  });

  it('nothing is allocated after the first step', async () => {
    const step = trainer(NETS['a convolutional net']!.model);
    const [x, y] = [batch(1, [4, 2, 8, 8]), labels(1, 4, 10)];
    const { program, id } = planOf(step, x, y);
    const request = { steps: 1, tensors: [x, y], onNaN: 'ignore' } as const;
    const once = async (): Promise<void> => {
      await program.run(request);
      program.runSync(request);
    };
    await once();
    const before = tg.memory();
    const { allocations } = native.programFacts(id);
    for (let k = 0; k < 20; ++k) await once();
    expect(native.programFacts(id).allocations).to.equal(allocations);
    expect(tg.memory().systemAllocations).to.equal(before.systemAllocations);
    expect(tg.memory().tensors).to.be.at.most(before.tensors);
  });

  it('train calls native code less than once in 20 steps', () => {
    const child = fileURLToPath(new URL('./compile/calls.js', import.meta.url));
    const { calls, steps } = JSON.parse(
      execFileSync(process.execPath, [child], { encoding: 'utf8' }),
    ) as {
      calls: number;
      steps: number;
    };
    expect(steps).to.equal(8000);
    expect(calls / steps)
      .to.be.below(0.05)
      .and.above(0);
  });
});
