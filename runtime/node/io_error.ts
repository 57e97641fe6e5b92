import { EtherError } from "../error.ts";

/** What the system said about a file, as an error of ours. */
export function ioError(error: unknown, file: string): EtherError {
  if (error instanceof EtherError) return error;
  const { code, message } = error as { code?: string; message?: string };
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new EtherError("not_found", "no such file or folder", { file, cause: error });
  }
  if (code === "ENOSPC" || code === "EDQUOT") {
    const hint = "free some space, or write elsewhere";
    return new EtherError("no_space", "the disk is full", { file, hint, cause: error });
  }
  return new EtherError("io_error", message ?? String(error), { file, cause: error });
}
