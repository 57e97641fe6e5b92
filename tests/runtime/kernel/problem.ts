/** A random job on a random tile, laid out alike in both kernels, as a caller would lay it out. */
import type { Kernel, LeftUpdate, RightReflection, RowsJob } from "../../../runtime/kernel/kernel.ts";
import { vectorByteLength } from "../../../runtime/kernel/kernel.ts";
import type { FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import { elementByteLength } from "../../../runtime/safetensors/dtype.ts";
import { elements, FREE, KERNELS, type Kind, Random, unitVectors, write } from "./arbitrary.ts";

/** What varies. */
export interface Shape {
  readonly seed: number;
  readonly dtype: FloatDtype;
  readonly kind: Kind;
  readonly rowCount: number;
  readonly chunkCount: number;
  readonly chunkLength: number;
  /** Vectors of the right part. */
  readonly right: 0 | 1 | 2;
  /** Vectors of the left part. */
  readonly left: 0 | 1 | 2;
  /** One vector for all chunks. */
  readonly shared: boolean;
  /** Bytes by which the tile misses its natural alignment. */
  readonly offset: number;
  /** Bytes between rows. */
  readonly gap: number;
}

/** Where {@link layOut} put things. */
export interface Problem {
  readonly job: RowsJob;
  readonly columnCount: number;
  /** The tile, and one group before and after it. */
  readonly start: number;
  readonly end: number;
  /** Everything else that a kernel may write. */
  readonly sumsStart: number;
  readonly sumsEnd: number;
  readonly scratch: number;
}

/** Writes a tile and its vectors; where there is a left part, s and t are made from the tile by the kernels. */
export function layOut(shape: Shape): Problem {
  const { dtype, rowCount, chunkCount, chunkLength } = shape;
  const random = new Random(shape.seed);
  const columnCount = chunkCount * chunkLength;
  const rowStride = columnCount * elementByteLength(dtype) + shape.gap;
  const start = FREE;
  const tile = start + 16 + shape.offset;
  const end = tile + rowCount * rowStride + 16;
  let free = end + 64 - (end % 64);
  const take = (byteLength: number) => {
    const address = free;
    free += Math.ceil(byteLength / 64) * 64;
    return address;
  };

  // Around the rows lie all kinds of bits: a kernel must neither use nor change them.
  write(start, elements(random, dtype, "any bits", Math.ceil((end - start) / elementByteLength(dtype))));
  for (let row = 0; row < rowCount; row++) {
    // A tile that is small has neighbours that are not.
    const kind = shape.kind === "small" && random.below(2) === 0 ? "weights" : shape.kind;
    write(tile + row * rowStride, elements(random, dtype, kind, columnCount));
  }

  const vectorCount = shape.shared ? 1 : chunkCount;
  const vectors = () => {
    const address = take(vectorCount * vectorByteLength(chunkLength));
    const values = unitVectors(random, vectorCount, chunkLength);
    for (const kernel of KERNELS) kernel.writeVectors(dtype, address, values, chunkLength);
    return address;
  };
  const right: RightReflection | null = shape.right === 0 ? null : {
    u: vectors(),
    v: shape.right === 2 ? vectors() : 0,
    vectorStride: shape.shared ? 0 : vectorByteLength(chunkLength),
    alpha: coefficient(random, 2),
    beta: coefficient(random, 1),
  };

  const sumsStart = free;
  let left: LeftUpdate | null = null;
  const coefficients = () => {
    const address = take(4 * rowCount);
    write(address, unitVectors(random, 1, rowCount));
    return address;
  };
  const p = shape.left === 0 ? 0 : coefficients();
  const q = shape.left === 2 ? coefficients() : 0;
  const s64 = take(8 * columnCount), t64 = take(8 * columnCount);
  const s = take(chunkCount * vectorByteLength(chunkLength)), t = take(chunkCount * vectorByteLength(chunkLength));
  const scratch = take(2 * vectorByteLength(columnCount));
  if (shape.left !== 0) {
    write(s64, new Float64Array(columnCount));
    write(t64, new Float64Array(columnCount));
    const exact = KERNELS.map((kernel) => {
      kernel.reduceRows({
        dtype,
        tile,
        rowCount,
        rowStride,
        columnCount,
        p,
        q,
        pSums: s64,
        qSums: q ? t64 : 0,
        scratch,
      });
      return [[s64, s, 2], [t64, t, 1]].map(([sums, target, scale]) =>
        kernel.prepareSums({ dtype, sums: sums!, target: target!, scale: scale!, chunkCount, chunkLength, right })
      ).includes(true);
    });
    if (exact[0] !== exact[1]) throw new Error(`prepareSums disagrees: ${exact}`);
    left = { p, q, s, t: q ? t : 0, s64, t64: q ? t64 : 0, exact: exact[0]! };
  }
  return {
    job: { dtype, tile, rowCount, rowStride, chunkCount, chunkLength, right, left },
    columnCount,
    start,
    end,
    sumsStart,
    sumsEnd: scratch,
    scratch,
  };
}

/** Mostly the usual one; else any, up to some that no f32 product survives. */
function coefficient(random: Random, usual: number): number {
  if (random.below(4) !== 0) return usual;
  return [0, -0, random.signed(), random.signed() * 1000, 1e13, -1e30, 3e38][random.below(7)]!;
}

/** A tile's bytes as a kernel has them. */
export function snapshot(kernel: Kernel, { start, end }: Problem): Uint8Array<ArrayBuffer> {
  return kernel.bytes.slice(start, end);
}
