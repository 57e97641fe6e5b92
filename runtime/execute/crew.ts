/** Runs independent tasks on whoever is free. */
import type { Runner, Task, TaskResult } from "./task.ts";

/** Results in the order of the tasks. The first error ends it and is thrown, after the running tasks have ended. */
export async function runAll<T extends Task>(
  tasks: readonly T[],
  runners: readonly Runner[],
  onBytes: (count: number) => void,
  signal?: AbortSignal,
): Promise<TaskResult<T>[]> {
  const results = new Array<TaskResult<T>>(tasks.length);
  let next = 0;
  const failures: unknown[] = [];
  const serve = async (runner: Runner) => {
    while (next < tasks.length && failures.length === 0) {
      const index = next++;
      try {
        signal?.throwIfAborted();
        results[index] = await runner.run(tasks[index]!, onBytes);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(runners.map(serve));
  if (failures.length > 0) throw failures[0];
  return results;
}
