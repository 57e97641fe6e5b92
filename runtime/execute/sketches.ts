/** Sums over groups of rows that somebody may need again. */

/** Names one group's sketch within a tensor: the stage, the Op in it, and the group. */
export type SketchKey = `${number}/${number}/${number}`;

/** The key of a group of the `op`-th Op of the `stage`-th stage. */
export function sketchKey(stage: number, op: number, group: number): SketchKey {
  return `${stage}/${op}/${group}`;
}

/**
 * Sketches by key, the least recently used dropped first when they hold more than `maxByteLength`. A dropped one's
 * memory serves the next: a tensor with thousands of groups leaves no garbage behind.
 */
export class SketchCache {
  readonly #sketches = new Map<SketchKey, Float64Array>();
  readonly #maxByteLength: number;
  #byteLength = 0;
  #dropped: Float64Array | null = null;

  constructor(maxByteLength: number) {
    this.#maxByteLength = maxByteLength;
  }

  get(key: SketchKey): Float64Array | undefined {
    const sketch = this.#sketches.get(key);
    if (sketch !== undefined) {
      this.#sketches.delete(key);
      this.#sketches.set(key, sketch);
    }
    return sketch;
  }

  /** Zeros, to be filled and {@link set}. */
  take(length: number): Float64Array {
    const dropped = this.#dropped;
    if (dropped?.length !== length) return new Float64Array(length);
    this.#dropped = null;
    return dropped.fill(0);
  }

  set(key: SketchKey, sketch: Float64Array): void {
    this.#byteLength += sketch.byteLength - (this.#sketches.get(key)?.byteLength ?? 0);
    this.#sketches.delete(key);
    this.#sketches.set(key, sketch);
    for (const [oldest, unused] of this.#sketches) {
      if (this.#byteLength <= this.#maxByteLength || oldest === key) break;
      this.#sketches.delete(oldest);
      this.#byteLength -= unused.byteLength;
      this.#dropped = unused;
    }
  }
}
