/** Sketches that several engines share, by names that say what they are made of. */

/** Asks for one sketch. */
export interface SketchWish {
  /** Equal for two sketches if and only if they are sums of the same rows. */
  readonly key: string;
  /** Sums it, where nobody has. */
  make(): Promise<Float64Array>;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sketches in a bounded memory, the least recently used dropped first. However many ask for one at the same time, it is
 * summed once.
 *
 * Nobody waits for somebody who waits for them: a sketch is made from rows that earlier stages leave, and waits only for
 * sketches of these.
 */
export class SketchStore {
  readonly #maxByteLength: number;
  readonly #sketches = new Map<string, Float64Array>();
  readonly #pending = new Map<string, Promise<Float64Array>>();
  #byteLength = 0;
  #hitCount = 0;
  #missCount = 0;

  /** @param maxByteLength  of all sketches that are kept */
  constructor(maxByteLength: number) {
    this.#maxByteLength = maxByteLength;
  }

  /** Bytes that are kept now. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** Sketches so far that were kept, or that somebody else was summing. */
  get hitCount(): number {
    return this.#hitCount;
  }

  /** Sketches that had to be summed so far. */
  get missCount(): number {
    return this.#missCount;
  }

  /** A sketch, which nobody may change. @throws whatever making it throws; the signal's reason */
  async get({ key, make, signal }: SketchWish): Promise<Float64Array> {
    for (;;) {
      signal?.throwIfAborted();
      const known = this.#sketches.get(key);
      if (known !== undefined) {
        this.#sketches.delete(key);
        this.#sketches.set(key, known);
        this.#hitCount++;
        return known;
      }
      const pending = this.#pending.get(key);
      if (pending === undefined) return await this.#make(key, make);
      // Whoever makes it may be stopped for reasons of their own: then it is the next one's turn.
      const made = await untilAborted(pending.catch(() => null), signal);
      if (made !== null) {
        this.#hitCount++;
        return made;
      }
    }
  }

  async #make(key: string, make: () => Promise<Float64Array>): Promise<Float64Array> {
    this.#missCount++;
    const making = make();
    this.#pending.set(key, making);
    try {
      const sketch = await making;
      this.#keep(key, sketch);
      return sketch;
    } finally {
      this.#pending.delete(key);
    }
  }

  #keep(key: string, sketch: Float64Array): void {
    if (sketch.byteLength > this.#maxByteLength) return;
    this.#sketches.set(key, sketch);
    this.#byteLength += sketch.byteLength;
    for (const [oldest, unused] of this.#sketches) {
      if (this.#byteLength <= this.#maxByteLength) break;
      this.#sketches.delete(oldest);
      this.#byteLength -= unused.byteLength;
    }
  }
}

/** What a promise gives, unless the signal comes first. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
