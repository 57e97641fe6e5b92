/** A stream that goes on in a thread as soon as one is ready, and comes back where that fails. */
import type { ComputeWork } from "./file_stream.ts";
import type { StreamJob, StreamThreads } from "./stream_threads.ts";

/** What has less than this left is soon done, and holds less memory here. */
const LONG_BYTES = 32 << 20;

/** What a thread cannot do is done here: an error is the serving thread's own. */
export class ThreadedWork implements ComputeWork {
  readonly #inline: ComputeWork;
  readonly #threads: StreamThreads;
  readonly #job: Omit<StreamJob, "start" | "end">;
  #taken: ComputeWork | null = null;
  #failed = false;

  /**
   * @param inline   computes any piece in this thread
   * @param threads  asked for a thread with each piece until one is ready
   */
  constructor(inline: ComputeWork, threads: StreamThreads, job: Omit<StreamJob, "start" | "end">) {
    this.#inline = inline;
    this.#threads = threads;
    this.#job = job;
  }

  async piece(start: number, end: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#taken === null && !this.#failed && end - start >= LONG_BYTES) {
      this.#taken = this.#threads.take({ ...this.#job, start, end });
    }
    if (this.#taken !== null) {
      try {
        return await this.#taken.piece(start, end, signal);
      } catch {
        signal.throwIfAborted();
        this.#giveUp();
      }
    }
    return await this.#inline.piece(start, end, signal);
  }

  close(): void {
    this.#giveUp();
    this.#inline.close();
  }

  #giveUp(): void {
    this.#failed = true;
    this.#taken?.close();
    this.#taken = null;
  }
}
