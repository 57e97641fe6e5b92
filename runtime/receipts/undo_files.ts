import type { Stage } from "../methods/method.ts";
import type { OpSpec } from "../methods/op.ts";
import type { PlannedFile } from "../plans/plan.ts";

/**
 * The files of a merge with each tensor's merge undone, to be read from the merged files ({@link readFrom}).
 *
 * @param stages  what undoes the merge, in order
 */
export function undoFiles(files: readonly PlannedFile[], stages: readonly Stage[]): PlannedFile[] {
  const key = (path: string, name: string) => JSON.stringify([path, name]);
  const byTensor = new Map<string, (readonly OpSpec[])[]>();
  for (const { tensor, ops } of stages) {
    const name = key(tensor.file.path, tensor.info.name);
    byTensor.set(name, [...byTensor.get(name) ?? [], ops]);
  }
  return files.map((file) => ({
    ...file,
    spans: file.spans.map((span) => {
      if (span.kind !== "tensor") return span;
      const undo = byTensor.get(key(file.path, span.name)) ?? [];
      return { ...span, sourceOffset: span.offset, stages: undo };
    }),
  }));
}

/** The same files, whose tensors are read from the output: `locate` opens a file of it. */
export function readFrom(files: readonly PlannedFile[], locate: (path: string) => string): PlannedFile[] {
  return files.map((file) => ({
    ...file,
    spans: file.spans.map((span) => span.kind === "tensor" ? { ...span, locator: locate(file.path) } : span),
  }));
}
