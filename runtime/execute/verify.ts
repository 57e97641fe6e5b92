/** Holds files against the digests of a manifest. */
import { EtherError } from "../error.ts";
import type { StartDigest } from "../io/digest.ts";
import type { OpenSource } from "../io/folder.ts";
import type { FileDigest } from "../plans/manifest.ts";
import { runAll } from "./crew.ts";
import { type Progress, ProgressCount } from "./progress.ts";
import type { DigestTask, PiecesTask, Runner } from "./task.ts";
import { PIECE_BYTES, treeDigest } from "./tree_digest.ts";

/** What verifying needs. */
export interface VerifyOptions {
  readonly runners: readonly Runner[];
  readonly openSource: OpenSource;
  readonly startDigest: StartDigest;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes of one task. */
const VERIFY_BYTES = 32 * PIECE_BYTES;

/**
 * Reads files again and compares their digests.
 *
 * @throws {EtherError} `verify_failed`, naming the first file that differs; `not_found`
 */
export async function verifyFiles(
  files: readonly FileDigest[],
  locate: (path: string) => string,
  options: VerifyOptions,
): Promise<void> {
  const tasks: (PiecesTask | DigestTask)[] = [];
  const partsOf = files.map(({ path, size, digest, sha256 }) => {
    const locator = locate(path);
    const first = tasks.length;
    if (digest.startsWith("sha256:")) tasks.push({ kind: "digest", locator, offset: 0, byteLength: size });
    else {
      for (let start = 0; start < size || start === 0; start += VERIFY_BYTES) {
        tasks.push({ kind: "pieces", locator, start, end: Math.min(size, start + VERIFY_BYTES) });
      }
    }
    const pieceCount = tasks.length - first;
    if (sha256 !== undefined) tasks.push({ kind: "digest", locator, offset: 0, byteLength: size });
    return { first, pieceCount };
  });
  for (const { path, size } of files) await checkSize(path, size, locate(path), options.openSource);
  const progress = new ProgressCount(options.onProgress, "verify", files.reduce((sum, { size }) => sum + size, 0));
  const results = await runAll(tasks, options.runners, progress.add, options.signal);
  for (const [index, { path, digest, sha256 }] of files.entries()) {
    const { first, pieceCount } = partsOf[index]!;
    const parts = results.slice(first, first + pieceCount);
    const found = digest.startsWith("sha256:")
      ? `sha256:${(parts[0] as { sha256: string }).sha256}`
      : treeDigest(options.startDigest, parts.map((part) => (part as { pieces: Uint8Array }).pieces));
    if (found !== digest) throw differs(path, found, digest);
    if (sha256 === undefined) continue;
    const plain = (results[first + pieceCount] as { sha256: string }).sha256;
    if (plain !== sha256) throw differs(path, `sha256:${plain}`, `sha256:${sha256}`);
  }
}

async function checkSize(path: string, size: number, locator: string, openSource: OpenSource): Promise<void> {
  const source = await openSource(locator);
  source.close();
  if (source.size !== size) throw differs(path, `${source.size} bytes`, `${size} bytes`);
}

function differs(path: string, found: string, expected: string): EtherError {
  return new EtherError("verify_failed", `found ${found}, the manifest says ${expected}`, {
    file: path,
    hint: "the file changed after the merge; merge again",
  });
}
