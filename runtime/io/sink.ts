/** Where the bytes of one output file go. */
export interface ByteSink {
  /**
   * Takes bytes that belong at `offset`. They may lie in a kernel's memory and change after the call: a sink that keeps
   * them copies them.
   *
   * @throws {EtherError} `io_error`, `no_space`
   */
  write(offset: number, bytes: Uint8Array<ArrayBufferLike>): void | Promise<void>;
  /** Ends the use of the sink; what was written stays. */
  close(): void;
}

/** Opens an output file, which exists, by its path relative to the output. */
export type OpenSink = (path: string) => ByteSink | Promise<ByteSink>;
