/** Where bytes come from: one file of known size, read at any place. */
export interface ByteSource {
  /** What messages call it: the path as the user knows it. */
  readonly name: string;
  /** Size in bytes, as the storage says. */
  readonly size: number;
  /**
   * Fills `into` with the bytes from `offset` on.
   *
   * @throws {EtherError} `io_error` if the storage fails or ends early
   */
  read(offset: number, into: Uint8Array<ArrayBufferLike>): void | Promise<void>;
  /**
   * Another string as soon as the bytes that {@link read} gives may be others. Absent where the storage cannot say.
   *
   * @throws {EtherError} `io_error`
   */
  mark?(): string;
  /** Ends the use of the source. */
  close(): void;
}

/** Reads a small file whole. */
export async function readAll(source: ByteSource): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(source.size);
  await source.read(0, bytes);
  return bytes;
}

/** A source over bytes that are already in memory. */
export class MemorySource implements ByteSource {
  readonly name: string;
  readonly #bytes: Uint8Array;

  /** Over `bytes`, which messages call `name`. */
  constructor(name: string, bytes: Uint8Array) {
    this.name = name;
    this.#bytes = bytes;
  }

  get size(): number {
    return this.#bytes.byteLength;
  }

  read(offset: number, into: Uint8Array<ArrayBufferLike>): void {
    into.set(this.#bytes.subarray(offset, offset + into.byteLength));
  }

  /** Ends the use of the source. */
  close(): void {}
}
