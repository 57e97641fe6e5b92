/** What a browser gets: merges in memory and as streams, adapters on activations, and the strict header reader. */
export { prepareApply } from "../../runtime/apply/prepare_apply.ts";
export { EtherError } from "../../runtime/error.ts";
export { mergeTo } from "../../runtime/execute/merge_to.ts";
export { streamFile } from "../../runtime/execute/stream.ts";
export { MemorySource } from "../../runtime/io/source.ts";
export { kernelModule, useKernelModule } from "../../runtime/kernel/module.ts";
export { prepareMerge } from "../../runtime/plans/prepare_merge.ts";
export { readHeader } from "../../runtime/safetensors/read.ts";
export { MemoryFiles } from "../../runtime/web/memory_files.ts";
export { startDigest } from "../../runtime/web/sha256.ts";
