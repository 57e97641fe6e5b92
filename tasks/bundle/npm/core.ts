/**
 * ETHER adapters merged into base models, and applied to activations: Web standards alone, for any runtime.
 *
 * Files come from wherever a `Storage` finds them; `MemoryFiles` is one. On Node and Bun the `/node` entry reads and
 * writes files of the machine.
 *
 * @module
 */
export type { Adapter } from "../../../runtime/adapters/adapter.ts";
export { type ApplyRequest, prepareApply } from "../../../runtime/apply/prepare_apply.ts";
export type { ApplyOptions, PreparedApply } from "../../../runtime/apply/prepared_apply.ts";
export type { Checkpoint, Model, ModelTensor, Place, WeightFile } from "../../../runtime/checkpoints/model.ts";
export { openModel } from "../../../runtime/checkpoints/model.ts";
export { ERROR_CODES, type ErrorCode, type ErrorDetails, EtherError } from "../../../runtime/error.ts";
export { mergeTo } from "../../../runtime/execute/merge_to.ts";
export type { Progress } from "../../../runtime/execute/progress.ts";
export type { MergeOptions, MergeOutput, MergeReport } from "../../../runtime/execute/run_merge.ts";
export { streamFile, type StreamOptions } from "../../../runtime/execute/stream.ts";
export type { RunningDigest, StartDigest } from "../../../runtime/io/digest.ts";
export type { Folder, FolderEntry, OpenSource } from "../../../runtime/io/folder.ts";
export type { ByteSink } from "../../../runtime/io/sink.ts";
export { type ByteSource, MemorySource } from "../../../runtime/io/source.ts";
export { kernelModule, useKernelModule } from "../../../runtime/kernel/module.ts";
export type { MergePlan, PlannedFile } from "../../../runtime/plans/plan.ts";
export {
  type AdapterRequest,
  type MergeRequest,
  type PreparedAdapter,
  type PreparedMerge,
  prepareMerge,
  type Storage,
} from "../../../runtime/plans/prepare_merge.ts";
export { type Dtype, type FloatDtype } from "../../../runtime/safetensors/dtype.ts";
export type { SafetensorsHeader } from "../../../runtime/safetensors/header.ts";
export { readHeader } from "../../../runtime/safetensors/read.ts";
export type { TensorInfo } from "../../../runtime/safetensors/tensor_info.ts";
export { MemoryFiles } from "../../../runtime/web/memory_files.ts";
export { startDigest } from "../../../runtime/web/sha256.ts";
