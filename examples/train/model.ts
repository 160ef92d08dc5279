// The network, how well it does, and its weights in a file.
import * as tg from 'tapegrad';
import { io, losses, nn } from 'tapegrad';
import { UsageError } from './cli.js';
import type { Examples } from './data.js';

/** One hidden layer of rectified linear units; the outputs are logits, one per class. */
export class Classifier extends nn.Module {
  readonly hidden: nn.Linear;
  readonly output: nn.Linear;

  constructor(features: number, width: number, classes: number) {
    super();
    this.hidden = new nn.Linear(features, width);
    this.output = new nn.Linear(width, classes);
  }

  forward(x: tg.Tensor): tg.Tensor {
    return this.output.forward(this.hidden.forward(x).relu());
  }
}

export interface Score {
  loss: number;
  /** From 0 to 1. */
  accuracy: number;
}

/** Mean cross-entropy and share of right answers over a whole set. */
export function evaluate(model: Classifier, set: Examples): Score {
  return tg.tidy(() =>
    tg.noGrad(() => {
      const logits = model.forward(tg.tensor(set.x, { shape: [set.count, set.features] }));
      const loss = losses.crossEntropy(logits, tg.tensor(set.y)).item();
      const answers = logits.argmax({ axis: -1 }).dataSync();
      const right = set.y.reduce((sum, digit, i) => sum + (answers[i] === digit ? 1 : 0), 0);
      return { loss, accuracy: right / set.count };
    }),
  );
}

/**
 * Writes all weights to a safetensors file, in one step: a crash leaves the old file or the new
 * one.
 */
export function saveWeights(
  model: Classifier,
  path: string,
  metadata: Record<string, string>,
): void {
  io.saveSafetensors(path, model, { metadata });
}

/** Fills the model from a file; one that does not fit changes nothing. */
export function loadWeights(model: Classifier, path: string): void {
  forUser(path, () => {
    tg.tidy(() => {
      model.loadStateDict(io.loadSafetensors(path).tensors, { strict: true });
    });
  });
}

/** Reads a checkpoint before anything is written; tg.fit reads all of it. */
export function checkCheckpoint(model: Classifier, path: string): void {
  forUser(path, () => {
    tg.loadCheckpoint(path, { model });
  });
}

function forUser(path: string, load: () => void): void {
  try {
    load();
  } catch (error) {
    const { message } = error as Error;
    throw new UsageError(message.startsWith(path) ? message : `${path}: ${message}`);
  }
}
