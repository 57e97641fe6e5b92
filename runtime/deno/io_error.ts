import { EtherError } from "../error.ts";

/** What the operating system said, as an {@link EtherError}; one that is already one passes through. */
export function ioError(error: unknown, file: string): EtherError {
  if (error instanceof EtherError) return error;
  const { code, message } = error as { code?: string; message: string };
  const absent = [Deno.errors.NotFound, Deno.errors.NotADirectory].some((kind) => error instanceof kind);
  if (code === "ENOENT" || code === "ENOTDIR" || absent) {
    return new EtherError("not_found", "no such file or folder", { file, cause: error });
  }
  if (code === "ENOSPC" || code === "EDQUOT") {
    const hint = "free some space, or write elsewhere";
    return new EtherError("no_space", "the disk is full", { file, hint, cause: error });
  }
  return new EtherError("io_error", message ?? String(error), { file, cause: error });
}
