/** One thread that computes streams, as the thread that sends them sees it. */
import type { PlannedFile } from "../plans/plan.ts";
import type { ComputeWork } from "../repositories/file_stream.ts";
import type { StreamJob, ThreadCounters } from "../repositories/stream_threads.ts";
import type { StreamReply, StreamRequest } from "./stream_protocol.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What its owner is told. */
export interface StreamThreadEvents {
  /** It has nothing to do. */
  readonly onIdle: () => void;
  /** The thread is of no use any more, and its streams have failed. */
  readonly onBroken: (message: string) => void;
}

/** A plan that the thread has. */
interface SentPlan {
  readonly number: number;
  userCount: number;
}

/** Spans of all plans that a thread has at one time; each takes some kilobytes there. */
const MAX_SPANS = 8192;

/** A thread, from its start on. */
export class StreamThread {
  readonly #worker: Worker;
  readonly #events: StreamThreadEvents;
  readonly #streams = new Map<number, ThreadStream>();
  readonly #plans = new Map<PlannedFile, SentPlan>();
  #spanCount = 0;
  /** Numbers given to streams and plans so far. */
  #numberCount = 0;
  #ready = false;
  #broken = false;
  #counters: ThreadCounters = { pieces: 0, sketchHits: 0, sketchMisses: 0 };

  /** @throws where the host has no threads */
  constructor(events: StreamThreadEvents) {
    this.#events = events;
    this.#worker = new Worker(new URL("./stream_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<StreamReply>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#break(event.message);
    };
    this.#worker.onmessageerror = () => this.#break("a message that cannot be read");
  }

  /** It has loaded what it needs. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Streams that are open now. */
  get openCount(): number {
    return this.#streams.size;
  }

  /** What it has done so far. */
  get counters(): ThreadCounters {
    return this.#counters;
  }

  /** Takes a stream on; null where it has no room for the stream's plan. */
  open({ file, openSource, tileByteLength, start, ...job }: StreamJob): ComputeWork | null {
    const plan = this.#usePlan(file);
    if (plan === null) return null;
    const number = ++this.#numberCount;
    const { contentName, end, files } = job;
    this.#send({ kind: "open", stream: number, plan: plan.number, contentName, end, files });
    const stream = new ThreadStream({ start, end }, openSource, {
      compute: (from) => {
        this.#send({ kind: "compute", stream: number, start: from, tileByteLength: tileByteLength() });
      },
      close: () => {
        if (!this.#streams.delete(number)) return;
        this.#send({ kind: "close", stream: number });
        this.#leavePlan(file, plan);
        if (this.#streams.size === 0) this.#events.onIdle();
      },
    });
    this.#streams.set(number, stream);
    return stream;
  }

  /** Ends the thread, and fails its streams. */
  terminate(): void {
    this.#broken = true;
    this.#worker.terminate();
    for (const stream of [...this.#streams.values()]) stream.fail(new Error("the thread has ended"));
  }

  #break(message: string): void {
    if (this.#broken) return;
    this.terminate();
    this.#events.onBroken(message);
  }

  #send(request: StreamRequest, transfer: ArrayBuffer[] = []): void {
    if (!this.#broken) this.#worker.postMessage(request, transfer);
  }

  #receive(reply: StreamReply): void {
    switch (reply.kind) {
      case "ready":
        this.#ready = true;
        // The stream that it was made for may be gone.
        if (this.#streams.size === 0) this.#events.onIdle();
        break;
      case "pieces": {
        const { stream, pieces, sketchHits, sketchMisses } = reply;
        this.#counters = { pieces: this.#counters.pieces + pieces.length, sketchHits, sketchMisses };
        this.#streams.get(stream)?.take(pieces);
        break;
      }
      case "failed":
        this.#streams.get(reply.stream)?.fail(new Error(reply.message));
        break;
      case "read":
        this.#read(reply);
        break;
    }
  }

  /** Sends a plan once, however many streams are of it. */
  #usePlan(file: PlannedFile): SentPlan | null {
    let plan = this.#plans.get(file);
    if (plan === undefined) {
      if (this.#spanCount + file.spans.length > MAX_SPANS) return null;
      plan = { number: ++this.#numberCount, userCount: 0 };
      this.#plans.set(file, plan);
      this.#spanCount += file.spans.length;
      this.#send({ kind: "plan", plan: plan.number, file });
    }
    plan.userCount++;
    return plan;
  }

  #leavePlan(file: PlannedFile, plan: SentPlan): void {
    if (--plan.userCount > 0) return;
    this.#plans.delete(file);
    this.#spanCount -= file.spans.length;
    this.#send({ kind: "forget", plan: plan.number });
  }

  async #read({ read, stream, locator, offset, byteLength }: Extract<StreamReply, { kind: "read" }>): Promise<void> {
    const bytes = await this.#streams.get(stream)?.read(locator, offset, byteLength).catch(() => null) ?? null;
    this.#send({ kind: "bytes", read, bytes }, bytes === null ? [] : [bytes.buffer]);
  }
}

/** How a stream speaks to its thread. */
interface ThreadLine {
  /** Asks for some pieces from a byte on. */
  readonly compute: (start: number) => void;
  readonly close: () => void;
}

/** Bytes that may wait to be sent while more are asked for: one message's. */
const AHEAD_BYTES = 512 << 10;

/** One stream: while some pieces are sent, the next ones are computed. */
class ThreadStream implements ComputeWork {
  readonly #end: number;
  readonly #openSource: StreamJob["openSource"];
  readonly #line: ThreadLine;
  /** Computed, and not given away yet. */
  #pieces: Bytes[] = [];
  /** Where the first of them begins. */
  #at: number;
  /** The byte after all that was asked for and came. */
  #next: number;
  #isAsked = false;
  #waiting: PromiseWithResolvers<void> | null = null;
  #error: Error | null = null;

  constructor(
    { start, end }: { readonly start: number; readonly end: number },
    openSource: StreamJob["openSource"],
    line: ThreadLine,
  ) {
    this.#at = this.#next = start;
    this.#end = end;
    this.#openSource = openSource;
    this.#line = line;
    this.#ask();
  }

  async piece(start: number): Promise<Bytes> {
    if (start !== this.#at) throw new TypeError("a stream's pieces are asked for in order");
    while (this.#pieces.length === 0) {
      if (this.#error !== null) throw this.#error;
      this.#waiting = Promise.withResolvers<void>();
      await this.#waiting.promise;
    }
    const piece = this.#pieces.shift()!;
    this.#at += piece.byteLength;
    this.#ask();
    return piece;
  }

  close(): void {
    this.fail(new Error("the stream is closed"));
  }

  /** The pieces that were asked for. */
  take(pieces: readonly Bytes[]): void {
    this.#isAsked = false;
    for (const piece of pieces) {
      this.#pieces.push(piece);
      this.#next += piece.byteLength;
    }
    this.#ask();
    this.#wake();
  }

  /** No more of it; what has been computed is given away still. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#line.close();
    this.#wake();
  }

  async read(locator: string, offset: number, byteLength: number): Promise<Bytes> {
    const source = await this.#openSource(locator);
    try {
      const bytes = new Uint8Array(Math.max(0, Math.min(byteLength, source.size - offset)));
      await source.read(offset, bytes);
      return bytes;
    } finally {
      source.close();
    }
  }

  /** A reader that does not read stops it: then nothing is asked for. */
  #ask(): void {
    if (this.#isAsked || this.#error !== null || this.#next >= this.#end) return;
    if (this.#next - this.#at > AHEAD_BYTES) return;
    this.#isAsked = true;
    this.#line.compute(this.#next);
  }

  #wake(): void {
    this.#waiting?.resolve();
    this.#waiting = null;
  }
}
