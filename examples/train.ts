// Trains a small network on handwritten digits, start to end. Read it from the top; the parts are
// in train/.
//
//   npm run train                                10,000 MNIST digits of 28 × 28, about 95 % right
//   npm run train -- --data digits --epochs 20   1,797 digits of 8 × 8: a second or two
//   npm run train -- --help
import * as tg from 'tapegrad';
import { losses, optim } from 'tapegrad';
import { UsageError, exitOnInterrupt, parseOptions, prepareOutput } from './train/cli.js';
import { loadDigits } from './train/data.js';
import { Classifier, evaluate, loadWeights, saveWeights } from './train/model.js';
import { writeCurves } from './train/plot.js';
import { Progress, percent } from './train/progress.js';
import { trainEpoch } from './train/training.js';

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (!options) return; // --help
  exitOnInterrupt();

  // One seed fixes everything that is random: the split, the first weights, the order of the
  // batches.
  tg.manualSeed(options.seed);
  const data = loadDigits(options.data);
  const model = new Classifier(data.features, 256, data.classes);
  if (options.load) loadWeights(model, options.load);
  const output = prepareOutput(options.out);

  const optimizer = new optim.Adam(model.parameters(), { learningRate: options.learningRate });
  const progress = new Progress(options.epochs, data.train.count);
  progress.intro(data, model);

  const history = [];
  for (let epoch = 1; epoch <= options.epochs; epoch++) {
    const speed = await trainEpoch(model, data.train, {
      loss: losses.crossEntropy,
      optimizer,
      batchSize: options.batchSize,
      onBatch: (done, loss) => progress.batch(epoch, done, loss),
    });
    // Both curves are measured in the same way, with the weights at the end of the epoch.
    const train = evaluate(model, data.train);
    const validation = evaluate(model, data.validation);
    history.push({ epoch, train, validation });
    progress.epoch(epoch, train, validation, speed);
  }

  // The proof that the file holds the whole model: a fresh one, filled from it, makes the same
  // predictions.
  saveWeights(model, output.weights, {
    data: options.data,
    seed: `${options.seed}`,
    epochs: `${options.epochs}`,
  });
  const copy = new Classifier(data.features, 256, data.classes);
  loadWeights(copy, output.weights);
  const before = evaluate(model, data.validation).accuracy;
  const after = evaluate(copy, data.validation).accuracy;
  if (after !== before)
    throw new Error(`the reloaded weights give ${percent(after)} instead of ${percent(before)}`);
  await writeCurves(history, `${data.title}, seed ${options.seed}`, output.curves);

  console.log(`\nweights  ${output.weights}`);
  console.log(`         reloaded into a fresh model: accuracy ${percent(after)}, the same`);
  console.log(`curves   ${output.curves}`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`train: ${error.message}`);
  process.exitCode = 2;
}
