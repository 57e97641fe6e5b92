/** Runs a plan: writes every file of the output, with its digest, and the manifest last. */
import { type StartDigest, toHex } from "../io/digest.ts";
import type { OpenSource } from "../io/folder.ts";
import type { ByteSink } from "../io/sink.ts";
import { encodeManifest, type FileDigest, MANIFEST_FILE } from "../plans/manifest.ts";
import type { BaseFile, MergePlan, PlannedSmallFile } from "../plans/plan.ts";
import { prove } from "../receipts/prove.ts";
import { type ReceiptReport, writeReceipt } from "../receipts/write_receipt.ts";
import { runAll } from "./crew.ts";
import { type Progress, ProgressCount } from "./progress.ts";
import { runSteps } from "./run_steps.ts";
import { SHARE_BYTES, stepsOf } from "./steps.ts";
import { SyncQueue } from "./sync_queue.ts";
import type { DigestTask, Runner } from "./task.ts";
import { PIECE_BYTES, treeDigest } from "./tree_digest.ts";
import { verifyFiles } from "./verify.ts";

/** Where a merge goes. It becomes visible only when the caller says so, after {@link runMerge} has returned. */
export interface MergeOutput {
  /** Makes an empty file of a size, and its folders. */
  create(path: string, size: number): Promise<void>;
  /** Opens a file that {@link create} made. */
  open(path: string): ByteSink | Promise<ByteSink>;
  /** Makes a file's bytes durable. */
  sync(path: string): Promise<void>;
  /** From which a source opens the file again. */
  locate(path: string): string;
}

/** What the caller of a merge may want. */
export interface MergeOptions {
  /** Record plain SHA-256 of the outputs and of the base. @default false */
  readonly sha256?: boolean | undefined;
  /** Read every output again and compare its digest. @default false */
  readonly verify?: boolean | undefined;
  /** Told how far it is, now and then. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Stops it between two tiles. */
  readonly signal?: AbortSignal | undefined;
}

/** How a merge runs. */
export interface RunMergeOptions extends MergeOptions {
  readonly runners: readonly Runner[];
  readonly openSource: OpenSource;
  readonly startDigest: StartDigest;
  /** What the runners' tiles have. */
  readonly tileByteLength: number;
  /** Where the receipt goes, if the plan has one; then the runners know its files after the plan's own. */
  readonly receiptSink?: ByteSink | undefined;
  /** What computes, where its bytes are not the kernels' own: the manifest says so. @default the kernels */
  readonly backend?: "webgpu" | undefined;
  /** What a runner takes at once, a multiple of {@link PIECE_BYTES}. @default 64 MiB */
  readonly shareByteLength?: number | undefined;
}

/** What a merge has done. */
export interface MergeReport {
  /** Bytes of all files of the output, the manifest included. */
  readonly byteLength: number;
  /** The bytes of `ether-merge.json`. */
  readonly manifest: Uint8Array<ArrayBuffer>;
  /** Every output was read again and has its digest. */
  readonly verified: boolean;
  /** Of a merge with a receipt. */
  readonly receipt: ReceiptReport | null;
  /** What the caller should tell the user. */
  readonly warnings: readonly string[];
}

/** Bytes of a file that are written before the disk is told to begin with them. */
const EARLY_SYNC_BYTES = 128 << 20;

/**
 * Runs a plan.
 *
 * @throws {EtherError} `base_mismatch` for the bytes of a tensor that an adapter vouches for, or of a model that a
 * receipt does not belong to, `verify_failed`, `io_error`, `no_space`; the signal's reason when it is aborted
 */
export async function runMerge(plan: MergePlan, output: MergeOutput, options: RunMergeOptions): Promise<MergeReport> {
  const totalBytes = plan.files.reduce((sum, { size }) => sum + size, 0);
  const progress = new ProgressCount(options.onProgress, "merge", totalBytes);
  for (const { path, size } of plan.files) await output.create(path, size);

  const writer = new FileWriter(plan, output, options);
  const { steps, groups, shareCounts } = stepsOf(plan, options.tileByteLength, options.shareByteLength ?? SHARE_BYTES);
  writer.expect(shareCounts);
  const onWarning = (message: string) => void writer.warnings.push(message);
  const events = { onBytes: progress.add, onShare: writer.onShare, onWarning };
  try {
    await runSteps({ steps, groups }, options.runners, events, options.signal);
  } finally {
    await writer.settled();
  }
  const weights = writer.finish();
  if (plan.proof !== undefined) await prove(weights, plan.proof, options);
  const { receiptSink: sink } = options;
  const receipt = plan.receipt === undefined || sink === undefined ? null : await writeReceipt({
    ...{ files: plan.files, baseFiles: plan.baseFiles, firstUndo: plan.files.length, merged: weights },
    ...{ ...plan.receipt, sink },
  }, options);
  const small: FileDigest[] = [];
  for (const file of plan.smallFiles) small.push(await writeSmall(file, output, options));

  const outputs = [...options.sha256 ? await withSha256(weights, output, options) : weights, ...small];
  const base = await digestBase(plan, options);
  let verified = false;
  if (options.verify) {
    await verifyFiles(outputs, (path) => output.locate(path), options);
    verified = true;
  }

  const manifest = encodeManifest({
    backend: options.backend,
    ...plan.undo ? { operation: "unmerge" } : {},
    base: { files: base },
    adapters: plan.adapters.map(({ digest, peftType, facts }) => ({ digest, peft_type: peftType, ...facts })),
    outputs: outputs.sort((a, b) => a.path < b.path ? -1 : 1),
    tensors: plan.transformed,
    left_out: plan.leftOut,
  });
  await writeBytes(MANIFEST_FILE, manifest, output);
  const byteLength = outputs.reduce((sum, { size }) => sum + size, 0) + manifest.byteLength;
  return { byteLength, manifest, verified, receipt, warnings: writer.warnings };
}

/** Collects the pieces' digests of the weight files, and has each synced while the next is computed. */
class FileWriter {
  readonly warnings: string[] = [];
  readonly #plan: MergePlan;
  readonly #options: RunMergeOptions;
  readonly #pieces: Map<number, Uint8Array<ArrayBuffer>>[];
  readonly #overflows = new Map<string, number>();
  readonly #unsynced: number[];
  #shareCounts: readonly number[] = [];
  readonly #syncs: SyncQueue;

  constructor(plan: MergePlan, output: MergeOutput, options: RunMergeOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#pieces = plan.files.map(() => new Map());
    this.#unsynced = plan.files.map(() => 0);
    this.#syncs = new SyncQueue((path) => output.sync(path));
  }

  expect(shareCounts: readonly number[]): void {
    this.#shareCounts = shareCounts;
  }

  readonly onShare: NonNullable<Parameters<typeof runSteps>[2]["onShare"]> = (file, start, result) => {
    this.#syncs.check();
    const pieces = this.#pieces[file]!;
    pieces.set(start, result.pieces);
    if ("overflows" in result) {
      for (const { name, count } of result.overflows) {
        this.#overflows.set(name, (this.#overflows.get(name) ?? 0) + count);
      }
    }
    const { path } = this.#plan.files[file]!;
    if (pieces.size === this.#shareCounts[file]) {
      this.#syncs.add(path);
      return;
    }
    this.#unsynced[file]! += result.pieces.byteLength / 32 * PIECE_BYTES;
    if (this.#unsynced[file]! < EARLY_SYNC_BYTES || !this.#syncs.idle) return;
    this.#unsynced[file] = 0;
    this.#syncs.add(path);
  };

  /** Waits for the syncs that were begun, whatever became of them. */
  async settled(): Promise<void> {
    await this.#syncs.settled();
  }

  finish(): FileDigest[] {
    this.#syncs.check();
    for (const [name, count] of this.#overflows) {
      this.warnings.push(`${name}: ${count} finite values became infinite in the new dtype`);
    }
    return this.#plan.files.map(({ path, size }, index) => {
      const pieces = [...this.#pieces[index]!].sort(([a], [b]) => a - b).map(([, digests]) => digests);
      return { path, size, digest: treeDigest(this.#options.startDigest, pieces) };
    });
  }
}

async function writeSmall(
  file: PlannedSmallFile,
  output: MergeOutput,
  { openSource, startDigest, signal }: RunMergeOptions,
): Promise<FileDigest> {
  if ("bytes" in file.content) {
    await writeBytes(file.path, file.content.bytes, output);
    const digest = startDigest();
    digest.update(file.content.bytes);
    return { path: file.path, size: file.size, digest: `sha256:${toHex(digest.finish())}` };
  }
  const source = await openSource(file.content.locator);
  await output.create(file.path, source.size);
  const sink = await output.open(file.path);
  try {
    const digest = startDigest();
    const block = new Uint8Array(Math.min(source.size, 1 << 20));
    for (let offset = 0; offset < source.size; offset += block.byteLength) {
      signal?.throwIfAborted();
      const part = block.subarray(0, Math.min(block.byteLength, source.size - offset));
      await source.read(offset, part);
      await sink.write(offset, part);
      digest.update(part);
    }
    return { path: file.path, size: source.size, digest: `sha256:${toHex(digest.finish())}` };
  } finally {
    sink.close();
    source.close();
    await output.sync(file.path);
  }
}

async function writeBytes(path: string, bytes: Uint8Array<ArrayBuffer>, output: MergeOutput): Promise<void> {
  await output.create(path, bytes.byteLength);
  const sink = await output.open(path);
  try {
    await sink.write(0, bytes);
  } finally {
    sink.close();
  }
  await output.sync(path);
}

async function withSha256(
  files: readonly FileDigest[],
  output: MergeOutput,
  options: RunMergeOptions,
): Promise<FileDigest[]> {
  const tasks = files.map(({ path, size }): DigestTask => {
    return { kind: "digest", locator: output.locate(path), offset: 0, byteLength: size };
  });
  const progress = new ProgressCount(options.onProgress, "sha256", files.reduce((sum, { size }) => sum + size, 0));
  const digests = await runAll(tasks, options.runners, progress.add, options.signal);
  return files.map((file, index) => ({ ...file, sha256: digests[index]!.sha256 }));
}

/** Weight files by their header, or by their SHA-256 where that is known or asked for; small ones by SHA-256. */
async function digestBase(plan: MergePlan, options: RunMergeOptions): Promise<FileDigest[]> {
  const whole = ({ headerLength }: BaseFile) => headerLength === null || options.sha256 === true;
  // What the storage knows saves a reading that was asked for; it never changes what a manifest says unasked.
  const known = ({ headerLength, sha256 }: BaseFile) =>
    options.sha256 === true && headerLength !== null && sha256 !== null;
  const unknown = plan.baseFiles.filter((file) => !known(file));
  const tasks = unknown.map((file): DigestTask => {
    return {
      kind: "digest",
      locator: file.locator,
      offset: 0,
      byteLength: whole(file) ? file.size : file.headerLength!,
    };
  });
  const totalBytes = tasks.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const onBytes = options.sha256 ? new ProgressCount(options.onProgress, "sha256", totalBytes).add : () => {};
  const digests = await runAll(tasks, options.runners, onBytes, options.signal);
  const found = new Map(unknown.map((file, index) => {
    return [file, `${whole(file) ? "sha256" : "sha256-header"}:${digests[index]!.sha256}`];
  }));
  return plan.baseFiles.map((file) => {
    return { path: file.path, size: file.size, digest: found.get(file) ?? `sha256:${file.sha256}` };
  });
}
