/** What a server's repositories may take of its host. */

/** Bounds; each has a default that fits a host of 512 MB. */
export interface RepositoryLimits {
  /** Bytes of all files of one adapter. @default 64 MiB */
  readonly maxAdapterBytes: number;
  /** Bytes of adapters' files that stay in memory; those that are in use may go beyond. @default 256 MiB */
  readonly adapterBytes: number;
  /** Bases that stay open: their headers are in memory. @default 64 */
  readonly bases: number;
  /** Files of one base. @default 10,000 */
  readonly files: number;
  /** A small file of a base that is larger than this is treated like a weight file. @default 64 MiB */
  readonly smallFileBytes: number;
  /** Recipes whose checks and plans are remembered. @default 64 */
  readonly repositories: number;
  /** Commits whose recipes are remembered. @default 10,000 */
  readonly commits: number;
  /** Kernels that compute at one time. @default 4 */
  readonly engines: number;
  /** Bytes of a kernel's memory that one tensor may take. @default 128 MiB */
  readonly engineBytes: number;
  /** Bytes of sketches that all streams share. @default 16 MiB */
  readonly sketchBytes: number;
  /** Adapters that stay prepared for activations. @default 8 */
  readonly applies: number;
}

/** See {@link RepositoryLimits}. */
export const DEFAULT_LIMITS: RepositoryLimits = {
  maxAdapterBytes: 64 << 20,
  adapterBytes: 256 << 20,
  bases: 64,
  files: 10_000,
  smallFileBytes: 64 << 20,
  repositories: 64,
  commits: 10_000,
  engines: 4,
  engineBytes: 128 << 20,
  sketchBytes: 16 << 20,
  applies: 8,
};

/** Bytes of a tile, and of a piece of a stream: it fits in a core's cache. */
export const TILE_BYTES: number = 1 << 20;

/** The same while there are many streams. */
export const MANY_STREAMS_TILE_BYTES: number = 256 << 10;

/** An engine whose kernel has grown beyond this is not kept: a kernel's memory never shrinks. */
export const KEPT_KERNEL_BYTES: number = 32 << 20;
