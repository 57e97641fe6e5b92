/** Admission by bytes: what requests may hold in memory at one time, all together. */
import { EtherError } from "../../runtime/error.ts";

/** Bytes in flight where nothing else is said. */
export const DEFAULT_MAX_BYTES = 128 * 1024 * 1024;

/** What a stream holds, as a rule. */
const PIECE_BYTES = 1024 * 1024;

/** Bytes that a request holds until it lets go of them. */
export interface Reservation {
  /** Bytes held now; 0 once released. */
  readonly byteLength: number;
  /** Holds more. @throws {EtherError} `busy`; then it holds what it held */
  grow(byteLength: number): void;
  /** Lets go of everything; a second time does nothing. */
  release(): void;
}

/** Counts the bytes that all requests hold. */
export class ByteBudget {
  /** The most at one time. */
  readonly maxBytes: number;
  #usedBytes = 0;
  #refusedCount = 0;

  /** @param maxBytes  a positive number of bytes */
  constructor(maxBytes: number = DEFAULT_MAX_BYTES) {
    if (!Number.isSafeInteger(maxBytes) || maxBytes <= 0) {
      throw new EtherError("usage", `${maxBytes} is not a positive number of bytes`, { field: "maxBytes" });
    }
    this.maxBytes = maxBytes;
  }

  /** Bytes held now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** How often there was no room. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /**
   * Holds some bytes. What is larger than the whole budget counts as the whole: it is let in when it is alone.
   *
   * @throws {EtherError} `busy` where there is no room
   */
  reserve(byteLength: number): Reservation {
    let held = this.#take(byteLength, 0);
    const grow = (more: number) => void (held += this.#take(more, held));
    const release = () => {
      this.#usedBytes -= held;
      held = 0;
    };
    return {
      get byteLength() {
        return held;
      },
      ...{ grow, release },
    };
  }

  /** What a stream of some bytes holds: one piece, or itself where it is shorter. */
  reserveStream(byteLength: number, pieceByteLength: number = PIECE_BYTES): Reservation {
    return this.reserve(Math.min(pieceByteLength, byteLength));
  }

  #take(wanted: number, held: number): number {
    const byteLength = Math.min(wanted, this.maxBytes - held);
    if (this.#usedBytes + byteLength > this.maxBytes) {
      this.#refusedCount++;
      throw new EtherError("busy", "the server has no room for this request now", { hint: "try again in a moment" });
    }
    this.#usedBytes += byteLength;
    return byteLength;
  }
}
