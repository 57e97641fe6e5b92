/** In the place of the reader of official checkpoints: pickles take as much room as merging. */
import type { Place } from "../../../runtime/checkpoints/model.ts";
import { EtherError } from "../../../runtime/error.ts";

/** @throws {EtherError} `unsupported_format` */
export function openOfficial({ folder }: Place): never {
  throw new EtherError("unsupported_format", "this build reads no official .pth checkpoints", {
    file: folder.name,
    hint: "convert it once, with deno task convert",
  });
}
