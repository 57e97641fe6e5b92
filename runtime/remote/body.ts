/** Bodies: piece by piece with a deadline for each, or small ones whole. */
import { EtherError } from "../error.ts";
import type { Reply } from "./session.ts";
import { TransientError } from "./retry.ts";

/** An answer's body, read piece by piece. */
export class BodyReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | null;
  readonly #abort: (reason: unknown) => void;
  readonly #patience: number;

  /** @param patience  milliseconds that a piece may take */
  constructor({ response, abort }: Reply, patience: number) {
    this.#reader = response.body?.getReader() ?? null;
    this.#abort = abort;
    this.#patience = patience;
  }

  /** The next piece; null at the end. @throws {TransientError} where the connection fails or stands still */
  async read(signal: AbortSignal): Promise<Uint8Array | null> {
    if (this.#reader === null) return null;
    const late = new Error(`nothing came for ${this.#patience / 1000} s`);
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const timer = setTimeout(() => reject(late), this.#patience);
    try {
      signal.throwIfAborted();
      const { done, value } = await Promise.race([this.#reader.read(), promise]);
      return done ? null : value;
    } catch (error) {
      this.cancel(error);
      throw new TransientError(`the connection was cut: ${(error as Error).message}`, { cause: error });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Ends the exchange. */
  cancel(reason: unknown = new Error("not needed any more")): void {
    this.#reader?.cancel(reason).catch(() => {});
    this.#abort(reason);
  }
}

/**
 * Reads a body whole.
 *
 * @param limit  bytes that it may have
 * @throws {TransientError} where the connection fails
 * @throws {EtherError} `io_error` where it is longer
 */
export async function readBody(
  reply: Reply,
  limit: number,
  patience: number,
  name: string,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const body = new BodyReader(reply, patience);
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (let piece = await body.read(signal); piece !== null; piece = await body.read(signal)) {
    length += piece.byteLength;
    if (length > limit) {
      body.cancel();
      throw new EtherError("io_error", `the answer has more than ${limit} bytes`, { file: name });
    }
    pieces.push(piece);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return bytes;
}
