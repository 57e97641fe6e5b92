/** What an ETHER adapter's vectors say of its transformation by themselves, without a weight. */
import type { OpenSource } from "../io/folder.ts";
import { cayley } from "../methods/ether/cayley.ts";
import { type Blocks, ETHER, type EtherSpec } from "../methods/ether/spec.ts";
import { toUnitVectors } from "../methods/ether/unit.ts";
import type { OpSpec, TensorRef } from "../methods/op.ts";
import { TensorReader } from "../methods/tensor_reader.ts";

/** One side of one Op. */
export interface SideGeometry {
  /** `in` is W·H, `out` is H·W, for W `[out, in]`. */
  readonly side: "in" | "out";
  /** The Op's label, which names the part of a fused matrix. */
  readonly op: string;
  /** How the stored matrix is transformed: along its rows, or down them. */
  readonly direction: "along" | "down";
  /**
   * ‖H − I‖_F over the side's blocks: 2a·√numBlocks of ETHER, a·√(2·Σ sin²∠(u, v)) of ETHER+, by its blocks Q of a dense
   * one.
   */
  readonly distance: number;
  /** ‖H − I‖_F of each block. */
  readonly blockDistances: readonly number[];
  /** The rank of each block of H − I. */
  readonly blockRanks: readonly number[];
  /**
   * Between the lines of u and v, ETHER+ only, in degrees: 0 is the identity, where training starts; at 90 and strength 1
   * the block is singular.
   */
  readonly angles: { readonly mean: number; readonly min: number; readonly max: number } | null;
}

/** True for an Op whose vectors {@link sideGeometry} can read. */
export function isEtherSpec(spec: OpSpec): spec is EtherSpec {
  return spec.method === ETHER;
}

/** True where W is stored `[in, out]`, as the Conv1D of GPT-2 is: then the input side acts down the stored rows. */
export function isStoredTransposed({ along, down }: EtherSpec): boolean {
  if (along !== null) return sideOf(along.u) === "out";
  return down !== null && sideOf(down.u) === "in";
}

/** Reads the vectors of an Op. */
export async function sideGeometry(spec: EtherSpec, openSource: OpenSource): Promise<SideGeometry[]> {
  // Two, so that u and v can be held against each other.
  const readers = { u: new TensorReader(openSource), v: new TensorReader(openSource) };
  try {
    const sides: SideGeometry[] = [];
    for (const direction of ["along", "down"] as const) {
      const blocks = spec[direction];
      if (blocks === null) continue;
      const place = { side: sideOf(blocks.u), op: spec.label, direction };
      const measured = spec.kind === "rotation"
        ? await denseGeometry(blocks, readers.u)
        : await reflectionGeometry(blocks, spec.alpha, readers);
      sides.push({ ...place, ...measured });
    }
    return sides;
  } finally {
    readers.u.close();
    readers.v.close();
  }
}

function sideOf({ name }: TensorRef): "in" | "out" {
  return name.endsWith("_in") ? "in" : "out";
}

type Measured = Pick<SideGeometry, "distance" | "blockDistances" | "blockRanks" | "angles">;

/** @param alpha  2a of ETHER; a of ETHER+, where it is the factor of v̂v̂ᵀ too */
async function reflectionGeometry(
  { u, v, numBlocks, blockLength }: Blocks,
  alpha: number,
  readers: { readonly u: TensorReader; readonly v: TensorReader },
): Promise<Measured> {
  const size = Math.abs(alpha);
  if (v === null) {
    const blockRanks = new Array<number>(numBlocks).fill(size === 0 ? 0 : 1);
    const blockDistances = new Array<number>(numBlocks).fill(size);
    return { distance: size * Math.sqrt(numBlocks), blockDistances, blockRanks, angles: null };
  }
  const uValues = await readers.u.read(u);
  const vValues = await readers.v.read(v);
  toUnitVectors(uValues, blockLength);
  toUnitVectors(vValues, blockLength);
  const blockRanks: number[] = [];
  const blockDistances: number[] = [];
  let [sum, min, max, sineSquares] = [0, 90, 0, 0];
  for (let start = 0; start < uValues.length; start += blockLength) {
    let [differences, sums] = [0, 0];
    for (let i = start; i < start + blockLength; i++) {
      differences += (uValues[i]! - vValues[i]!) ** 2;
      sums += (uValues[i]! + vValues[i]!) ** 2;
    }
    // sin∠ = ‖û − v̂‖·‖û + v̂‖/2 keeps its digits near the identity, where 1 − (û·v̂)² has none left.
    const sineSquare = differences * sums / 4;
    const angle = 2 * Math.atan2(Math.sqrt(Math.min(differences, sums)), Math.sqrt(Math.max(differences, sums))) *
      180 / Math.PI;
    sum += angle;
    min = Math.min(min, angle);
    max = Math.max(max, angle);
    sineSquares += sineSquare;
    blockDistances.push(size * Math.sqrt(2 * sineSquare));
    blockRanks.push(sineSquare === 0 || size === 0 ? 0 : 2);
  }
  const angles = { mean: sum / numBlocks, min, max };
  return { distance: size * Math.sqrt(2 * sineSquares), blockDistances, blockRanks, angles };
}

/** Of Q = (I + S)(I − S)⁻¹ with S skew: Q − I has the rank of S, which is even. */
async function denseGeometry({ u, blockLength: n }: Blocks, reader: TensorReader): Promise<Measured> {
  const values = await reader.read(u);
  const blockRanks: number[] = [];
  const blockDistances: number[] = [];
  let squares = 0;
  for (let start = 0; start < values.length; start += n * n) {
    const q = cayley(values.subarray(start, start + n * n), n, false);
    let blockSquares = 0;
    for (let i = 0; i < q.length; i++) blockSquares += (q[i]! - (i % (n + 1) === 0 ? 1 : 0)) ** 2;
    squares += blockSquares;
    blockDistances.push(Math.sqrt(blockSquares));
    blockRanks.push(blockSquares === 0 ? 0 : 2 * Math.floor(n / 2));
  }
  return { distance: Math.sqrt(squares), blockDistances, blockRanks, angles: null };
}
