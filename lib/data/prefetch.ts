// Reading ahead: a bounded queue in front of an async generator. Knows nothing of batches.

/**
 * Yields what the source yields, while up to `depth` further values are being made. An error arrives where its value
 * would have: after all before it. When the consumer leaves early, values that it never saw go to `discard`, and the
 * source's own `finally` has run when the returned generator is closed.
 */
export async function* prefetch<T>(
  source: AsyncGenerator<T, void, undefined>,
  depth: number,
  discard: (value: T) => void,
): AsyncGenerator<T, void, undefined> {
  const queue: Promise<IteratorResult<T, void>>[] = [];
  try {
    while (true) {
      while (queue.length <= depth) {
        const next = source.next(); // an async generator serves its callers one after the other
        next.catch(() => undefined); // it is reported when its turn comes
        queue.push(next);
      }
      const result = await queue.shift()!;
      if (result.done) return;
      yield result.value;
    }
  } finally {
    const closed = source.return();
    for (const made of await Promise.allSettled(queue))
      if (made.status === 'fulfilled' && !made.value.done) discard(made.value.value);
    await closed;
  }
}
