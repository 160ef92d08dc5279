// What the user sees while it trains: a bar on a terminal, one line per epoch everywhere.
import cliProgress from 'cli-progress';
import type { Digits } from './data.js';
import type { Classifier, Score } from './model.js';

export const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

export class Progress {
  /** Only on a terminal: in a file or a pipe, a bar is noise. */
  readonly #bar: cliProgress.SingleBar | null = null;

  constructor(
    readonly epochs: number,
    readonly examples: number,
  ) {
    if (process.stdout.isTTY) {
      const format = 'epoch {epoch} {bar} {value}/{total}  loss {loss}';
      // It must leave no mark on the terminal, such as line wrapping switched off, when Ctrl-C ends
      // the program.
      const options = {
        format,
        stream: process.stdout,
        barsize: 30,
        clearOnComplete: true,
        linewrap: true,
      };
      this.#bar = new cliProgress.SingleBar(
        { ...options, gracefulExit: false },
        cliProgress.Presets.shades_classic,
      );
    }
  }

  intro(data: Digits, model: Classifier): void {
    const weights = model.parameters().reduce((sum, parameter) => sum + parameter.size, 0);
    console.log(
      `${data.title}: ${data.train.count} to train, ${data.validation.count} to validate`,
    );
    console.log(`${weights} weights\n`);
    console.log('epoch    train loss  accuracy    validation loss  accuracy    examples/s');
  }

  batch(epoch: number, done: number, loss: number): void {
    if (!this.#bar) return;
    const values = { epoch: `${epoch}/${this.epochs}`, loss: loss.toFixed(4) };
    if (!this.#bar.isActive) this.#bar.start(this.examples, done, values);
    else this.#bar.update(done, values);
  }

  epoch(epoch: number, train: Score, validation: Score, examplesPerSecond: number): void {
    this.#bar?.stop();
    const cells = [
      `${epoch}/${this.epochs}`.padEnd(7),
      train.loss.toFixed(4).padStart(12),
      percent(train.accuracy).padStart(10),
      validation.loss.toFixed(4).padStart(19),
      percent(validation.accuracy).padStart(10),
      Math.round(examplesPerSecond).toString().padStart(14),
    ];
    console.log(cells.join(''));
  }
}
