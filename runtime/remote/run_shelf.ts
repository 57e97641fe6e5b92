/** Requests that stand still between two reads, for whoever reads on from there. */
import { BLOCK_BYTES } from "./block_cache.ts";
import type { RangeRun } from "./range_run.ts";

/** Requests that are kept open; the oldest ends first, and is asked for again if need be. */
const MAX_PARKED = 8;
/** Ends of runs that are remembered. */
const MAX_ENDS = 256;
/** A run has at most so many blocks: an overlong one is cut by proxies, and a run is asked for again only at its end. */
const MAX_WINDOW = 64;

/** Parked runs, and how far to ask ahead. */
export class RunShelf {
  readonly #parked = new Map<string, RangeRun>();
  /** Where a run stopped → blocks that it asked for. */
  readonly #windows = new Map<string, number>();

  /** The run that stands at a byte of a file. */
  take(version: string, position: number): RangeRun | null {
    const key = `${position} ${version}`;
    const run = this.#parked.get(key) ?? null;
    this.#parked.delete(key);
    return run;
  }

  /** Puts a run aside. */
  park(version: string, run: RangeRun): void {
    const key = `${run.position} ${version}`;
    this.#parked.get(key)?.cancel();
    this.#parked.set(key, run);
    if (this.#parked.size <= MAX_PARKED) return;
    const [oldest, unused] = this.#parked.entries().next().value!;
    this.#parked.delete(oldest);
    // Whoever comes back to it asks for as much as it still had to bring.
    this.#windows.set(oldest, Math.ceil((unused.end - unused.position) / BLOCK_BYTES / 2));
    unused.cancel();
  }

  /** Blocks to ask for from a byte on: two times as many as by the run that led there, one anywhere else. */
  windowAt(version: string, position: number): number {
    const key = `${position} ${version}`;
    const window = this.#windows.get(key);
    this.#windows.delete(key);
    return window === undefined ? 1 : Math.min(MAX_WINDOW, 2 * window);
  }

  /** Remembers a run that was read to its end, or that will end before. */
  noteEnd(version: string, position: number, window: number): void {
    this.#windows.set(`${position} ${version}`, window);
    if (this.#windows.size > MAX_ENDS) this.#windows.delete(this.#windows.keys().next().value!);
  }

  /** Ends what is parked of a file. */
  drop(version: string): void {
    for (const [key, run] of this.#parked) {
      if (!key.endsWith(` ${version}`)) continue;
      run.cancel();
      this.#parked.delete(key);
    }
  }
}
