/** Who runs a merge on this machine: worker threads, or this thread alone. */
import type { Engine } from "../execute/engine.ts";
import type { Assignment, OnBytes, Runner, Task, TaskResult } from "../execute/task.ts";
import { fileEngine } from "./file_engine.ts";
import { WorkerRunner } from "./worker_runner.ts";

/** More threads than this wait for the memory bus, not for a core. */
const MAX_DEFAULT_WORKERS = 4;

/** Workers where the user says nothing: one for each core, up to four. */
export function defaultWorkerCount(): number {
  return Math.min(MAX_DEFAULT_WORKERS, navigator.hardwareConcurrency);
}

/** `count` workers; for 1 this thread does the work, which costs no second isolate. */
export function startRunners(count: number, assignment: Assignment, signal?: AbortSignal): Runner[] {
  if (count === 1) return [new InlineRunner(assignment, signal)];
  return Array.from({ length: count }, () => new WorkerRunner(assignment, signal));
}

/** How long this thread may work before it looks at signals and timers. */
const YIELD_MILLISECONDS = 50;

/** Works in this thread, and lets the event loop breathe. */
class InlineRunner implements Runner {
  readonly #engine: Engine;
  #lastYield = performance.now();

  constructor(assignment: Assignment, signal: AbortSignal | undefined) {
    this.#engine = fileEngine(assignment, signal);
  }

  async run<T extends Task>(task: T, onBytes: OnBytes): Promise<TaskResult<T>> {
    const result = await this.#engine.run(task, async (count) => {
      await onBytes(count);
      await this.#breathe();
    });
    // A sum emits no bytes, and one of a large tensor follows the other.
    await this.#breathe();
    return result;
  }

  async #breathe(): Promise<void> {
    if (performance.now() - this.#lastYield < YIELD_MILLISECONDS) return;
    await new Promise((resolve) => setTimeout(resolve));
    this.#lastYield = performance.now();
  }

  close(): void {
    this.#engine.close();
  }
}
