import type { Address, Kernel } from "../kernel/kernel.ts";

/** Hands out a kernel's memory like a stack: what was taken after {@link mark} is given back by {@link release}. */
export class Arena {
  readonly #kernel: Kernel;
  #top: Address;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#top = kernel.base;
  }

  /** Room for `byteLength` bytes at a multiple of 64 (a cache line). @throws {RangeError} beyond 4 GiB */
  take(byteLength: number): Address {
    const address = this.#top;
    const end = address + Math.ceil(byteLength / 64) * 64;
    this.#kernel.reserve(end);
    this.#top = end;
    return address;
  }

  mark(): Address {
    return this.#top;
  }

  release(mark: Address): void {
    this.#top = mark;
  }
}
