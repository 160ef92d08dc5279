// Steps without a program: the same blocks of work, op by op on this thread. For what cannot be recorded, and to compare.
import { setImmediate } from 'node:timers/promises';
import { TapegradError } from '../errors.js';
import type { Runnable } from '../compile/train.js';
import type { RunRequest, RunResult } from '../compile/program.js';
import { takeRows } from '../data/table.js';
import { native } from '../native.js';
import type { Module } from '../nn/module.js';
import type { Optimizer } from '../optim/optimizer.js';
import { clone } from '../ops.gen.js';
import { copyFrom, to } from '../ops.js';
import { randomState, setRandomState } from '../random.js';
import { enableGrad, noGrad } from '../tape.js';
import { handleOf, tidy, type Tensor } from '../tensor.js';

/** What a step is made of. */
export interface StepParts {
  readonly model: Module;
  readonly optimizer: Optimizer;
  /** The loss of a batch. */
  readonly lossOf: (batch: readonly Tensor[]) => Tensor;
  /** Backward, clipping and the update; returns the gradients' norm before clipping, NaN unless clipped. */
  readonly update: (loss: Tensor) => number;
}

/** @internal */
export class EagerSteps implements Runnable {
  constructor(readonly parts: StepParts) {}

  get learningRate(): number {
    return this.parts.optimizer.learningRate;
  }

  /** One step after the other, the event loop having its turn before each. An error ends the run, not the process. */
  async run(request: RunRequest, signal?: AbortSignal): Promise<RunResult> {
    const { steps, tensors, order } = request;
    const losses: number[] = [];
    let skipped = 0;
    let gradientNorm = NaN;
    let error: Error | null = null;
    const size = order ? order.length / steps : 0;
    for (let k = 0; k < steps && !error; ++k) {
      await setImmediate();
      if (signal?.aborted) break;
      const random = randomState();
      try {
        const rows = order?.subarray(k * size, (k + 1) * size);
        const last = k === steps - 1 && request.norm === true;
        const { loss, norm, left } = this.step(rows ? null : tensors, tensors, rows, request, last);
        losses.push(loss);
        gradientNorm = norm;
        if (left) ++skipped;
      } catch (thrown) {
        error = thrown as Error;
        setRandomState(random);
      }
    }
    return { done: losses.length, skipped, losses: Float64Array.from(losses), gradientNorm, error };
  }

  private step(
    given: readonly Tensor[] | null,
    table: readonly Tensor[],
    rows: Int32Array | undefined,
    { onNaN }: RunRequest,
    wantsNorm: boolean,
  ): { loss: number; norm: number; left: boolean } {
    const { model, optimizer, lossOf, update } = this.parts;
    return tidy(() => {
      const device = model.parameters()[0]?.device;
      const batch = (given ?? takeRows(table, rows!)).map((t) => (device ? to(t, device) : t));
      // Running statistics move before the loss is known.
      const buffers =
        onNaN === 'ignore'
          ? []
          : noGrad(() => model.namedBuffers().map(([, t]) => ({ t, before: clone(t) })));
      const value = enableGrad(() => lossOf(batch));
      const loss = value.item();
      if (onNaN !== 'ignore' && !Number.isFinite(loss)) {
        for (const { t, before } of buffers) copyFrom(t, before);
        if (onNaN === 'throw')
          throw new TapegradError('TG_NAN', `fit: the loss is ${loss}; nothing was changed`);
        return { loss, norm: NaN, left: true };
      }
      const clipped = update(value);
      const norm = wantsNorm && Number.isNaN(clipped) ? normOf(optimizer) : clipped;
      return { loss, norm, left: false };
    });
  }
}

function normOf(optimizer: Optimizer): number {
  const grads = optimizer.parameters.flatMap((p) => (p.grad ? [p.grad] : []));
  return native.gradientNorm(Float64Array.from(grads, handleOf), grads);
}
