/**
 * The library on files of this machine, by path, for Node 20 and later, and Bun.
 *
 * @module
 */
export * from "../../../runtime/node/library.ts";
export { openPlace } from "../../../runtime/node/file_folder.ts";
export { nodeStorage } from "../../../runtime/node/file_source.ts";
export { mergeToFolder } from "../../../runtime/node/merge_folder.ts";
export { EtherError } from "../../../runtime/error.ts";
