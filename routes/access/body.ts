/**
 * Reads a request's body whole, within a size, a time and the budget.
 *
 * Hono's body limit has neither the time nor the budget, and lets a body without a length grow before it is counted.
 */
import { EtherError } from "../../runtime/error.ts";
import { RequestError } from "../problem.ts";
import type { ByteBudget, Reservation } from "./budget.ts";

/** Room for a body's first bytes. */
const FIRST_BYTES = 64 * 1024;

/** Within what a body must be. */
export interface BodyLimits {
  /** Bytes. */
  readonly maxBytes: number;
  /** Milliseconds until all of it must be there. */
  readonly milliseconds: number;
}

/** A body, and the bytes that are held for it: whoever takes it releases them. */
export interface HeldBody {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly reservation: Reservation;
}

/**
 * Reads a body.
 *
 * @throws {EtherError} `too_large`, `timed_out`, `busy`; `usage` where it breaks off
 */
export async function readBody(request: Request, limits: BodyLimits, budget: ByteBudget): Promise<HeldBody> {
  const { maxBytes, milliseconds } = limits;
  const length = declaredLength(request.headers.get("content-length"));
  if (length !== null && length > maxBytes) throw tooLarge(maxBytes);
  // Without a length room is taken as it comes: a small body need not wait until there is room for the largest.
  const reservation = budget.reserve(length ?? 0);
  const timeout = Promise.withResolvers<never>();
  // Handled here too: the body may be there before it fires.
  timeout.promise.catch(() => {});
  const message = `the body was not there within ${milliseconds / 1000} s`;
  const timer = setTimeout(() => timeout.reject(new EtherError("timed_out", message)), milliseconds);
  try {
    const hold = (byteLength: number) => {
      if (length === null) reservation.grow(byteLength);
    };
    const bytes = await collect(request.body, length ?? maxBytes, hold, timeout.promise);
    return { bytes, reservation };
  } catch (error) {
    reservation.release();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function collect(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  hold: (byteLength: number) => void,
  timeout: Promise<never>,
): Promise<Uint8Array<ArrayBuffer>> {
  if (body === null) return new Uint8Array(0);
  const reader = body.getReader();
  try {
    // A length is a claim: room grows with what comes.
    let buffer = new Uint8Array(0);
    let size = 0;
    for (;;) {
      const { done, value } = await Promise.race([readPiece(reader), timeout]);
      if (done) return buffer.subarray(0, size);
      const end = size + value.byteLength;
      if (end > maxBytes) throw tooLarge(maxBytes);
      if (end > buffer.byteLength) {
        const room = Math.min(maxBytes, Math.max(end, 2 * buffer.byteLength, FIRST_BYTES));
        hold(room - buffer.byteLength);
        const larger = new Uint8Array(room);
        larger.set(buffer.subarray(0, size));
        buffer = larger;
      }
      buffer.set(value, size);
      size = end;
    }
  } catch (error) {
    reader.cancel(error).catch(() => {});
    throw error;
  }
}

/** A client that goes away in the middle is no mistake of the server's. */
async function readPiece(reader: ReadableStreamDefaultReader<Uint8Array>) {
  try {
    return await reader.read();
  } catch (cause) {
    throw new EtherError("usage", "the body breaks off", { cause });
  }
}

/** Null where none is declared. @throws {EtherError} `usage` */
function declaredLength(header: string | null): number | null {
  if (header === null) return null;
  if (/^[0-9]{1,15}$/.test(header)) return Number(header);
  throw new RequestError(400, "usage", "the Content-Length is no number of bytes", { field: "Content-Length" });
}

function tooLarge(maxBytes: number): EtherError {
  return new EtherError("too_large", `the body has more than ${maxBytes} bytes`);
}
