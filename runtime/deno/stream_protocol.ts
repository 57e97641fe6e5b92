/** What the thread that sends and one that computes streams say to each other. */
import type { PlannedFile } from "../plans/plan.ts";
import type { MarkedFile } from "../repositories/stream_threads.ts";

/** To the thread that computes. */
export type StreamRequest =
  /** A file, for all streams of it: a plan takes some kilobytes for each tensor. */
  | { readonly kind: "plan"; readonly plan: number; readonly file: PlannedFile }
  /** No stream needs the file any more. */
  | { readonly kind: "forget"; readonly plan: number }
  /** A stream; nothing is computed yet. */
  | {
    readonly kind: "open";
    readonly stream: number;
    readonly plan: number;
    readonly contentName: string;
    readonly end: number;
    readonly files: readonly MarkedFile[];
  }
  /** Asks for some pieces from a byte on. */
  | {
    readonly kind: "compute";
    readonly stream: number;
    readonly start: number;
    readonly tileByteLength: number;
  }
  /** Nobody wants the stream any more. */
  | { readonly kind: "close"; readonly stream: number }
  /** What was asked for by a `read`, or less where the file ends; null where it could not be read. */
  | { readonly kind: "bytes"; readonly read: number; readonly bytes: Uint8Array<ArrayBuffer> | null };

/** From the thread that computes. */
export type StreamReply =
  | { readonly kind: "ready" }
  /** Answers one `compute`. */
  | {
    readonly kind: "pieces";
    readonly stream: number;
    readonly pieces: readonly Uint8Array<ArrayBuffer>[];
    /** Of all streams of this thread so far. */
    readonly sketchHits: number;
    /** The same of those that were summed. */
    readonly sketchMisses: number;
  }
  /** Answers one `compute` that went wrong. */
  | { readonly kind: "failed"; readonly stream: number; readonly message: string }
  /** Asks for bytes of a file that only the other thread has. */
  | {
    readonly kind: "read";
    readonly read: number;
    readonly stream: number;
    readonly locator: string;
    readonly offset: number;
    readonly byteLength: number;
  };
