// Waiting that an AbortSignal ends. Knows nothing of training.
import { setImmediate } from 'node:timers/promises';

const nothing = (): void => undefined;

/** What the promise gives, unless the signal comes first. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', abort);
    });
  });
}

/**
 * @internal What the source yields, until the signal: its reason is thrown even while the source makes one wait. A loop
 * that ends early closes the source, but does not wait for one that is itself waiting.
 */
export async function* untilAborted<T>(
  source: Iterable<T> | AsyncIterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  const values =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  let ended = false;
  try {
    for (;;) {
      signal?.throwIfAborted();
      const next = values.next();
      const result = await (signal && next instanceof Promise ? unlessAborted(next, signal) : next);
      if (result.done) {
        ended = true;
        return;
      }
      yield result.value;
    }
  } finally {
    if (!ended) {
      const closed = Promise.resolve(values.return?.());
      closed.catch(nothing);
      await Promise.race([closed.catch(nothing), setImmediate()]);
    }
  }
}
