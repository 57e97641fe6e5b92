/** A long calculation lets signals, timers and other requests have their turn after this many milliseconds. */
const TURN_MILLISECONDS = 50;

/** Turns of the event loop between the pieces of one calculation. */
export class EventTurns {
  #last = performance.now();

  /** Resolves at once, or after a turn where the last one is long ago. */
  async wait(): Promise<void> {
    if (performance.now() - this.#last < TURN_MILLISECONDS) return;
    await new Promise((resolve) => setTimeout(resolve));
    this.#last = performance.now();
  }
}
