// A small training with everything that has a state: dropout, batch norm, shuffling, a schedule or a plateau, Adam,
// early stopping. The same in each process that calls it.
import * as tg from 'tapegrad';
import { losses, nn, optim, schedules } from 'tapegrad';

export class Net extends nn.Module {
  first = new nn.Linear(5, 12);
  norm = new nn.BatchNorm1d(12);
  drop = new nn.Dropout(0.3);
  last: nn.Linear;
  constructor(classes = 3) {
    super();
    this.last = new nn.Linear(12, classes);
  }
  forward(x: tg.Tensor): tg.Tensor {
    return this.last.forward(this.drop.forward(this.norm.forward(this.first.forward(x)).relu()));
  }
}

/** `count` examples of three classes, the same ones always. */
export function makeData(count = 90): { x: tg.Tensor; y: tg.Tensor } {
  const random = tg.randomState();
  tg.manualSeed(11);
  const x = tg.randn([count, 5]);
  tg.setRandomState(random);
  const rows = x.toArray() as number[][];
  const y = Int32Array.from(rows, ([a, b]) => (a! > 0.4 ? 2 : b! > 0 ? 1 : 0));
  return { x, y: tg.tensor(y) };
}

export type Kind = 'schedule' | 'plateau';

/** A model, an optimizer and the options of a fit; what varies is given. */
export function setUp(kind: Kind, seed = 5, classes = 3) {
  tg.manualSeed(seed);
  const model = new Net(classes);
  const plateau = new schedules.ReduceOnPlateau({
    base: 0.02,
    patience: 0,
    threshold: 0.05,
    factor: 0.7,
  });
  const learningRate =
    kind === 'plateau' ? plateau.schedule : schedules.cosine({ base: 0.02, steps: 60 });
  const optimizer = new optim.Adam(model.parameters(), { learningRate });
  const data = makeData();
  const options = {
    data,
    loss: losses.crossEntropy,
    optimizer,
    epochs: 9,
    batchSize: 16,
    reportEvery: 4,
    validation: makeData(40),
    clipGradNorm: 1,
    ...(kind === 'plateau' && { plateau, earlyStopping: { patience: 3, minDelta: 0.03 } }),
  } satisfies tg.FitOptions;
  return { model, optimizer, plateau, options };
}

/** All that a training leaves behind, bit by bit. */
export function outcome(
  { model, optimizer, plateau }: Pick<ReturnType<typeof setUp>, 'model' | 'optimizer' | 'plateau'>,
  report: tg.FitReport,
): string {
  return tg.tidy(() => {
    const state = optimizer.stateDict();
    const bits = (tensors: Record<string, tg.Tensor>) =>
      Object.entries(tensors).map(([name, t]) => [
        name,
        Buffer.from(t.dataSync().buffer).toString('base64'),
      ]);
    const { samplesPerSecond: _, ...rest } = report;
    return JSON.stringify({
      model: bits(model.stateDict()),
      states: bits(state.tensors),
      numbers: state.numbers,
      plateau: plateau.stateDict(),
      random: tg.randomState(),
      report: rest,
    });
  });
}
