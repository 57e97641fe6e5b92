/** The threads of a server: started when there is a long stream, ended when there has been none for a while. */
import type { ComputeWork } from "../repositories/file_stream.ts";
import type { StreamJob, StreamThreads, ThreadCounters } from "../repositories/stream_threads.ts";
import { StreamThread } from "./stream_thread.ts";

/** How many threads, and who is told when they fail. */
export interface StreamThreadPoolOptions {
  /** At one time. */
  readonly maxCount: number;
  /** Told of threads that fail. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** A thread that has no stream for so long is ended. @default half a minute */
  readonly idleMilliseconds?: number | undefined;
}

const IDLE_MILLISECONDS = 30_000;

/** A host on which threads break again and again does without. */
const MAX_BREAKS = 3;

/** See {@link StreamThreads}. */
export class StreamThreadPool implements StreamThreads {
  readonly #options: StreamThreadPoolOptions;
  readonly #threads = new Set<StreamThread>();
  readonly #timers = new Map<StreamThread, ReturnType<typeof setTimeout>>();
  #breakCount = 0;
  #closed = false;
  /** Of threads that have ended. */
  #past: ThreadCounters = { pieces: 0, sketchHits: 0, sketchMisses: 0 };

  /** Starts nothing yet. */
  constructor(options: StreamThreadPoolOptions) {
    this.#options = options;
  }

  /** Threads that there are now. */
  get count(): number {
    return this.#threads.size;
  }

  get counters(): ThreadCounters {
    return [...this.#threads].reduce((sum, { counters }) => added(sum, counters), this.#past);
  }

  /** A new thread for each stream while there may be more; then the one with the fewest. */
  take(job: StreamJob): ComputeWork | null {
    if (this.#closed) return null;
    const threads = [...this.#threads].sort((a, b) => a.openCount - b.openCount);
    const free = threads.find(({ ready }) => ready);
    if (free?.openCount === 0) return this.#open(free, job);
    const isStarting = threads.some(({ ready }) => !ready);
    if (!isStarting && threads.length < this.#options.maxCount) this.#start();
    // The stream goes on where it is while a thread is made for it.
    else if (free !== undefined && !isStarting) return this.#open(free, job);
    return null;
  }

  close(): void {
    this.#closed = true;
    for (const thread of [...this.#threads]) this.#end(thread);
  }

  #open(thread: StreamThread, job: StreamJob): ComputeWork | null {
    const work = thread.open(job);
    if (work === null) return null;
    clearTimeout(this.#timers.get(thread));
    this.#timers.delete(thread);
    return work;
  }

  #start(): void {
    if (this.#breakCount >= MAX_BREAKS) return;
    try {
      const thread: StreamThread = new StreamThread({
        onIdle: () => this.#rest(thread),
        onBroken: (message) => this.#break(message, thread),
      });
      this.#threads.add(thread);
    } catch (error) {
      this.#break(String(error));
    }
  }

  /** Gives its memory back after a while. */
  #rest(thread: StreamThread): void {
    if (!this.#threads.has(thread)) return;
    clearTimeout(this.#timers.get(thread));
    const timer = setTimeout(() => this.#end(thread), this.#options.idleMilliseconds ?? IDLE_MILLISECONDS);
    Deno.unrefTimer(timer);
    this.#timers.set(thread, timer);
  }

  #end(thread: StreamThread): void {
    clearTimeout(this.#timers.get(thread));
    this.#timers.delete(thread);
    if (!this.#threads.delete(thread)) return;
    this.#past = added(this.#past, thread.counters);
    thread.terminate();
  }

  #break(message: string, thread?: StreamThread): void {
    // One that did not even begin may not: its code cannot be read, or the host has no threads.
    this.#breakCount += thread?.ready ? 1 : MAX_BREAKS;
    if (thread !== undefined) this.#end(thread);
    this.#options.onNotice?.(`a thread that computes streams has ended, they go on without it: ${message}`);
  }
}

function added(a: ThreadCounters, b: ThreadCounters): ThreadCounters {
  return {
    pieces: a.pieces + b.pieces,
    sketchHits: a.sketchHits + b.sketchHits,
    sketchMisses: a.sketchMisses + b.sketchMisses,
  };
}
