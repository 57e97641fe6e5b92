/** A stream that moves between threads: whatever happens to them, its bytes are the same. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import type { ComputeWork } from "../../../runtime/repositories/file_stream.ts";
import type { StreamJob, StreamThreads } from "../../../runtime/repositories/stream_threads.ts";
import { ThreadedWork } from "../../../runtime/repositories/threaded_work.ts";

/** More than is worth a thread. */
const SIZE = 40 << 20;
const NO_COUNTERS = { pieces: 0, sketchHits: 0, sketchMisses: 0 };
const JOB = { contentName: "x" } as unknown as Omit<StreamJob, "start" | "end">;

/** What a byte at a place is, whoever computes it. */
const byteAt = (place: number) => place * 31 % 251;

/** Pieces of any length, each with its first and last bytes; the rest is not worth making. */
function piecesFrom(lengths: readonly number[], failsAt = Infinity) {
  const notes = { calls: 0, closed: 0 };
  const work: ComputeWork = {
    piece(start, end) {
      const index = notes.calls++;
      if (index === failsAt) return Promise.reject(new Error("the thread is gone"));
      const piece = new Uint8Array(Math.min(end - start, lengths[index % lengths.length]!));
      piece[0] = byteAt(start);
      piece[piece.byteLength - 1] = byteAt(start + piece.byteLength - 1);
      return Promise.resolve(piece);
    },
    close: () => void notes.closed++,
  };
  return { work, notes };
}

Deno.test("ThreadedWork: pieces follow each other, whenever a thread is ready and whenever it fails", async () => {
  const lengths = fc.array(fc.integer({ min: 1 << 18, max: 3 << 20 }), { minLength: 1, maxLength: 5 });
  await fc.assert(fc.asyncProperty(lengths, fc.nat(20), fc.nat(20), async (drawn, readyAfter, failsAfter) => {
    const inline = piecesFrom(drawn);
    const thread = piecesFrom([...drawn].reverse(), failsAfter);
    let asked = 0;
    const starts: number[] = [];
    const threads: StreamThreads = {
      take: ({ start, end }) => {
        if (asked++ < readyAfter) return null;
        starts.push(start);
        assertEquals(end, SIZE);
        return thread.work;
      },
      ...{ counters: NO_COUNTERS, close: () => {} },
    };
    const work = new ThreadedWork(inline.work, threads, JOB);
    const { signal } = new AbortController();
    for (let at = 0; at < SIZE;) {
      const piece = await work.piece(at, SIZE, signal);
      assertEquals([piece[0], piece.at(-1)], [byteAt(at), byteAt(at + piece.byteLength - 1)]);
      at += piece.byteLength;
    }
    work.close();
    assert(starts.length <= 1, "no second thread for a stream");
    assertEquals([inline.notes.closed, thread.notes.closed], [1, starts.length]);
  }));
});

Deno.test("ThreadedWork: a short stream takes no thread", async () => {
  const inline = piecesFrom([1 << 20]);
  const threads = {
    take: () => {
      throw new Error("asked for a thread");
    },
    ...{ counters: NO_COUNTERS, close: () => {} },
  };
  const work = new ThreadedWork(inline.work, threads, JOB);
  const piece = await work.piece(0, 10 << 20, new AbortController().signal);
  assertEquals(piece.byteLength, 1 << 20);
});

Deno.test("ThreadedWork: a stream that was given up is not begun again", async () => {
  const stop = new AbortController();
  const inline = piecesFrom([1 << 20]);
  const waiting: ComputeWork = {
    piece: () => {
      stop.abort(new Error("gone"));
      return Promise.reject(new Error("closed"));
    },
    close: () => {},
  };
  const threads = { take: () => waiting, counters: NO_COUNTERS, close: () => {} };
  const work = new ThreadedWork(inline.work, threads, JOB);
  await assertRejects(() => work.piece(0, SIZE, stop.signal), Error, "gone");
  assertEquals(inline.notes.calls, 0);
});
