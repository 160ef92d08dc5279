// What a user sees of a program: what it does and where its memory lies. Nothing here runs it.
import {
  describeProgram,
  readStage,
  type DescribeOptions,
  type ProgramDescription,
} from './describe.js';
import { dot, draw } from './draw.js';
import type { Program } from './program.js';

/** One version of a compiled function, to be looked at. */
export interface CompiledProgram {
  /**
   * Its instructions, values and memory as data, and in `text` as a listing.
   * @throws RangeError for another stage; Error TG_DISPOSED once the compiled function was disposed of
   */
  describe(options?: DescribeOptions): ProgramDescription;
  /** The same as a graph in Graphviz's language: a box for each instruction, an arrow for each value. */
  dot(options?: DescribeOptions): string;
  /**
   * The graph as an SVG document, laid out by the optional package `@viz-js/viz`.
   * @throws TapegradError TG_MISSING if it is not installed
   */
  svg(options?: DescribeOptions): Promise<string>;
}

/** @internal */
export class ProgramView implements CompiledProgram {
  readonly #program: Program;
  /** The compiled function: when it is collected, its programs go. */
  readonly #owner: object;

  constructor(program: Program, owner: object) {
    this.#program = program;
    this.#owner = owner;
  }
  /** @internal */
  get owner(): object {
    return this.#owner;
  }

  describe(options?: DescribeOptions): ProgramDescription {
    const stage = readStage('describe', options);
    const recorded = this.#program.describe(true);
    const raw = stage === 'recorded' ? recorded : this.#program.describe(false);
    return describeProgram(recorded, raw, stage);
  }
  dot(options?: DescribeOptions): string {
    return dot(this.describe(options));
  }
  async svg(options?: DescribeOptions): Promise<string> {
    return draw(this.dot(options));
  }
}
