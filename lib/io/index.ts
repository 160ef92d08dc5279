// tg.io: tensors in files.
export {
  decodeSafetensors,
  encodeSafetensors,
  loadSafetensors,
  saveSafetensors,
} from './safetensors.js';
export type { Safetensors, SaveOptions, TensorSource } from './safetensors.js';
