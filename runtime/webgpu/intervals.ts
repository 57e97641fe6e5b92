/** Half-open ranges of addresses, `[start, end)`. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** A set of addresses, as few ranges as it takes, in order. */
export class Intervals implements Iterable<Interval> {
  #ranges: Interval[] = [];

  [Symbol.iterator](): Iterator<Interval> {
    return this.#ranges[Symbol.iterator]();
  }

  /** Adds a range. */
  add({ start, end }: Interval): void {
    if (start >= end) return;
    const before = this.#ranges.filter((range) => range.end < start);
    const after = this.#ranges.filter((range) => range.start > end);
    const touched = this.#ranges.slice(before.length, this.#ranges.length - after.length);
    const joined = {
      start: Math.min(start, ...touched.map((range) => range.start)),
      end: Math.max(end, ...touched.map((range) => range.end)),
    };
    this.#ranges = [...before, joined, ...after];
  }

  /** What of a range is not in the set. */
  missing({ start, end }: Interval): Interval[] {
    const found: Interval[] = [];
    for (const range of this.#ranges) {
      if (range.end <= start) continue;
      if (range.start >= end) break;
      if (range.start > start) found.push({ start, end: range.start });
      start = Math.max(start, range.end);
    }
    if (start < end) found.push({ start, end });
    return found;
  }
}
