// The progress bar: cli-progress, loaded when it is wanted. Prints, and knows numbers only.
import { TapegradError } from '../errors.js';

/** Options of cli-progress, such as `stream`, `format` or `noTTYOutput`. */
export type BarOptions = Readonly<Record<string, unknown>>;

/** @internal A bar for the examples of an epoch. */
export interface Bar {
  update(done: number, values: { epoch: number; step: number; loss: string }): void;
  stop(): void;
}

interface Single {
  readonly isActive: boolean;
  start(total: number, value: number, values: object): void;
  update(value: number, values: object): void;
  stop(): void;
}
interface Package {
  SingleBar: new (options: object, preset: object) => Single;
  Presets: { shades_classic: object };
}

const NAME = 'cli-progress'; // a variable: without the package, its types must not be missed

/**
 * @internal
 * @param total - examples per epoch; null if unknown
 * @throws TapegradError TG_PACKAGE if cli-progress is not installed
 */
export async function openBar(total: number | null, options: BarOptions): Promise<Bar> {
  let found: Package;
  try {
    found = ((await import(NAME)) as { default: Package }).default;
  } catch (cause) {
    throw new TapegradError(
      'TG_PACKAGE',
      'fit: the progress bar needs the package cli-progress: npm install cli-progress',
      { cause },
    );
  }
  const format =
    total === null
      ? 'epoch {epoch}  {value} examples  loss {loss}'
      : 'epoch {epoch} {bar} {value}/{total}  loss {loss}';
  // Interrupts remain the program's business, and so does the terminal's state after them.
  const settings = { format, barsize: 30, clearOnComplete: true, linewrap: true };
  const bar = new found.SingleBar(
    { ...settings, gracefulExit: false, ...options },
    found.Presets.shades_classic,
  );
  return {
    update(done, values) {
      if (bar.isActive) bar.update(done, values);
      else bar.start(total ?? 0, done, values);
    },
    stop() {
      if (bar.isActive) bar.stop();
    },
  };
}
