import { Engine } from "../execute/engine.ts";
import type { Assignment } from "../execute/task.ts";
import { loadKernel } from "../kernel/load.ts";
import { startDigest } from "./digest.ts";
import { FileSink } from "./file_sink.ts";
import { openFileSource } from "./file_source.ts";

/** An engine over files of this machine, with a kernel of its own. */
export function fileEngine(assignment: Assignment, signal?: AbortSignal): Engine {
  const openSink = (path: string) => new FileSink(`${assignment.output}/${path}`);
  return new Engine({ kernel: loadKernel(), openSource: openFileSource, openSink, startDigest }, assignment, signal);
}
