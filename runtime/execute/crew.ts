/** Runs independent tasks on whoever is free. */
import type { Runner, Task, TaskResult } from "./task.ts";

/** Results in the order of the tasks. The first error ends it, after the running tasks have ended. */
export async function runAll<T extends Task>(
  tasks: readonly T[],
  runners: readonly Runner[],
  onBytes: (count: number) => void,
  signal?: AbortSignal,
): Promise<TaskResult<T>[]> {
  const results = new Array<TaskResult<T>>(tasks.length);
  let next = 0;
  let failed = false;
  const serve = async (runner: Runner) => {
    while (next < tasks.length && !failed) {
      const index = next++;
      try {
        signal?.throwIfAborted();
        results[index] = await runner.run(tasks[index]!, onBytes);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const outcomes = await Promise.allSettled(runners.map(serve));
  const failure = outcomes.find((outcome) => outcome.status === "rejected");
  if (failure !== undefined) throw failure.reason;
  return results;
}
