// What a recording must know of an optimizer's counts: how many steps it recorded, and so which step comes how far
// ahead. No rule and no tensor is touched here, but for states that a recording which fails leaves behind.
import type { Counter } from '../recording.js';
import type { Tensor } from '../tensor.js';
import type { State } from './group.js';

/** @internal An optimizer's counts. */
export interface Counts {
  /** Steps taken so far. */
  taken: number;
  states: Map<Tensor, State>;
}

/** @internal The counts as a recording found them, and what a run will add to them. */
export class RecordedCounts {
  private readonly taken: number;
  private readonly steps: ReadonlyMap<Tensor, number>;
  private takenPerRun = 0;
  private readonly stepsPerRun = new Map<Tensor, number>();

  constructor(private readonly counts: Counts) {
    this.taken = counts.taken;
    this.steps = new Map([...counts.states].map(([p, state]) => [p, state.t]));
  }

  /** What the recording calls at its end; `learningRate` is asked for reports. */
  counter(learningRate: () => number, ended: () => void): Counter {
    return {
      abandon: () => {
        this.abandon();
        ended();
      },
      rewind: () => {
        this.rewind();
        ended();
        return (runs) => {
          this.add(runs);
        };
      },
      get learningRate() {
        return learningRate();
      },
    };
  }

  /** The count of a parameter and the optimizer's step for an update that was recorded with count t. */
  later(t: number, p: Tensor): (ahead: number) => { t: number; step: number } {
    const { counts } = this;
    const within = counts.taken - this.taken;
    const nth = t - (this.steps.get(p) ?? 0);
    return (ahead) => ({
      t: (counts.states.get(p)?.t ?? 0) + nth + ahead * (this.stepsPerRun.get(p) ?? 0),
      step: counts.taken + within + ahead * this.takenPerRun,
    });
  }

  private abandon(): void {
    const { counts, steps } = this;
    counts.taken = this.taken;
    for (const [p, state] of counts.states) {
      state.t = steps.get(p) ?? 0;
      if (steps.has(p)) continue;
      for (const t of state.tensors) t.dispose();
      counts.states.delete(p);
    }
  }

  private rewind(): void {
    const { counts } = this;
    this.takenPerRun = counts.taken - this.taken;
    counts.taken = this.taken;
    for (const [p, state] of counts.states) {
      const before = this.steps.get(p) ?? 0;
      if (state.t > before) this.stepsPerRun.set(p, state.t - before);
      state.t = before;
    }
  }

  private add(runs: number): void {
    const { counts } = this;
    counts.taken += runs * this.takenPerRun;
    for (const [p, each] of this.stepsPerRun) {
      const state = counts.states.get(p); // gone if the optimizer was disposed of meanwhile
      if (state) state.t += runs * each;
    }
  }
}
