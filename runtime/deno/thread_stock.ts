/** Threads that are started before their work is known: an isolate takes some 50 ms, in which a plan can be made. */
export class ThreadStock {
  readonly #threads: Worker[];

  /** Starts `count` threads. */
  constructor(count: number) {
    this.#threads = Array.from({ length: count }, startThread);
  }

  /** One that was started ahead, else a new one. */
  take(): Worker {
    return this.#threads.pop() ?? startThread();
  }

  /** Ends those that nobody took. */
  close(): void {
    for (const thread of this.#threads.splice(0)) thread.terminate();
  }
}

function startThread(): Worker {
  return new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
}
