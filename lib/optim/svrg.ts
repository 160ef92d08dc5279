// SVRG: stochastic gradients whose variance goes to zero.
import { backward } from '../backward.js';
import { arange } from '../create.js';
import { checkKeys, checkNumber, wrongType } from '../errors.js';
import { add, clone, mul, sub } from '../ops.gen.js';
import { copyFrom } from '../ops.js';
import { randint } from '../random.js';
import { enableGrad, noGrad } from '../tape.js';
import { checkTensor, keep, tidy, type Tensor } from '../tensor.js';
import { Optimizer } from './optimizer.js';

export interface SVRGOptions {
  /** Inner steps after each snapshot, m; 2n / batchSize unless told. */
  innerSteps?: number;
  /** Examples of an inner step. */
  batchSize?: number;
  /** Examples that are evaluated at once for the full gradient; all unless told. */
  chunkSize?: number;
}

interface Snapshot {
  readonly p: Tensor;
  /** w̃. */
  readonly at: Tensor;
  /** The full gradient there. */
  readonly full: Tensor;
}

/**
 * Johnson & Zhang 2013, "Accelerating Stochastic Gradient Descent using Predictive Variance Reduction", figure 1
 * with option I (the next snapshot is the last iterate). An epoch computes the full gradient ∇f(w̃) at a snapshot
 * w̃; its steps then go along ∇fᵢ(w) - ∇fᵢ(w̃) + ∇f(w̃) for examples i drawn with replacement, so that a constant
 * step size converges linearly on smooth, strongly convex losses. The step itself is an optimizer's: SGD is the
 * paper; with { proximal } it is Prox-SVRG (Xiao & Zhang 2014).
 *
 * @example
 * const svrg = new SVRG(new SGD(model.parameters(), { learningRate: 0.1 }),
 *   (rows) => losses.crossEntropy(model.forward(x.indexSelect(rows)), y.indexSelect(rows)), n);
 * for (let epoch = 0; epoch < 20; ++epoch) svrg.epoch();
 */
export class SVRG {
  private readonly innerSteps: number;
  private readonly batchSize: number;
  private readonly chunkSize: number;

  /**
   * @param optimizer - makes the steps; its gradients are overwritten
   * @param loss - the mean loss of the examples whose numbers it is given (int32); twice the same for the same
   * numbers, so without dropout
   * @param count - the number of examples, n
   */
  constructor(
    readonly optimizer: Optimizer,
    private readonly loss: (indices: Tensor) => Tensor,
    private readonly count: number,
    options?: SVRGOptions,
  ) {
    if (!(optimizer instanceof Optimizer))
      throw wrongType('SVRG', 'optimizer', 'an Optimizer', optimizer);
    if (typeof loss !== 'function') throw wrongType('SVRG', 'loss', 'a function', loss);
    const whole = { min: 1, integer: true };
    checkNumber('SVRG', 'count', count, { ...whole, max: 2 ** 31 - 1 });
    const given = checkKeys('SVRG', options, ['innerSteps', 'batchSize', 'chunkSize']);
    const { batchSize = 1, chunkSize = count } = given;
    this.batchSize = checkNumber('SVRG', 'batchSize', batchSize, { ...whole, max: count });
    this.chunkSize = checkNumber('SVRG', 'chunkSize', chunkSize, { ...whole, max: count });
    const { innerSteps = Math.ceil((2 * count) / this.batchSize) } = given;
    this.innerSteps = checkNumber('SVRG', 'innerSteps', innerSteps, whole);
  }

  /** A snapshot and its inner steps. */
  epoch(): void {
    const snapshots = this.snapshot();
    try {
      for (let step = 0; step < this.innerSteps; ++step) this.step(snapshots);
    } finally {
      this.optimizer.zeroGrad();
      for (const { at, full } of snapshots) {
        at.dispose();
        full.dispose();
      }
    }
  }

  /** Adds the gradient of the mean loss of some examples, times their share. */
  private evaluate(indices: Tensor, share: number): void {
    tidy(() => {
      const value = checkTensor(
        'SVRG',
        "the loss's result",
        enableGrad(() => this.loss(indices)),
      );
      backward(share === 1 ? value : mul(value, share));
    });
  }

  private snapshot(): Snapshot[] {
    this.optimizer.zeroGrad();
    for (let start = 0; start < this.count; start += this.chunkSize) {
      const size = Math.min(this.chunkSize, this.count - start);
      tidy(() => {
        this.evaluate(arange(start, start + size), size / this.count);
      });
    }
    return noGrad(() =>
      this.optimizer.parameters.flatMap((p) =>
        p.grad ? [{ p, at: keep(clone(p)), full: keep(clone(p.grad)) }] : [],
      ),
    );
  }

  private step(snapshots: readonly Snapshot[]): void {
    const { optimizer } = this;
    tidy(() => {
      const indices = randint(0, this.count, [this.batchSize]);
      // At the snapshot first: the parameters must hold w again when the step is made.
      const here = noGrad(() => snapshots.map(({ p }) => clone(p)));
      optimizer.zeroGrad();
      try {
        for (const { p, at } of snapshots) copyFrom(p, at);
        this.evaluate(indices, 1);
      } finally {
        snapshots.forEach(({ p }, i) => copyFrom(p, here[i]!));
      }
      const corrections = noGrad(() =>
        snapshots.map(({ p, full }) => (p.grad ? sub(full, p.grad) : full)),
      );
      optimizer.zeroGrad();
      this.evaluate(indices, 1);
      noGrad(() => {
        snapshots.forEach(({ p }, i) => {
          const direction = keep(p.grad ? add(p.grad, corrections[i]!) : clone(corrections[i]!));
          p.grad?.dispose();
          p.grad = direction;
        });
      });
      optimizer.step();
    });
  }
}
