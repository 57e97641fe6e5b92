/** Several ranges in one body: `multipart/byteranges` (RFC 9110, section 14.6). */
import type { ByteRange } from "../../runtime/repositories/repository.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A body that is known to its length before a byte of it is. */
export interface Multipart {
  /** The `Content-Type`. */
  readonly contentType: string;
  /** Bytes of the whole body. */
  readonly byteLength: number;
  /** The body; each range is opened when its turn comes. */
  open(): ReadableStream<Bytes>;
}

/**
 * Puts ranges of a file into one body.
 *
 * @param type  content type of the file
 * @param size  bytes of the file
 * @param open  opens a range
 */
export function multipartOf(
  parts: readonly ByteRange[],
  type: string,
  size: number,
  open: (range: ByteRange) => ReadableStream<Bytes>,
): Multipart {
  // Drawn, so that no file can hold it on purpose.
  const boundary = crypto.randomUUID();
  const encoder = new TextEncoder();
  const heads = parts.map(({ start, end }, index) =>
    encoder.encode(
      `${index === 0 ? "" : "\r\n"}--${boundary}\r\nContent-Type: ${type}\r\n` +
        `Content-Range: bytes ${start}-${end - 1}/${size}\r\n\r\n`,
    )
  );
  const tail = encoder.encode(`\r\n--${boundary}--\r\n`);
  const lengths = parts.map(({ start, end }, index) => heads[index]!.byteLength + end - start);
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    byteLength: lengths.reduce((sum, length) => sum + length, tail.byteLength),
    open: () => concatenate(pieces(parts, heads, tail, open)),
  };
}

async function* pieces(
  parts: readonly ByteRange[],
  heads: readonly Bytes[],
  tail: Bytes,
  open: (range: ByteRange) => ReadableStream<Bytes>,
): AsyncGenerator<Bytes> {
  for (const [index, part] of parts.entries()) {
    yield heads[index]!;
    yield* open(part);
  }
  yield tail;
}

/** A stream that asks for a piece only when one is wanted, and whose end ends what it reads. */
function concatenate(source: AsyncGenerator<Bytes>): ReadableStream<Bytes> {
  return new ReadableStream<Bytes>({
    async pull(controller) {
      const { done, value } = await source.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await source.return(undefined);
    },
  }, { highWaterMark: 0 });
}
