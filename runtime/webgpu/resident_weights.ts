/**
 * A base's matrices on the device, from their first use on: W [out, in] in the dtype of the file, each row padded to a
 * multiple of eight elements, in slabs of whole rows that a binding can hold.
 */
import type { MatrixPlace } from "../apply/apply_device.ts";
import type { StoredWeight } from "../apply/weight_rows.ts";
import { elementByteLength, type FloatDtype } from "../safetensors/dtype.ts";
import { dispatch } from "./dispatch.ts";
import type { Gpu } from "./gpu.ts";

/** Some rows of a matrix. */
export interface WeightSlab {
  readonly firstRow: number;
  readonly rowCount: number;
  readonly buffer: GPUBuffer;
}

/** A matrix on the device. */
export interface ResidentWeight {
  readonly dtype: FloatDtype;
  readonly inCount: number;
  readonly outCount: number;
  /** Elements of a row, the padding included. */
  readonly padded: number;
  readonly slabs: readonly WeightSlab[];
}

/** Bytes that are read and uploaded at once. */
const PIECE_BYTES = 8 << 20;
/** Workgroups of a scan; each goes on with what is left. */
const SCAN_WORKGROUPS = 4096;

/** Keeps matrices while there is room; what came first stays, as the next call wants all of them again. */
export class ResidentWeights {
  readonly #gpu: Gpu;
  readonly #maxByteLength: number;
  readonly #weights = new Map<string, Promise<ResidentWeight | null>>();
  /** Numbers in the place of what cannot be a part of a key. */
  readonly #storages = new WeakMap<MatrixPlace["openSource"], number>();
  #nextStorage = 0;
  #byteLength = 0;
  /** Matrices are brought one after the other: they share room, and a buffer on their way. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param maxByteLength  of all matrices */
  constructor(gpu: Gpu, maxByteLength: number) {
    this.#gpu = gpu;
    this.#maxByteLength = maxByteLength;
  }

  /** Bytes on the device. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /**
   * A matrix, read and uploaded the first time.
   *
   * @returns null where it does not fit, or where its values are not for the device: not finite, or below 2^-100
   * @throws {EtherError} `io_error`; the signal's reason
   */
  async get(place: MatrixPlace, weight: StoredWeight, signal?: AbortSignal): Promise<ResidentWeight | null> {
    const key = this.#keyOf(place, weight);
    for (;;) {
      signal?.throwIfAborted();
      const known = this.#weights.get(key);
      if (known === undefined) break;
      // Whoever uploads it may be stopped for reasons of their own: then it is the next one's turn.
      const weight = await known.catch(() => undefined);
      if (weight !== undefined) return weight;
    }
    const making = this.#last.then(() => this.#make(weight, signal));
    this.#last = making.catch(() => {});
    this.#weights.set(key, making);
    return await making.catch((error) => {
      this.#weights.delete(key);
      throw error;
    });
  }

  /** Gives the memory of one storage's matrices back. Nothing of them may be in use. */
  forget(openSource: MatrixPlace["openSource"]): void {
    const storage = this.#storages.get(openSource);
    if (storage === undefined) return;
    for (const [key, weight] of this.#weights) {
      if (!key.startsWith(`${storage} `)) continue;
      this.#weights.delete(key);
      weight.then((made) => this.#destroy(made?.slabs ?? []), () => {});
    }
  }

  /** Gives the device's memory back. */
  close(): void {
    for (const weight of this.#weights.values()) {
      weight.then((made) => this.#destroy(made?.slabs ?? []), () => {});
    }
    this.#weights.clear();
  }

  #keyOf({ openSource, locator, offset }: MatrixPlace, { storedInOut }: StoredWeight): string {
    const storage = this.#storages.get(openSource) ?? this.#nextStorage++;
    this.#storages.set(openSource, storage);
    return `${storage} ${offset} ${storedInOut} ${locator}`;
  }

  async #make(weight: StoredWeight, signal: AbortSignal | undefined): Promise<ResidentWeight | null> {
    const { dtype, inCount, outCount } = weight;
    const padded = Math.ceil(inCount / 8) * 8;
    const rowBytes = padded * elementByteLength(dtype);
    const { bufferByteLength, bindingByteLength } = this.#gpu.limits;
    const slabRows = Math.min(outCount, Math.floor(Math.min(bufferByteLength, bindingByteLength) / rowBytes));
    if (slabRows === 0 || this.#byteLength + outCount * rowBytes > this.#maxByteLength) return null;
    const slabs: WeightSlab[] = [];
    try {
      const { STORAGE, COPY_DST } = GPUBufferUsage;
      for (let firstRow = 0; firstRow < outCount; firstRow += slabRows) {
        const rowCount = Math.min(slabRows, outCount - firstRow);
        const size = rowCount * rowBytes;
        const make = () => Promise.resolve(this.#gpu.device.createBuffer({ size, usage: STORAGE | COPY_DST }));
        slabs.push({ firstRow, rowCount, buffer: await this.#gpu.run(make) });
        this.#byteLength += size;
      }
      const made = { dtype, inCount, outCount, padded, slabs };
      const done = weight.storedInOut
        ? await this.#transpose(weight, made, signal)
        : await this.#upload(weight, made, signal);
      if (done && await this.#fits(made)) return made;
      this.#destroy(slabs);
      return null;
    } catch (error) {
      this.#destroy(slabs);
      // A device without room for one more matrix is as good as before.
      if (error instanceof Error && /out of memory/i.test(error.message)) return null;
      throw error;
    }
  }

  async #upload(weight: StoredWeight, { padded, slabs }: ResidentWeight, signal?: AbortSignal): Promise<true> {
    const { source, offset, inCount, dtype } = weight;
    const elementBytes = elementByteLength(dtype);
    const [rowBytes, paddedBytes] = [inCount * elementBytes, padded * elementBytes];
    const pieceRows = Math.max(1, Math.floor(PIECE_BYTES / paddedBytes));
    for (const { firstRow, rowCount, buffer } of slabs) {
      for (let row = 0; row < rowCount; row += pieceRows) {
        signal?.throwIfAborted();
        const count = Math.min(pieceRows, rowCount - row);
        const rows = new Uint8Array(count * rowBytes);
        await source.read(offset + (firstRow + row) * rowBytes, rows);
        let piece = rows;
        if (paddedBytes !== rowBytes) {
          piece = new Uint8Array(count * paddedBytes);
          for (let i = 0; i < count; i++) piece.set(rows.subarray(i * rowBytes, (i + 1) * rowBytes), i * paddedBytes);
        }
        await this.#write(buffer, row * paddedBytes, piece);
      }
    }
    return true;
  }

  /** A matrix stored [in, out], some of its rows at a time. */
  async #transpose(weight: StoredWeight, made: ResidentWeight, signal?: AbortSignal): Promise<boolean> {
    const { source, offset, inCount, outCount, dtype } = weight;
    const gpu = this.#gpu;
    const elementBytes = elementByteLength(dtype);
    const rowBytes = outCount * elementBytes;
    // Two elements of a row of W make a word: an even number of them at a time.
    const pieceRows = 2 * Math.floor(Math.min(PIECE_BYTES, gpu.limits.bindingByteLength) / rowBytes / 2);
    if (pieceRows === 0) return false;
    const { STORAGE, COPY_DST } = GPUBufferUsage;
    const size = Math.ceil(Math.min(pieceRows, inCount) * rowBytes / 4) * 4;
    for (let start = 0; start < inCount; start += pieceRows) {
      signal?.throwIfAborted();
      const rowCount = Math.min(pieceRows, inCount - start);
      const piece = new Uint8Array(size);
      await source.read(offset + start * rowBytes, piece.subarray(0, rowCount * rowBytes));
      const stage = gpu.buffer("stage", size, STORAGE | COPY_DST);
      await this.#write(stage, 0, piece);
      for (const { firstRow, rowCount: outRows, buffer } of made.slabs) {
        const words = (dtype === "F32" ? rowCount : Math.ceil(rowCount / 2)) * outRows;
        await dispatch(gpu, {
          ...{ shader: "transpose_weights", dtype, memory: stage, extra: this.#written(buffer) },
          workgroups: Math.ceil(words / 64),
          numbers: (grid) => [start, rowCount, outCount, firstRow, outRows, made.padded * elementBytes / 4, grid],
        });
      }
    }
    return true;
  }

  async #fits({ dtype, slabs }: ResidentWeight): Promise<boolean> {
    const gpu = this.#gpu;
    const memory = gpu.buffer("no memory", 256, GPUBufferUsage.STORAGE);
    for (const { buffer } of slabs) {
      const wordCount = buffer.size / 4;
      const workgroups = Math.min(SCAN_WORKGROUPS, Math.ceil(wordCount / 64));
      const raised = await dispatch(gpu, {
        ...{ shader: "scan_weights", dtype, memory, extra: this.#written(buffer), workgroups },
        numbers: (grid) => [wordCount, grid, 64 * grid * Math.ceil(workgroups / grid)],
      });
      if (raised) return false;
    }
    return true;
  }

  /** Waits until the bytes are on the device: what is on its way is in memory twice. */
  #write(buffer: GPUBuffer, offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const { queue } = this.#gpu.device;
    return this.#gpu.run(async () => {
      queue.writeBuffer(buffer, offset, bytes);
      queue.submit([]);
      await queue.onSubmittedWorkDone();
    });
  }

  #written(buffer: GPUBuffer): GPUBindGroup {
    const { device, extraLayouts } = this.#gpu;
    return device.createBindGroup({
      layout: extraLayouts.written,
      entries: [{ binding: 0, resource: { buffer } }],
    });
  }

  #destroy(slabs: readonly WeightSlab[]): void {
    for (const { buffer } of slabs) {
      this.#byteLength -= buffer.size;
      buffer.destroy();
    }
  }
}
