// vSGD: step sizes from the gradients' variance and the curvature.
import { wrongType } from '../errors.js';
import { add, clone } from '../ops.gen.js';
import { copyFrom } from '../ops.js';
import { OPTIMIZERS } from '../schema.gen.js';
import { noGrad } from '../tape.js';
import type { Tensor } from '../tensor.js';
import { Optimizer } from './optimizer.js';
import { positive, type CommonOptions, type Definition, type ParameterList } from './options.js';
import type { Update } from './rule.js';

export interface VSGDOptions extends CommonOptions {
  /** C: how many times too large E[g²] and the curvature are taken at the first step. */
  slowStart?: number;
  eps?: number;
}

const DEFINITION: Definition<VSGDOptions> = {
  defaults: { learningRate: 1, slowStart: 2, eps: 1e-12 },
  check: { slowStart: positive('VSGD', 'slowStart'), eps: positive('VSGD', 'eps') },
};

/**
 * Schaul, Zhang & LeCun 2013 (arXiv:1206.1106), "No More Pesky Learning Rates", algorithm 1 with a rate for each
 * element (vSGD-l): with averages over an adaptive memory τ of g, g² and the curvature h,
 *
 * - w ← w - η E[g]² / (E[h] E[g²]) g;
 * - τ ← (1 - E[g]² / E[g²]) τ + 1.
 *
 * The paper takes h from a backpropagated diagonal Hessian; here it is |∇(w + E[g]) - ∇(w)| / |E[g]|, by finite
 * differences on the same sample, as in Schaul & LeCun 2013 (arXiv:1301.3764). So a step needs the loss as
 * a function, which it calls twice: `optimizer.minimize(() => loss(batch))`.
 *
 * Chosen by us: the averages start at the first sample (the papers average a few first) with E[g²] and E[h] too
 * large by slowStart (the paper's C), the difference is then along g, and τ starts at 1 + C. η (learningRate) is
 * ours: 1 is the paper.
 */
export class VSGD extends Optimizer<VSGDOptions> {
  constructor(parameters: ParameterList<VSGDOptions>, options?: VSGDOptions) {
    super(parameters, options, DEFINITION);
  }

  /**
   * @param loss - computes the loss of one sample; called at the parameters and near them, so that it must use
   * the same sample, and the same random numbers, both times
   * @throws TypeError without it; otherwise as the base class. If the loss fails, the parameters are as before.
   */
  override step(loss?: () => Tensor): void {
    if (typeof loss !== 'function')
      throw wrongType('VSGD', 'loss', 'a function that computes the loss (step needs it)', loss);
    this.zeroGrad();
    this.evaluate(loss);
    const moved: { p: Tensor; grad: Tensor; saved: Tensor; probe: Tensor }[] = [];
    try {
      noGrad(() => {
        for (const { parameters, options } of this.groups)
          for (const p of parameters) {
            if (!p.grad) continue;
            const states = this.stateOf(p, options);
            const shift = this.stepsOf(p) === 0 ? p.grad : states[0]!;
            const there = add(p, shift);
            moved.push({ p, grad: p.grad, saved: clone(p), probe: states[4]! });
            copyFrom(p, there);
            there.dispose();
            p.grad = null;
          }
      });
      this.evaluate(loss);
      for (const { p, probe } of moved) if (p.grad) copyFrom(probe, p.grad);
    } finally {
      for (const { p, grad, saved } of moved) {
        copyFrom(p, saved);
        saved.dispose();
        p.grad?.dispose();
        p.grad = grad;
      }
    }
    super.step();
  }

  override minimize(loss: Tensor | (() => Tensor)): void {
    if (typeof loss !== 'function')
      throw wrongType('VSGD', 'loss', 'a function that computes the loss', loss);
    this.step(loss);
  }

  protected rule(t: number, rate: number, { slowStart, eps }: Required<VSGDOptions>): Update {
    const first = t === 1 ? 1 : 0;
    return { spec: OPTIMIZERS.vsgd, numbers: { rate, first, slow: slowStart, eps } };
  }
}
