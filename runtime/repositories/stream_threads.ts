/** Threads that compute long streams: the one that sends has its hands full with sending. */
import type { OpenSource } from "../io/folder.ts";
import type { PlannedFile } from "../plans/plan.ts";
import type { ComputeWork } from "./file_stream.ts";

/** A host's threads. Nothing needs them: what they do not take is computed in the thread that sends. */
export interface StreamThreads {
  /** Computes a stream's bytes from `job.start` on, in order; null while no thread is ready for it. */
  take(job: StreamJob): ComputeWork | null;
  /** What was done so far. */
  readonly counters: ThreadCounters;
  /** Ends the threads. */
  close(): void;
}

/** See {@link StreamThreads.counters}. */
export interface ThreadCounters {
  /** Pieces that were computed. */
  readonly pieces: number;
  /** Sketches that were at hand. */
  readonly sketchHits: number;
  /** Sketches that were summed. */
  readonly sketchMisses: number;
}

/** What is left of a stream. */
export interface StreamJob {
  readonly file: PlannedFile;
  /** What the file is made of, in a name. */
  readonly contentName: string;
  /** The first byte. */
  readonly start: number;
  /** No byte from here on. */
  readonly end: number;
  /** The base's files that it is made of: a thread reads them itself. */
  readonly files: readonly MarkedFile[];
  /** Bytes of a piece, now. */
  readonly tileByteLength: () => number;
  /** Opens the adapters, in the thread that sends. */
  readonly openSource: OpenSource;
}

/** A file of this machine, that is the one that was identified as long as it has this mark. */
export interface MarkedFile {
  /** As the plan has it. */
  readonly locator: string;
  /** As the storage has it. */
  readonly path: string;
  /** See {@link ByteSource.mark}. */
  readonly mark: string;
}
