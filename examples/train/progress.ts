// What the user sees while it trains: one line per epoch; the bar in between is that of tg.fit.
import type { Digits } from './data.js';
import type { Classifier, Score } from './model.js';

export const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

export function printIntro(data: Digits, model: Classifier): void {
  const weights = model.parameters().reduce((sum, parameter) => sum + parameter.size, 0);
  console.log(`${data.title}: ${data.train.count} to train, ${data.validation.count} to validate`);
  console.log(`${weights} weights\n`);
  console.log('epoch    train loss  accuracy    validation loss  accuracy    examples/s');
}

export function printEpoch(
  epoch: string,
  train: Score,
  validation: Score,
  examplesPerSecond: number,
): void {
  const cells = [
    epoch.padEnd(7),
    train.loss.toFixed(4).padStart(12),
    percent(train.accuracy).padStart(10),
    validation.loss.toFixed(4).padStart(19),
    percent(validation.accuracy).padStart(10),
    Math.round(examplesPerSecond).toString().padStart(14),
  ];
  console.log(cells.join(''));
}
