/** One turn of the event loop, by a message to ourselves: some microseconds, where a timer of 0 ms takes two milliseconds. */
export class EventLoopTurn {
  readonly #channel = new MessageChannel();
  #resolve: () => void = () => {};

  constructor() {
    this.#channel.port1.onmessage = () => this.#resolve();
  }

  /** Resolves when messages, signals and timers have had their turn. */
  wait(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#resolve = resolve;
    this.#channel.port2.postMessage(null);
    return promise;
  }

  /** Lets the process end. */
  close(): void {
    this.#channel.port1.close();
    this.#channel.port2.close();
  }
}
