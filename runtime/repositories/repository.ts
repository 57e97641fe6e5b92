/** One revision of a repository: the base, or the base with a recipe of adapters, as files that may not exist yet. */

/** One file of a revision. */
export interface RepositoryFile {
  /** Relative to the repository, with forward slashes. */
  readonly path: string;
  /** Bytes of the file. */
  readonly size: number;
  /** Strong, without quotes, `[A-Za-z0-9._-]{1,128}`; equal if and only if the bytes are equal. */
  readonly etag: string;
  /** 40 hex: the git blob id of a small file; of a file kept as LFS that of its pointer; else made of the ETag. */
  readonly oid: string;
  /** SHA-256 in hex of a file that is listed as LFS; null for small files, and where it is not known. */
  readonly sha256: string | null;
  /** Bytes that a stream of it holds, where that is more than 1 MiB. */
  readonly pieceByteLength?: number | undefined;
}

/** Which bytes of a file. */
export interface ByteRange {
  /** First byte. */
  readonly start: number;
  /** Byte after the last. */
  readonly end: number;
}

/** One revision of a repository. */
export interface Repository {
  /** `name` or `org/name`. */
  readonly id: string;
  /** 40 lower-case hex, made of content alone. */
  readonly commit: string;
  /** `main`, or the recipe in its canonical form, e.g. `poet@0.5+brief`. */
  readonly revision: string;
  /** Every file, sorted by path. */
  readonly files: readonly RepositoryFile[];
  /** When the youngest file of the base was written; the epoch where that is not known. */
  readonly lastModified: Date;
  /** What the operator should know. */
  readonly warnings: readonly string[];
  /** A file by its path; undefined for one that is not listed. */
  file(path: string): RepositoryFile | undefined;
  /**
   * Bytes of a file, computed as they are read: pieces of at most 1 MiB, one for each pull. Opens nothing before the
   * first pull; cancelling stops it. Exactly `end - start` bytes, or an error.
   */
  stream(file: RepositoryFile, range: ByteRange, signal?: AbortSignal): ReadableStream<Uint8Array<ArrayBuffer>>;
}
