// Functions as native programs, and training with them.
export { compile, type CompiledFunction, type CompileOptions, type RunOptions } from './compile.js';
