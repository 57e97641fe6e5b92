/**
 * Merge ETHER adapters into base models from any Deno service: open, check, plan, then write a folder or stream a file.
 *
 * ```ts
 * import { mergeToFolder, prepareMerge } from "./mod.ts";
 *
 * const { plan } = await prepareMerge({
 *   base: "fixtures/llama/base",
 *   adapters: [{ path: "fixtures/llama/etherplus", strength: 0.8 }],
 * });
 * const output = `${await Deno.makeTempDir()}/merged`;
 * const { byteLength } = await mergeToFolder(plan, output, {
 *   onProgress: ({ doneBytes, totalBytes }) => console.log(doneBytes / totalBytes),
 *   signal: AbortSignal.timeout(60_000),
 * });
 * console.log(byteLength);
 * ```
 *
 * Or without storing anything:
 *
 * ```ts
 * import { prepareMerge, streamMerged } from "./mod.ts";
 *
 * const { plan } = await prepareMerge({
 *   base: "fixtures/llama/base",
 *   adapters: [{ path: "fixtures/llama/etherplus" }],
 * });
 * const stream = streamMerged(plan, plan.files[0]!.path, { start: 0, end: 65_536 });
 * console.log((await new Response(stream).bytes()).byteLength);
 * ```
 *
 * Or without touching the base, on activations: y = H̃(W(Hx)) + b.
 *
 * ```ts
 * import { prepareApply } from "./mod.ts";
 *
 * await using apply = await prepareApply({
 *   base: "fixtures/llama/base",
 *   adapters: [{ path: "fixtures/llama/ether" }, { path: "fixtures/llama/etherplus" }],
 * });
 * const x = new Float32Array(3 * 192).fill(0.5); // three tokens
 * const y = await apply.linear("model.layers.0.self_attn.q_proj", x, { rows: [0, 1, -1] });
 * console.log(y.length / 3);
 * ```
 *
 * @module
 */
export type { Adapter } from "./runtime/adapters/adapter.ts";
export { type ApplyRequest, prepareApply as prepareApplyFrom } from "./runtime/apply/prepare_apply.ts";
export {
  type ApplyBackend,
  type ApplyDeviceOptions,
  type ApplyDevices,
  type BackendChoice,
  openApplyDevices,
} from "./runtime/apply/apply_device.ts";
export type { ApplyOptions, PreparedApply } from "./runtime/apply/prepared_apply.ts";
export type { Checkpoint, Model, ModelTensor, Place, WeightFile } from "./runtime/checkpoints/model.ts";
export type { ModelConfig } from "./runtime/checkpoints/model_config.ts";
export {
  type FileApplyRequest,
  type FileMergeRequest,
  type FileUnmergeRequest,
  openAdapter,
  openModel,
  prepareApply,
  prepareMerge,
  prepareUnmerge,
  streamMerged,
} from "./runtime/deno/library.ts";
export { fileStorage, mergeToFolder, type MergeToFolderOptions } from "./runtime/deno/merge_folder.ts";
export { ThreadStock } from "./runtime/deno/thread_stock.ts";
export { ERROR_CODES, type ErrorCode, type ErrorDetails, EtherError } from "./runtime/error.ts";
export { mergeTo } from "./runtime/execute/merge_to.ts";
export type { Progress } from "./runtime/execute/progress.ts";
export type { MergeOptions, MergeOutput, MergeReport } from "./runtime/execute/run_merge.ts";
export { streamFile, type StreamOptions } from "./runtime/execute/stream.ts";
export type { RunningDigest, StartDigest } from "./runtime/io/digest.ts";
export type { Folder, FolderEntry, OpenSource } from "./runtime/io/folder.ts";
export type { ByteSink } from "./runtime/io/sink.ts";
export { type ByteSource, MemorySource } from "./runtime/io/source.ts";
export { JsonNumber, type JsonObject, type JsonValue } from "./runtime/json/value.ts";
export { useKernelModule } from "./runtime/kernel/module.ts";
export type { Amplification, CompiledAdapter, ExpectedTensor, Stage } from "./runtime/methods/method.ts";
export type { GroupNeed, OpSpec, Region, RowRun } from "./runtime/methods/op.ts";
export type {
  AdapterUse,
  BaseFile,
  CopySpan,
  Correction,
  ExpectedBytes,
  LiteralSpan,
  MergePlan,
  PlannedAdapter,
  PlannedFile,
  PlannedSmallFile,
  Proof,
  ProvenFile,
  ReceiptPlan,
  Span,
  TensorSpan,
} from "./runtime/plans/plan.ts";
export {
  type AdapterRequest,
  type MergeRequest,
  type PreparedAdapter,
  type PreparedMerge,
  prepareMerge as prepareMergeFrom,
  type Storage,
} from "./runtime/plans/prepare_merge.ts";
export type { ReceiptReport } from "./runtime/receipts/write_receipt.ts";
export { type Dtype, DTYPE_BITS, FLOAT_DTYPES, type FloatDtype } from "./runtime/safetensors/dtype.ts";
export type { SafetensorsHeader } from "./runtime/safetensors/header.ts";
export type { TensorInfo } from "./runtime/safetensors/tensor_info.ts";
export { MemoryFiles } from "./runtime/web/memory_files.ts";
