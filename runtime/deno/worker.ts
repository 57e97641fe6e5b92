/** A thread with a kernel and file handles of its own: runs one task after another until it is terminated. */
import { EtherError } from "../error.ts";
import { freeArray } from "../execute/free_array.ts";
import type { Engine } from "../execute/engine.ts";
import { fileEngine } from "./file_engine.ts";
import type { WorkerReply, WorkerRequest } from "./worker_protocol.ts";

/** Bytes between two reports: a message costs as much as copying some kilobytes. */
const REPORT_BYTES = 4 << 20;

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<WorkerRequest>) => void) | null;
  postMessage(reply: WorkerReply, transfer?: ArrayBuffer[]): void;
};
let engine: Promise<Engine> | null = null;

scope.onmessage = async ({ data }) => {
  if (data.kind === "assignment") {
    engine = makeEngine(data);
    return;
  }
  let unreported = 0;
  const report = () => {
    scope.postMessage({ kind: "bytes", count: unreported });
    unreported = 0;
  };
  try {
    const result = await (await engine!).run(data.task, (count) => {
      unreported += count;
      if (unreported >= REPORT_BYTES) report();
    });
    if (unreported > 0) report();
    scope.postMessage({ kind: "result", result }, "sketch" in result ? [result.sketch.buffer] : []);
  } catch (error) {
    scope.postMessage({ kind: "error", error: describeError(error) });
  } finally {
    // They were copied for this thread alone.
    if ("sketches" in data.task) { for (const { sketch } of data.task.sketches) freeArray(sketch); }
  }
};

/** What reads files elsewhere is loaded only where there are some. */
async function makeEngine(
  { assignment, remote }: Extract<WorkerRequest, { kind: "assignment" }>,
): Promise<Engine> {
  if (remote === undefined) return fileEngine(assignment);
  const { Places } = await import("./places.ts");
  const onRetry = (message: string) => scope.postMessage({ kind: "notice", message });
  return fileEngine(assignment, undefined, new Places({ ...remote, onRetry }).openSource);
}

function describeError(error: unknown): Extract<WorkerReply, { kind: "error" }>["error"] {
  if (error instanceof EtherError) return { ...error.toJSON(), stack: error.stack } as never;
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { code: null, message, stack };
}
