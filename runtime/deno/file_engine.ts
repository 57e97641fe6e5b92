import { Engine } from "../execute/engine.ts";
import type { Assignment } from "../execute/task.ts";
import type { OpenSource } from "../io/folder.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { loadKernel } from "../kernel/load.ts";
import { startDigest } from "./digest.ts";
import { FileSink } from "./file_sink.ts";
import { openFileSource } from "./file_source.ts";

/** An engine with a kernel of its own, which writes files of this machine, and reads them where nobody says otherwise. */
export function fileEngine(
  assignment: Assignment,
  signal?: AbortSignal,
  openSource: OpenSource = openFileSource,
  kernel: Kernel = loadKernel(),
): Engine {
  const openSink = (path: string) => new FileSink(`${assignment.output}/${path}`);
  return new Engine({ kernel, openSource, openSink, startDigest }, assignment, signal);
}
