/** Work that this thread does itself: shows how far it is, and lets Ctrl-C through. */
import { EventLoopTurn } from "../runtime/deno/event_loop_turn.ts";
import { type Progress, ProgressCount } from "../runtime/execute/progress.ts";
import type { OnBytes } from "../runtime/execute/task.ts";
import { ProgressLine } from "./progress_line.ts";

/** How long this thread works before signals get their turn. */
const TURN_MILLISECONDS = 20;

/** Runs some work that tells how many of its bytes are done. */
export async function longWork<T>(
  phase: Progress["phase"],
  totalBytes: number,
  quiet: boolean,
  work: (onBytes: OnBytes) => Promise<T>,
): Promise<T> {
  const line = new ProgressLine(quiet);
  const count = new ProgressCount(line.update, phase, totalBytes);
  const turn = new EventLoopTurn();
  let lastTurn = performance.now();
  try {
    return await work(async (byteLength) => {
      count.add(byteLength);
      if (performance.now() - lastTurn < TURN_MILLISECONDS) return;
      await turn.wait();
      lastTurn = performance.now();
    });
  } finally {
    turn.close();
    line.end();
  }
}
