/** What is logged and counted of one request, also of the stream that answers it and ends long after its handler. */
import type { Reservation } from "../access/budget.ts";

/** How a body ended: all of it was taken, the client went away, or it broke. */
export type Outcome = "done" | "cancelled" | "failed";

/** How a stream is watched. */
export interface StreamWatch {
  /** Released when the stream ends, however it ends. */
  readonly reservation?: Reservation | undefined;
  /** The promised length: one byte more or less breaks the stream, and the client sees a broken connection. */
  readonly byteLength?: number | undefined;
  /** A client that takes nothing for so long is given up. @default two minutes */
  readonly stallMilliseconds?: number | undefined;
  /**
   * Each chunk's memory is given back as soon as the next one is asked for, where it would wait to be collected. Only for
   * chunks in memory of their own, and for a reader that has taken one before it asks for the next.
   */
  readonly releaseChunks?: boolean | undefined;
}

type Bytes = Uint8Array<ArrayBuffer>;

const STALL_MILLISECONDS = 120_000;

/** One request's. */
export class RequestRecord {
  /** The route's pattern, never its path: paths have names in them. */
  route: string | null = null;
  /** Bytes of the body so far. */
  byteLength = 0;
  /** What broke the stream. */
  error: unknown = null;
  #outcome: Outcome | null = null;
  #streaming = false;
  #onEnd: (() => void) | null = null;

  /** True once {@link stream} was called: the request ends when the stream does. */
  get streaming(): boolean {
    return this.#streaming;
  }

  /** Null while it lasts. */
  get outcome(): Outcome | null {
    return this.#outcome;
  }

  /** Calls back once: when the stream has ended, or at once where there is none. */
  whenEnded(onEnd: () => void): void {
    if (this.#streaming && this.#outcome === null) this.#onEnd = onEnd;
    else {
      this.#outcome ??= "done";
      onEnd();
    }
  }

  /**
   * The body of the answer, counted. Nothing is read before it is pulled.
   *
   * Only for a body that will be sent: one that is dropped unread keeps its reservation until it stalls.
   */
  stream(body: ReadableStream<Bytes>, watch: StreamWatch = {}): ReadableStream<Bytes> {
    const { reservation, byteLength: promised, stallMilliseconds = STALL_MILLISECONDS, releaseChunks = false } = watch;
    this.#streaming = true;
    let reader: ReadableStreamDefaultReader<Bytes> | null = null;
    let stall: ReturnType<typeof setTimeout> | undefined;
    /** The chunk that was given away last, where its memory is ours to give back. */
    let sent: Bytes | null = null;
    const end = (outcome: Outcome) => {
      clearTimeout(stall);
      reservation?.release();
      if (this.#outcome !== null) return;
      this.#outcome = outcome;
      this.#onEnd?.();
    };
    const cancel = (reason: unknown) => {
      end("cancelled");
      return reader === null ? body.cancel(reason) : reader.cancel(reason);
    };
    let controller!: ReadableStreamDefaultController<Bytes>;
    const waitForPull = () => {
      stall = setTimeout(() => {
        const reason = new Error("the client takes nothing");
        controller.error(reason);
        cancel(reason).catch(() => {});
      }, stallMilliseconds);
    };
    return new ReadableStream<Bytes>({
      start(given) {
        controller = given;
        waitForPull();
      },
      pull: async () => {
        clearTimeout(stall);
        if (sent !== null) release(sent);
        sent = null;
        try {
          reader ??= body.getReader();
          const { done, value } = await reader.read();
          if (this.#outcome !== null) return;
          if (!done) this.byteLength += value.byteLength;
          if (promised !== undefined && (done ? this.byteLength !== promised : this.byteLength > promised)) {
            throw new Error(`a body of ${promised} bytes has ${this.byteLength}`);
          }
          if (done) {
            end("done");
            controller.close();
          } else {
            controller.enqueue(value);
            if (releaseChunks) sent = value;
            waitForPull();
          }
        } catch (error) {
          const wasEnded = this.#outcome !== null;
          if (!wasEnded) this.error = error;
          end("failed");
          if (wasEnded) return;
          reader?.cancel(error).catch(() => {});
          throw brokenBody();
        }
      },
      cancel,
    }, { highWaterMark: 0 });
  }
}

/** Takes a chunk's memory away from it. Who is still sending it has a hold of its own on that, and is the last to let go. */
function release({ buffer }: Bytes): void {
  if (!buffer.detached) buffer.transfer(0);
}

/** Hosts print what breaks a body: this says no more than they may. What it was is {@link RequestRecord.error}. */
function brokenBody(): Error {
  const error = new Error("a body broke off; the log of requests says why");
  error.stack = `Error: ${error.message}`;
  return error;
}
