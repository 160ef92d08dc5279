// What the native side holds, and how much it may.
import { checkDevice, deviceCode, type Device } from './device.js';
import { checkKeys, checkNumber } from './errors.js';
import { native } from './native.js';

export interface MemoryInfo {
  /** Live tensors. */
  tensors: number;
  /** Bytes of native memory behind them; views share. */
  bytes: number;
  /** The most there ever were. */
  peakBytes: number;
  /** Allocations beyond this fail with TG_OUT_OF_MEMORY. */
  limit: number;
  /** Freed memory that is held back for reuse. */
  cachedBytes: number;
  /** Times that memory had to be asked of the system. */
  systemAllocations: number;
}

/**
 * Counts of this environment (the main thread or a worker), of the CPU's memory unless told. `memory.limit` reads and
 * sets the CPU's byte budget; that of CUDA is `cuda.memoryLimit`.
 * @throws TapegradError TG_DEVICE if the device cannot be used
 */
export const memory: {
  (options?: { device?: Device }): MemoryInfo;
  /** Byte budget of this environment: three quarters of the machine's or container's memory unless told. */
  limit: number;
} = Object.defineProperty(
  (options?: { device?: Device }) => {
    const { device = 'cpu' } = checkKeys('memory', options, ['device']);
    return native.memory(deviceCode(checkDevice('memory', device)));
  },
  'limit',
  {
    get: () => native.memory(deviceCode('cpu')).limit,
    set(bytes: unknown) {
      native.setMemoryLimit(
        checkNumber('memory.limit', 'the limit', bytes, { min: 0, integer: true }),
        deviceCode('cpu'),
      );
    },
    enumerable: true,
  },
) as never;

/** Kernels' threads, the calling one included; TAPEGRAD_NUM_THREADS or the number of cores unless told. */
export const numThreads = (): number => native.state().threads;
/** Sets the number of threads; results have the same bits for every number. @throws TypeError, RangeError */
export function setNumThreads(count: number): void {
  native.setThreads(
    checkNumber('setNumThreads', 'count', count, { min: 1, max: 256, integer: true }),
  );
}
/** The instruction set in use, and those this machine offers: set TAPEGRAD_ISA before loading to choose. */
export function isa(): { used: string; available: string[] } {
  const { isa: used, isas } = native.state();
  return { used, available: isas.split(' ') };
}
