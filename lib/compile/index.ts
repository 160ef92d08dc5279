// Functions as native programs, and training with them.
export type { BatchStream, TrainingData } from './blocks.js';
export { TrainingRun, type TrainOptions, type TrainReport } from './train.js';
export { compile, type CompiledFunction, type CompileOptions, type RunOptions } from './compile.js';
export type { CompiledProgram } from './view.js';
export type {
  DescribeOptions,
  ProgramCall,
  ProgramDescription,
  ProgramInstruction,
  ProgramStage,
  ProgramValue,
} from './describe.js';
