/** Some engines that all streams share: each is borrowed for one piece. */
import type { Engine } from "../execute/engine.ts";
import { EtherError } from "../error.ts";

/** What a pool's engines are. */
export interface EnginePoolOptions {
  /** At one time. */
  readonly maxCount: number;
  /** Makes one, when it is first needed. */
  readonly make: () => PooledEngine;
  /** An engine whose kernel has grown beyond this is not used again: a kernel's memory never shrinks. */
  readonly maxKernelBytes: number;
}

/** An engine, and how much memory its kernel has. */
export interface PooledEngine {
  readonly engine: Engine;
  readonly kernel: { readonly bytes: Uint8Array };
}

interface Place {
  readonly pooled: PooledEngine;
  /** Who used it last: what that one prepared may still be there. */
  user: object;
}

interface Waiter {
  readonly user: object;
  readonly resolve: (place: Place) => void;
  readonly reject: (reason: unknown) => void;
}

/** First come, first served. */
export class EnginePool {
  readonly #options: EnginePoolOptions;
  /** The least recently used first. */
  readonly #idle: Place[] = [];
  readonly #waiters = new Set<Waiter>();
  #count = 0;
  #waitCount = 0;
  #closed = false;

  constructor(options: EnginePoolOptions) {
    this.#options = options;
  }

  /** Engines that there are now. */
  get count(): number {
    return this.#count;
  }

  /** Borrowers that had to wait so far. */
  get waitCount(): number {
    return this.#waitCount;
  }

  /**
   * Lends an engine for as long as `work` takes.
   *
   * @param user  who borrows again and again is given the same engine, where that is free
   * @throws whatever `work` throws; the signal's reason while it waits
   */
  async use<T>(user: object, work: (engine: Engine) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const place = await this.#borrow(user, signal);
    let usable = true;
    try {
      return await work(place.pooled.engine);
    } catch (error) {
      usable = !isFatal(error);
      throw error;
    } finally {
      this.#giveBack(place, usable && place.pooled.kernel.bytes.byteLength <= this.#options.maxKernelBytes);
    }
  }

  /** Closes the files of the engines that are idle now. */
  rest(): void {
    for (const { pooled } of this.#idle) pooled.engine.rest();
  }

  /** Closes the engines that are idle now, and the others when they come back. */
  close(): void {
    this.#closed = true;
    for (const { pooled } of this.#idle.splice(0)) this.#drop(pooled);
    for (const { reject } of this.#waiters) reject(new EtherError("interrupted", "the server stops"));
    this.#waiters.clear();
  }

  async #borrow(user: object, signal: AbortSignal | undefined): Promise<Place> {
    signal?.throwIfAborted();
    if (this.#closed) throw new EtherError("interrupted", "the server stops");
    const place = this.#free(user);
    if (place !== null) return place;
    const { promise, resolve, reject } = Promise.withResolvers<Place>();
    const waiter: Waiter = { user, resolve, reject };
    const stop = () => {
      this.#waiters.delete(waiter);
      reject(signal!.reason);
    };
    this.#waiters.add(waiter);
    this.#waitCount++;
    signal?.addEventListener("abort", stop, { once: true });
    try {
      return await promise;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /** The engine that this user had, else a new one, else the one that rested longest. */
  #free(user: object): Place | null {
    const own = this.#idle.findIndex((place) => place.user === user);
    if (own !== -1) return this.#idle.splice(own, 1)[0]!;
    if (this.#count < this.#options.maxCount) {
      const pooled = this.#options.make();
      this.#count++;
      return { pooled, user };
    }
    const place = this.#idle.shift() ?? null;
    if (place !== null) place.user = user;
    return place;
  }

  #giveBack(place: Place, usable: boolean): void {
    if (this.#closed || !usable) this.#drop(place.pooled);
    else this.#idle.push(place);
    for (const waiter of this.#waiters) {
      let next: Place | null;
      try {
        next = this.#free(waiter.user);
      } catch (error) {
        this.#waiters.delete(waiter);
        waiter.reject(error);
        continue;
      }
      if (next === null) break;
      this.#waiters.delete(waiter);
      waiter.resolve(next);
    }
  }

  #drop({ engine }: PooledEngine): void {
    this.#count--;
    engine.close();
  }
}

/** True where a kernel may be left in a state that nobody knows: it ran out of memory, or trapped. */
function isFatal(error: unknown): boolean {
  const cause = error instanceof EtherError ? error.cause : error;
  return cause instanceof RangeError || cause instanceof WebAssembly.RuntimeError;
}
