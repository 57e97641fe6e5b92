/** Who runs a merge on this machine: this thread and, for more than one worker, threads beside it. */
import type { Engine } from "../execute/engine.ts";
import type { Assignment, OnBytes, Runner, Task, TaskResult } from "../execute/task.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { EventLoopTurn } from "./event_loop_turn.ts";
import { fileEngine } from "./file_engine.ts";
import type { Places } from "./places.ts";
import { ThreadStock } from "./thread_stock.ts";
import { WorkerRunner } from "./worker_runner.ts";

/**
 * `count` workers, each with its own kernel and file handles. The first is this thread, which would only wait for the
 * others: an isolate less is some 20 MB less.
 *
 * @param kernel  this thread's. @default one of its own
 */
export function startRunners(
  count: number,
  assignment: Assignment,
  signal?: AbortSignal,
  stock: ThreadStock = new ThreadStock(0),
  places?: Places,
  kernel?: Kernel,
): Runner[] {
  const threads = Array.from({ length: count - 1 }, () => new WorkerRunner(stock.take(), assignment, signal, places));
  return [new InlineRunner(assignment, signal, places, kernel), ...threads];
}

/** How long this thread works before it looks at signals and at what the other threads say. */
const TURN_MILLISECONDS = 2;

/** Works in this thread, and lets the event loop turn. */
class InlineRunner implements Runner {
  readonly #engine: Engine;
  readonly #turn = new EventLoopTurn();
  #lastTurn = performance.now();

  constructor(
    assignment: Assignment,
    signal: AbortSignal | undefined,
    places: Places | undefined,
    kernel: Kernel | undefined,
  ) {
    this.#engine = fileEngine(assignment, signal, places?.openSource, kernel);
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

  close(): void {
    this.#engine.close();
    this.#turn.close();
  }

  async #breathe(): Promise<void> {
    if (performance.now() - this.#lastTurn < TURN_MILLISECONDS) return;
    await this.#turn.wait();
    this.#lastTurn = performance.now();
  }
}
