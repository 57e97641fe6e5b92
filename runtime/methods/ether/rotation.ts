/**
 * The `oft` variant on a stored matrix: dense orthogonal blocks along the rows (W·Q), down the rows (Q·W), or both.
 *
 * Down the rows every new row needs all the old rows of its group, so that the group is in the tile as a whole.
 */
import type { Address, Kernel } from "../../kernel/kernel.ts";
import { elementByteLength, type FloatDtype } from "../../safetensors/dtype.ts";
import { roomFor } from "../arena.ts";
import type { Op, TileRows } from "../op.ts";
import type { Workshop } from "../workshop.ts";
import { alongPieces, downPieces } from "./blocks.ts";
import { cayley } from "./cayley.ts";
import type { Blocks, RotationSpec } from "./spec.ts";

/** Rows that are multiplied at once along, and columns down: the product needs room beside the tile. */
const PANEL_ROWS = 64;
const PANEL_COLUMNS = 512;

/** Bytes that a prepared rotation takes of a kernel's memory, at most. */
export function rotationByteLength(along: Blocks | null, down: Blocks | null): number {
  const blockBytes = (blocks: Blocks | null) =>
    blocks === null ? 0 : roomFor(4 * blocks.numBlocks * blocks.blockLength ** 2);
  const alongProduct = PANEL_ROWS * (along?.blockLength ?? 0) * 4;
  const downProduct = PANEL_COLUMNS * (down?.blockLength ?? 0) * 4;
  return blockBytes(along) + blockBytes(down) + roomFor(Math.max(alongProduct, downProduct));
}

/** Dense blocks Q in a kernel's memory, f32 `[numBlocks, blockLength, blockLength]`. */
interface SideState {
  readonly blocks: Blocks;
  readonly q: Address;
}

/** Reads an Op's R blocks and writes Q, or Qᵀ, into the workshop's kernel. Tiles are f32. */
export async function prepareRotation(spec: RotationSpec, shop: Workshop, dtype: FloatDtype): Promise<Op> {
  if (dtype !== "F32") throw new TypeError("dense blocks work on f32 tiles");
  const along = spec.along === null ? null : await place(spec.along, spec.transposed, shop);
  const down = spec.down === null ? null : await place(spec.down, spec.transposed, shop);
  return new RotationOp(spec, shop, along, down);
}

async function place(blocks: Blocks, transposed: boolean, { kernel, arena, reader }: Workshop): Promise<SideState> {
  const { numBlocks, blockLength } = blocks;
  const blockSize = blockLength * blockLength;
  const r = await reader.read(blocks.u);
  const q = arena.take(numBlocks * blockSize * 4);
  for (let block = 0; block < numBlocks; block++) {
    const values = cayley(r.subarray(block * blockSize, (block + 1) * blockSize), blockLength, transposed);
    new Float32Array(kernel.bytes.buffer, q + block * blockSize * 4, blockSize).set(values);
  }
  return { blocks, q };
}

class RotationOp implements Op {
  readonly spec: RotationSpec;

  readonly #kernel: Kernel;
  readonly #along: SideState | null;
  readonly #down: SideState | null;
  readonly #product: Address;

  constructor(spec: RotationSpec, { kernel, arena }: Workshop, along: SideState | null, down: SideState | null) {
    this.#kernel = kernel;
    this.#along = along;
    this.#down = down;
    this.spec = spec;
    const alongByteLength = along === null ? 0 : PANEL_ROWS * along.blocks.blockLength * 4;
    const downByteLength = down === null ? 0 : spec.groupRows * PANEL_COLUMNS * 4;
    this.#product = arena.take(Math.max(alongByteLength, downByteLength));
  }

  reduce(): void {
    throw new TypeError("a rotation has no sketch");
  }

  transform(rows: TileRows): void {
    if (this.#along !== null) this.#transformAlong(rows, this.#along);
    if (this.#down !== null) this.#transformDown(rows, this.#down);
  }

  /** x ← x·Q for each chunk x of each row. */
  #transformAlong(rows: TileRows, { blocks, q }: SideState): void {
    const n = blocks.blockLength;
    const chunkByteLength = n * elementByteLength("F32");
    const regionRows = this.spec.region.rowCount;
    for (const piece of alongPieces(blocks, regionRows, rows.firstRow, rows.rowCount, rows.same)) {
      for (let chunk = 0; chunk < piece.chunkCount; chunk++) {
        const b = q + (piece.block + chunk * piece.blockStep) * n * chunkByteLength;
        for (let row = 0; row < piece.rowCount; row += PANEL_ROWS) {
          const m = Math.min(PANEL_ROWS, piece.rowCount - row);
          const a = rows.address + (piece.row - rows.firstRow + row) * rows.rowStride +
            (piece.chunk + chunk) * chunkByteLength;
          this.#kernel.matmul({
            ...{ a, aStride: rows.rowStride, b, bStride: chunkByteLength, c: this.#product, cStride: chunkByteLength },
            ...{ m, k: n, n },
          });
          this.#copyProduct(m, chunkByteLength, a, rows.rowStride);
        }
      }
    }
  }

  /** X ← Q·X for the whole group X, some columns at a time. */
  #transformDown(rows: TileRows, { blocks, q }: SideState): void {
    const n = blocks.blockLength;
    const group = Math.floor(rows.firstRow / n);
    if (rows.rowCount !== n || rows.firstRow !== group * n) throw new TypeError("a rotation needs its whole group");
    for (const piece of downPieces(blocks, this.spec.region.columnCount, group)) {
      for (let column = 0; column < piece.columnCount; column += PANEL_COLUMNS) {
        const width = Math.min(PANEL_COLUMNS, piece.columnCount - column);
        const b = rows.address + (piece.column + column) * 4;
        this.#kernel.matmul({
          ...{ a: q + piece.block * n * n * 4, aStride: n * 4, b, bStride: rows.rowStride },
          ...{ c: this.#product, cStride: width * 4, m: n, k: n, n: width },
        });
        this.#copyProduct(n, width * 4, b, rows.rowStride);
      }
    }
  }

  #copyProduct(rowCount: number, byteLength: number, target: Address, targetStride: number): void {
    this.#kernel.copyRows({
      ...{ source: this.#product, sourceStride: byteLength, target, targetStride, rowCount, byteLength },
    });
  }
}
