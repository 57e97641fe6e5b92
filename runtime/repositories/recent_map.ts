/** A map that keeps what was used last. */
export class RecentMap<K, V> {
  readonly #entries = new Map<K, V>();
  readonly #maxCount: number;

  /** @param maxCount  entries that are kept */
  constructor(maxCount: number) {
    this.#maxCount = maxCount;
  }

  /** The value, which has been used now. */
  get(key: K): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  /** Keeps a value, and drops the one that was used least recently where there are too many. */
  set(key: K, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxCount) break;
      this.#entries.delete(oldest);
    }
  }

  delete(key: K): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }
}
