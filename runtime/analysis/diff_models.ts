/** Two models, tensor by tensor, in constant memory: a block of each at a time. */
import type { Model } from "../checkpoints/model.ts";
import type { OnBytes } from "../execute/task.ts";
import type { OpenSource } from "../io/folder.ts";
import type { ByteSource } from "../io/source.ts";
import { DTYPE_BITS } from "../safetensors/dtype.ts";
import type { TensorInfo } from "../safetensors/tensor_info.ts";
import { type ElementDifference, startTally } from "./element_tally.ts";
import { hasValues } from "./element_values.ts";
import { type PairKind, pairTensors, type TensorPair } from "./tensor_pairs.ts";

/** What became of one name. */
export interface TensorDiff {
  readonly name: string;
  /** "comparable" has become one of the first two. */
  readonly kind: "equal" | "changed" | Exclude<PairKind, "comparable">;
  readonly a: TensorInfo | null;
  readonly b: TensorInfo | null;
  /** Of changed tensors, and of two float dtypes in one shape; else null. */
  readonly difference: ElementDifference | null;
}

/** How models are compared. */
export interface DiffOptions {
  readonly openSource: OpenSource;
  /** Told how many bytes of both models have been done since the last call; may make it wait. */
  readonly onBytes?: OnBytes | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes of both models' tensors that a comparison reads at least. */
export function diffByteLength(a: Model, b: Model): number {
  return pairTensors(a, b).reduce((sum, pair) => sum + (isRead(pair) ? pair.a!.info.byteLength : 0), 0);
}

/**
 * Compares two models, one tensor after the other, in the order of the first one's files.
 *
 * Equal tensors cost a comparison of bytes. At the first byte that differs a tensor is begun again, element by element.
 *
 * @throws {EtherError} `io_error`; the signal's reason
 */
export async function* diffModels(a: Model, b: Model, options: DiffOptions): AsyncGenerator<TensorDiff> {
  using files = new TwoFiles(options);
  for (const pair of pairTensors(a, b)) {
    options.signal?.throwIfAborted();
    const found = { name: pair.name, a: pair.a?.info ?? null, b: pair.b?.info ?? null };
    if (!isRead(pair)) {
      yield { ...found, kind: pair.kind as Exclude<PairKind, "comparable">, difference: null };
      continue;
    }
    const difference = await files.compare(pair);
    if (pair.kind === "dtype") yield { ...found, kind: "dtype", difference };
    else yield { ...found, kind: difference === null ? "equal" : "changed", difference };
  }
}

/** True where bytes are read: one dtype, or two whose values can be held against each other. */
function isRead({ kind, a, b }: TensorPair): boolean {
  return kind === "comparable" || (kind === "dtype" && hasValues(a!.info.dtype) && hasValues(b!.info.dtype));
}

/** Elements of a block, of one that is read and of its like: whole bytes of every dtype, whole words of four bytes. */
const BLOCK_ELEMENTS = 1 << 18;
/** A block of the widest dtype that is compared element by element. */
const BLOCK_BYTES = BLOCK_ELEMENTS * 8;

/** The two files that are open, and a block of each. */
class TwoFiles {
  readonly #options: DiffOptions;
  readonly #a = new Uint8Array(BLOCK_BYTES);
  readonly #b = new Uint8Array(BLOCK_BYTES);
  readonly #wordsA = new Int32Array(this.#a.buffer);
  readonly #wordsB = new Int32Array(this.#b.buffer);
  readonly #open: (ByteSource | null)[] = [null, null];
  readonly #locators: (string | null)[] = [null, null];

  constructor(options: DiffOptions) {
    this.#options = options;
  }

  /** The difference of a pair of one shape; null where every byte is equal. */
  async compare(pair: TensorPair): Promise<ElementDifference | null> {
    const a = await this.#source(0, pair.a!.file.locator);
    const b = await this.#source(1, pair.b!.file.locator);
    const read = pair.kind === "comparable" ? await this.#equalBytes(a, b, pair) : 0;
    if (read === pair.a!.info.byteLength && pair.kind === "comparable") return null;
    return await this.#tally(a, b, pair, read);
  }

  /** How many bytes are equal from the start, in whole blocks. */
  async #equalBytes(a: ByteSource, b: ByteSource, { a: one, b: other }: TensorPair): Promise<number> {
    const { byteLength } = one!.info;
    for (let done = 0; done < byteLength; done += BLOCK_BYTES) {
      this.#options.signal?.throwIfAborted();
      const count = Math.min(BLOCK_BYTES, byteLength - done);
      await a.read(one!.info.offset + done, this.#a.subarray(0, count));
      await b.read(other!.info.offset + done, this.#b.subarray(0, count));
      if (!this.#blocksEqual(count)) return done;
      await this.#options.onBytes?.(count);
    }
    return byteLength;
  }

  /** Words without a branch inside a stretch: some gigabytes a second. */
  #blocksEqual(byteLength: number): boolean {
    const a = this.#wordsA;
    const b = this.#wordsB;
    const words = byteLength >> 2;
    for (let start = 0; start < words; start += 4096) {
      const end = Math.min(words, start + 4096);
      let different = 0;
      for (let i = start; i < end; i++) different |= a[i]! ^ b[i]!;
      if (different !== 0) return false;
    }
    for (let i = words * 4; i < byteLength; i++) if (this.#a[i] !== this.#b[i]) return false;
    return true;
  }

  /** Element by element, from the start. @param counted  bytes that have been told already */
  async #tally(a: ByteSource, b: ByteSource, pair: TensorPair, counted: number): Promise<ElementDifference> {
    const [one, other] = [pair.a!.info, pair.b!.info];
    const [bitsA, bitsB] = [DTYPE_BITS[one.dtype], DTYPE_BITS[other.dtype]];
    const elementCount = one.byteLength * 8 / bitsA;
    const tally = startTally([one.dtype, other.dtype], [this.#a, this.#b]);
    // The widest dtype has 64 bits; none of fewer than eight has values.
    for (let done = 0; done < elementCount; done += BLOCK_ELEMENTS) {
      this.#options.signal?.throwIfAborted();
      const count = Math.min(BLOCK_ELEMENTS, elementCount - done);
      const byteLengthA = count * bitsA / 8;
      await a.read(one.offset + done * bitsA / 8, this.#a.subarray(0, byteLengthA));
      await b.read(other.offset + done * bitsB / 8, this.#b.subarray(0, count * bitsB / 8));
      tally.add(count);
      const again = Math.min(counted, byteLengthA);
      counted -= again;
      await this.#options.onBytes?.(byteLengthA - again);
    }
    return tally.finish();
  }

  async #source(side: 0 | 1, locator: string): Promise<ByteSource> {
    const open = this.#open[side];
    if (open !== null && open !== undefined && this.#locators[side] === locator) return open;
    open?.close();
    this.#open[side] = null;
    const source = await this.#options.openSource(locator);
    this.#open[side] = source;
    this.#locators[side] = locator;
    return source;
  }

  [Symbol.dispose](): void {
    for (const source of this.#open) source?.close();
  }
}
