/** Files that are synced at once: each holds a file handle and a thread of the host. */
const MAX_RUNNING = 4;

/**
 * Syncs files in the background, a few at a time, while others are computed. A failure is kept until somebody asks: it
 * may come long before anybody waits.
 */
export class SyncQueue {
  readonly #sync: (path: string) => Promise<void>;
  readonly #waiting: string[] = [];
  #running = 0;
  #failure: { readonly error: unknown } | null = null;
  #whenIdle: (() => void)[] = [];

  constructor(sync: (path: string) => Promise<void>) {
    this.#sync = sync;
  }

  get idle(): boolean {
    return this.#running === 0;
  }

  add(path: string): void {
    this.#waiting.push(path);
    this.#start();
  }

  /** @throws the first failure, if there is one by now */
  check(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** Resolves when nothing is running, whatever became of it. */
  async settled(): Promise<void> {
    if (!this.idle) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #start(): void {
    while (this.#running < MAX_RUNNING && this.#waiting.length > 0 && this.#failure === null) {
      this.#running++;
      this.#run(this.#waiting.shift()!);
    }
    if (!this.idle) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  async #run(path: string): Promise<void> {
    try {
      await this.#sync(path);
    } catch (error) {
      this.#failure ??= { error };
    }
    this.#running--;
    this.#start();
  }
}
