/** Writes the receipt of a merge that has just been written: undoes it, and codes what that gets wrong. */
import { runAll } from "../execute/crew.ts";
import { type Progress, ProgressCount } from "../execute/progress.ts";
import { runSteps } from "../execute/run_steps.ts";
import { type GroupId, type GroupSteps, LargeGroups, type Step } from "../execute/steps.ts";
import type { PiecesTask, ResidualResult, ResidualTask, Runner } from "../execute/task.ts";
import { PIECE_BYTES, treeDigest } from "../execute/tree_digest.ts";
import type { StartDigest } from "../io/digest.ts";
import type { ByteSink } from "../io/sink.ts";
import type { AdapterUse, BaseFile, PlannedFile, ProvenFile, TensorSpan } from "../plans/plan.ts";
import { elementByteLength } from "../safetensors/dtype.ts";
import { TABLE_ENTRY_BYTES } from "./corrected_tensor.ts";
import { encodeReceiptHeader, entryName, type ReceiptEntry, type ReceiptFacts } from "./receipt.ts";
import { BLOCK_ELEMENTS, blockCountOf, END_BYTES, MAX_ELEMENT_BYTES } from "./residual_model.ts";

/** What a receipt is made of. */
export interface ReceiptJob {
  /** Of the merge: each tensor's place in the base. */
  readonly files: readonly PlannedFile[];
  readonly baseFiles: readonly BaseFile[];
  /** The same files with the merge undone, which the runners know as files `firstUndo` and following. */
  readonly undoFiles: readonly PlannedFile[];
  readonly firstUndo: number;
  /** In the order of the merge. */
  readonly adapters: readonly AdapterUse[];
  /** The merged weight files. */
  readonly merged: readonly ProvenFile[];
  readonly sink: ByteSink;
}

/** How it runs. */
export interface ReceiptOptions {
  readonly runners: readonly Runner[];
  readonly startDigest: StartDigest;
  readonly tileByteLength: number;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What came of it. */
export interface ReceiptReport {
  /** Bytes of the receipt. */
  readonly byteLength: number;
  /** Bytes of the tensors that it is about. */
  readonly targetByteLength: number;
  /** Their elements, … */
  readonly elementCount: number;
  /** … and those that undoing alone does not give back. */
  readonly wrongCount: number;
}

/** Blocks that a runner codes at once: 8 MiB of a narrow dtype. */
const TASK_BLOCKS = 16;
/** Bytes of a base file that a runner digests at once. */
const DIGEST_BYTES = 32 * PIECE_BYTES;

/** Writes a receipt. @throws {EtherError} `io_error`, `no_space`; the signal's reason */
export async function writeReceipt(job: ReceiptJob, options: ReceiptOptions): Promise<ReceiptReport> {
  const base = job.baseFiles.filter(({ headerLength }) => headerLength !== null);
  const targets = job.undoFiles.flatMap(({ spans }) => spans.filter((span) => span.kind === "tensor"));
  const targetByteLength = targets.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const baseByteLength = base.reduce((sum, { size }) => sum + size, 0);
  const progress = new ProgressCount(options.onProgress, "receipt", targetByteLength + baseByteLength);

  const digests = await treeDigests(base, options, progress.add);
  const facts: ReceiptFacts = {
    ...{ adapters: job.adapters, merged: job.merged },
    base: base.map(({ path, size }, index) => ({ path, size, digest: digests[index]! })),
  };
  const { steps, groups, tensors } = residualSteps(job, options.tileByteLength);
  const writer = new ReceiptWriter(tensors, facts, job.sink);
  await runSteps({ steps, groups }, options.runners, {
    onBytes: progress.add,
    onResidual: (task, result) => writer.add(task, result),
  }, options.signal);
  const byteLength = await writer.finish();
  const elementCount = targets.reduce((sum, span) => sum + span.byteLength / elementByteLength(span.dtype), 0);
  return { byteLength, targetByteLength, elementCount, wrongCount: writer.wrongCount };
}

/** Tree digests of whole files. */
async function treeDigests(
  files: readonly BaseFile[],
  { runners, startDigest, signal }: ReceiptOptions,
  onBytes: (count: number) => void,
): Promise<string[]> {
  const tasks: PiecesTask[] = [];
  const ends = files.map(({ locator, size }) => {
    for (let start = 0; start < size; start += DIGEST_BYTES) {
      tasks.push({ kind: "pieces", locator, start, end: Math.min(size, start + DIGEST_BYTES) });
    }
    return tasks.length;
  });
  const results = await runAll(tasks, runners, onBytes, signal);
  return ends.map((end, index) => {
    return treeDigest(startDigest, results.slice(ends[index - 1] ?? 0, end).map(({ pieces }) => pieces));
  });
}

/** One tensor of a receipt, and the tasks that code it. */
interface ReceiptTensor {
  readonly name: string;
  readonly span: TensorSpan;
  readonly tasks: readonly Omit<ResidualTask, "sketches">[];
}

function residualSteps(
  { files, undoFiles, firstUndo }: ReceiptJob,
  tileByteLength: number,
): { steps: Step[]; groups: Map<GroupId, GroupSteps>; tensors: ReceiptTensor[] } {
  const steps: Step[] = [];
  const groups = new Map<GroupId, GroupSteps>();
  const tensors: ReceiptTensor[] = [];
  for (const [fileIndex, file] of undoFiles.entries()) {
    const large = new LargeGroups(file, firstUndo + fileIndex, tileByteLength);
    for (const [spanIndex, span] of file.spans.entries()) {
      if (span.kind !== "tensor") continue;
      const merge = files[fileIndex]!.spans[spanIndex] as TensorSpan;
      const step = TASK_BLOCKS * BLOCK_ELEMENTS * elementByteLength(span.dtype);
      const tasks: Omit<ResidualTask, "sketches">[] = [];
      for (let done = 0; done < span.byteLength; done += step) {
        const start = span.offset + done;
        const end = Math.min(span.offset + span.byteLength, start + step);
        const base = { locator: merge.locator, offset: merge.sourceOffset + done };
        const needs = large.before(start, end, steps, groups);
        const task = { kind: "residual", file: firstUndo + fileIndex, span: spanIndex, start, end, base } as const;
        steps.push({ task, needs });
        tasks.push(task);
      }
      tensors.push({ name: entryName(file.path, span.name), span, tasks });
    }
  }
  return { steps, groups, tensors };
}

/** Lays the tensors end to end in the order of the plan, whoever is done first: any number of workers, one result. */
class ReceiptWriter {
  wrongCount = 0;
  readonly #tensors: readonly ReceiptTensor[];
  readonly #facts: ReceiptFacts;
  readonly #sink: ByteSink;
  /** Room for the header, whatever the entries' lengths turn out to be. */
  readonly #headerByteLength: number;
  readonly #order: readonly (readonly [tensor: number, task: Omit<ResidualTask, "sketches">])[];
  /** Results that came before one that belongs before them. */
  readonly #early = new Map<Omit<ResidualTask, "sketches">, ResidualResult>();
  readonly #entries: ReceiptEntry[] = [];
  #next = 0;
  #tensor = -1;
  #table = new DataView(new ArrayBuffer(0));
  #blocks = 0;
  #start = 0;
  #end: number;
  #writing: Promise<void> = Promise.resolve();

  constructor(tensors: readonly ReceiptTensor[], facts: ReceiptFacts, sink: ByteSink) {
    this.#tensors = tensors;
    this.#facts = facts;
    this.#sink = sink;
    this.#order = tensors.flatMap(({ tasks }, index) => tasks.map((task) => [index, task] as const));
    const largest = tensors.map(({ name, span }) => {
      const elementCount = span.byteLength / elementByteLength(span.dtype);
      const ofBlocks = blockCountOf(elementCount) * (TABLE_ENTRY_BYTES + END_BYTES);
      return { name, byteLength: elementCount * MAX_ELEMENT_BYTES + ofBlocks };
    });
    this.#headerByteLength = encodeReceiptHeader(largest, facts).byteLength;
    this.#end = this.#headerByteLength;
  }

  /** Takes a task's result, and writes what is next. */
  add(task: Omit<ResidualTask, "sketches">, result: ResidualResult): Promise<void> {
    this.#early.set(task, result);
    return this.#writing = this.#writing.then(() => this.#writeReady());
  }

  /** Writes the header. @returns the receipt's length */
  async finish(): Promise<number> {
    await this.#writing;
    await this.#endTensor();
    await this.#sink.write(0, encodeReceiptHeader(this.#entries, this.#facts, this.#headerByteLength));
    return this.#end;
  }

  async #writeReady(): Promise<void> {
    for (let next = this.#order[this.#next]; next !== undefined; next = this.#order[++this.#next]) {
      const [tensor, task] = next;
      const result = this.#early.get(task);
      if (result === undefined) return;
      this.#early.delete(task);
      if (tensor !== this.#tensor) {
        await this.#endTensor();
        this.#beginTensor(tensor);
      }
      for (const byteLength of result.blockByteLengths) {
        this.#table.setUint32(TABLE_ENTRY_BYTES * this.#blocks++, byteLength, true);
      }
      await this.#sink.write(this.#end, result.residuals);
      this.#end += result.residuals.byteLength;
      this.wrongCount += result.wrongCount;
    }
  }

  #beginTensor(tensor: number): void {
    const { span } = this.#tensors[tensor]!;
    const blockCount = blockCountOf(span.byteLength / elementByteLength(span.dtype));
    this.#tensor = tensor;
    this.#table = new DataView(new ArrayBuffer(blockCount * TABLE_ENTRY_BYTES));
    this.#blocks = 0;
    this.#start = this.#end;
    this.#end += this.#table.byteLength;
  }

  async #endTensor(): Promise<void> {
    if (this.#tensor === -1) return;
    await this.#sink.write(this.#start, new Uint8Array(this.#table.buffer));
    this.#entries.push({ name: this.#tensors[this.#tensor]!.name, byteLength: this.#end - this.#start });
  }
}
