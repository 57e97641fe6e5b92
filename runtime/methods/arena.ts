import type { Address, Kernel } from "../kernel/kernel.ts";

/** What was taken begins at a multiple of this, a cache line. */
const ALIGNMENT = 64;

/** What {@link Arena.take} takes for `byteLength` bytes. */
export function roomFor(byteLength: number): number {
  return Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
}

/** Hands out a kernel's memory like a stack: what was taken after {@link mark} is given back by {@link release}. */
export class Arena {
  readonly #kernel: Kernel;
  #top: Address;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#top = kernel.base;
  }

  /** Room for `byteLength` bytes at a multiple of 64. @throws {RangeError} beyond 4 GiB */
  take(byteLength: number): Address {
    const address = this.#top;
    const end = address + roomFor(byteLength);
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
