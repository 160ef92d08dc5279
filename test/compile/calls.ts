// Child process: trains a small net with `train`, and prints how often JavaScript called native code. The addon's
// functions are wrapped before tapegrad is loaded.
import Module from 'node:module';
import type { Native } from '#lib/native.js';

let calls = 0;
type Loader = (module: { exports: unknown }, path: string) => void;
const extensions = (Module as unknown as { _extensions: Record<string, Loader> })._extensions;
const load = extensions['.node']!;
extensions['.node'] = (module, path) => {
  load(module, path);
  module.exports = Object.fromEntries(
    Object.entries(module.exports as Native).map(([name, value]: [string, unknown]) => [
      name,
      typeof value !== 'function'
        ? value
        : (...args: unknown[]) => {
            ++calls;
            return (value as (...a: unknown[]) => unknown)(...args);
          },
    ]),
  );
};

const tg = await import('tapegrad');
const { losses, nn, optim } = tg;
const model = new nn.Sequential(new nn.Linear(8, 8), new nn.ReLU(), new nn.Linear(8, 3));
const optimizer = new optim.Adam(model.parameters());
const step = tg.compile((x: InstanceType<typeof tg.Tensor>, y: InstanceType<typeof tg.Tensor>) => {
  const loss = losses.crossEntropy(model.forward(x), y);
  optimizer.minimize(loss);
  return loss;
});
const rows = 16_000;
const data = [
  tg.rand([rows, 8]),
  tg.tensor(Int32Array.from({ length: rows }, (_, i) => i % 3)),
] as const;
await step.train(data as never, { batchSize: 4, epochs: 1 }).finished; // compiles; the length of blocks is found
calls = 0;
const report = await step.train(data as never, { batchSize: 4, epochs: 2 }).finished;
console.log(JSON.stringify({ calls, steps: report.step }));
