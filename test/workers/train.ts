// A small network and its training: what the memory and teardown tests run, in the main thread and in
// workers. Deterministic: the same seed gives the same losses wherever it runs.
import * as tg from 'tapegrad';

export interface Setup {
  readonly model: tg.nn.Module;
  readonly optimizer: tg.optim.Optimizer;
  readonly x: tg.Tensor;
  readonly y: tg.Tensor;
}

export function setup(seed: number): Setup {
  tg.manualSeed(seed);
  const model = new tg.nn.Sequential(
    new tg.nn.Linear(16, 32),
    new tg.nn.ReLU(),
    new tg.nn.Linear(32, 4),
  );
  const x = tg.keep(tg.randn([24, 16]));
  const y = tg.keep(tg.randint(0, 4, [24]));
  return { model, optimizer: new tg.optim.Adam(model.parameters(), { learningRate: 1e-2 }), x, y };
}

/** One step without tidy or dispose of its own, as in a first program; the loss is the caller's. */
export function step({ model, optimizer, x, y }: Setup): tg.Tensor {
  optimizer.zeroGrad();
  const loss = tg.losses.crossEntropy(model.forward(x), y);
  loss.backward();
  optimizer.step();
  return loss;
}

/** The losses of so many steps. */
export function train(seed: number, steps: number): number[] {
  const s = setup(seed);
  const losses: number[] = [];
  for (let i = 0; i < steps; ++i) {
    const loss = step(s);
    losses.push(loss.item());
    loss.dispose();
  }
  for (const t of [s.model, s.optimizer, s.x, s.y]) t.dispose();
  return losses;
}
