// Where tensors are: the devices by name and number, and the one that new tensors are made on. Knows no tensors.
import { checkNumber, wrongType } from './errors.js';
import { native, type Handle } from './native.js';

/** Where a tensor's memory is, and ops on it run. */
export type Device = 'cpu' | 'cuda';

/** @internal In the order of native/core/storage.h. */
export const DEVICES: readonly Device[] = ['cpu', 'cuda'];

let chosen: Device = 'cpu';
let onlyCpu = true;

/** @internal Checks an option; undefined stands for the default device. Whoever names a device comes this way. */
export function checkDevice(op: string, device: unknown): Device {
  if (device === undefined) return chosen;
  if (device !== 'cpu' && device !== 'cuda')
    throw wrongType(op, 'device', "'cpu' or 'cuda'", device);
  if (device === 'cuda') onlyCpu = false;
  return device;
}
/** @internal Where a tensor is. Native code is asked only if it can be elsewhere than on the CPU. */
export const deviceOf = (handle: Handle): Device =>
  onlyCpu ? 'cpu' : DEVICES[native.deviceOf(handle)]!;
/** @internal The number by which native code knows a device. */
export const deviceCode = (device: Device): number => (device === 'cpu' ? 0 : 1);

/** The device on which tensors are made unless told: 'cpu' at first. */
export const getDefaultDevice = (): Device => chosen;

/**
 * Sets the device on which this thread makes tensors from now on: tensors of data, zeros, randn, …, and so the
 * parameters of new modules. Results of ops are where their operands are.
 * @throws TapegradError TG_DEVICE if the device cannot be used; TypeError
 */
export function setDefaultDevice(device: Device): void {
  const wanted = checkDevice('setDefaultDevice', device ?? null);
  native.openDevice(deviceCode(wanted));
  chosen = wanted;
}

/** @internal Runs fn with another default device. */
export function onDevice<T>(device: Device, fn: () => T): T {
  const before = chosen;
  chosen = device;
  try {
    return fn();
  } finally {
    chosen = before;
  }
}

/** What is known of CUDA on this machine. */
export interface CudaDiagnosis {
  readonly available: boolean;
  /** Why it is not available; empty if it is. */
  readonly reason: string;
  /** Where the library was looked for, and why each file is not used; the one in use has an empty reason. */
  readonly paths: readonly { readonly path: string; readonly reason: string }[];
  readonly devices: readonly CudaDevice[];
}
export interface CudaDevice {
  readonly name: string;
  /** Compute capability: 9 for 9.0. */
  readonly capability: number;
  /** In bytes, of the whole device. */
  readonly memory: number;
  readonly multiprocessors: number;
  /** The newest CUDA version that the driver knows: 13000 is 13.0. */
  readonly driver: number;
  /** The CUDA version that the library was built with. */
  readonly runtime: number;
}

/** The CUDA devices of this machine; the first one is used. CUDA_VISIBLE_DEVICES chooses which that is. */
export const cuda = {
  /** Whether tensors can be made on 'cuda'. Opens the device at the first call. */
  isAvailable: (): boolean => native.diagnose().reason === '',
  /** What was looked for and found: the library, the driver, the devices. Never throws. */
  diagnose(): CudaDiagnosis {
    const { reason, paths, devices } = native.diagnose();
    return { available: reason === '', reason, paths, devices };
  },
  /**
   * Waits until the device has done all that was asked of it: ops are only begun when they return.
   * @throws TapegradError TG_DEVICE if something failed meanwhile; RangeError if an operand had a class or an index
   * out of range, or a negative probability: calls do not wait to see
   */
  synchronize(): void {
    native.synchronize(deviceCode('cuda'));
  },
  /** Byte budget of this thread's tensors on the device: nine tenths of what was free at first, unless told. 0 without one. */
  get memoryLimit(): number {
    return cuda.isAvailable() ? native.memory(deviceCode('cuda')).limit : 0;
  },
  set memoryLimit(bytes: number) {
    native.setMemoryLimit(
      checkNumber('cuda.memoryLimit', 'the limit', bytes, { min: 0, integer: true }),
      deviceCode('cuda'),
    );
  },
};
