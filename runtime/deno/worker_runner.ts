/** A worker thread as a {@link Runner}. */
import { EtherError } from "../error.ts";
import type { Assignment, OnBytes, Runner, Task, TaskResult } from "../execute/task.ts";
import type { Places } from "./places.ts";
import type { WorkerError, WorkerReply, WorkerRequest } from "./worker_protocol.ts";

/** Runs tasks in a thread of its own. Stopping it in the middle of one is safe: its output is not complete anyway. */
export class WorkerRunner implements Runner {
  readonly #worker: Worker;
  #settle: { resolve(result: TaskResult): void; reject(error: unknown): void } | null = null;
  #onBytes: OnBytes = () => {};
  readonly #signal: AbortSignal | undefined;
  readonly #onNotice: ((message: string) => void) | undefined;
  readonly #abort = () => this.#fail(this.#signal!.reason);

  /**
   * @param worker  a thread that runs `worker.ts`, and is the runner's from here on
   * @param places  files elsewhere that it may have to read
   */
  constructor(worker: Worker, assignment: Assignment, signal?: AbortSignal, places?: Places) {
    this.#worker = worker;
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`worker: ${event.message}`));
    };
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
    this.#onNotice = places?.onRetry;
    this.#send({ kind: "assignment", assignment, remote: places?.threadStart() });
  }

  run<T extends Task>(task: T, onBytes: OnBytes): Promise<TaskResult<T>> {
    this.#signal?.throwIfAborted();
    this.#onBytes = onBytes;
    const { promise, resolve, reject } = Promise.withResolvers<TaskResult>();
    this.#settle = { resolve, reject };
    this.#send({ kind: "task", task });
    return promise as Promise<TaskResult<T>>;
  }

  close(): void {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#worker.terminate();
  }

  #send(request: WorkerRequest): void {
    this.#worker.postMessage(request);
  }

  #receive(reply: WorkerReply): void {
    if (reply.kind === "bytes") this.#report(reply.count);
    else if (reply.kind === "notice") this.#onNotice?.(reply.message);
    else if (reply.kind === "error") this.#fail(toError(reply.error));
    else {
      this.#settle?.resolve(reply.result);
      this.#settle = null;
    }
  }

  /** A listener's error is its task's. */
  async #report(count: number): Promise<void> {
    try {
      await this.#onBytes(count);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#signal?.aborted) this.#worker.terminate();
    this.#settle?.reject(error);
    this.#settle = null;
  }
}

function toError({ code, message, file, tensor, field, hint, stack }: WorkerError): Error {
  const error = code === null ? new Error(message) : new EtherError(code, message, {
    ...{ file: file ?? undefined, tensor: tensor ?? undefined, field: field ?? undefined, hint: hint ?? undefined },
  });
  if (stack !== undefined) error.stack = stack;
  return error;
}
