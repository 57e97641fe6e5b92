/** How many times longer than it took a look is relied on: looking takes a twentieth of the time, at most. */
const REST = 20;

/** A look at the disk that is relied on for a while: the longer it takes, the longer. */
export class Look<T> {
  readonly #look: () => Promise<T>;
  readonly #milliseconds: number;
  #value: Promise<T> | null = null;
  /** Until when, by `performance.now()`. */
  #until = Infinity;

  /** @param milliseconds  at least so long is a look relied on; 0: not at all */
  constructor(look: () => Promise<T>, milliseconds: number) {
    this.#look = look;
    this.#milliseconds = milliseconds;
  }

  /** What the last look showed, or one that begins now. Who asks while it lasts gets the same. */
  get(): Promise<T> {
    if (this.#value === null || performance.now() >= this.#until) this.#value = this.#begin();
    return this.#value;
  }

  /** Nobody who asks from now on gets what was seen before. */
  forget(): void {
    this.#value = null;
  }

  #begin(): Promise<T> {
    const began = performance.now();
    this.#until = Infinity;
    const value: Promise<T> = this.#look().finally(() => {
      if (this.#value !== value) return;
      const took = performance.now() - began;
      this.#until = this.#milliseconds === 0 ? 0 : began + Math.max(this.#milliseconds, took * REST);
    });
    value.catch(() => {
      if (this.#value === value) this.#value = null;
    });
    return value;
  }
}

/** Lets others have a turn: entries that a look may work through before it does. */
export const ENTRIES_PER_TURN = 200;

/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
