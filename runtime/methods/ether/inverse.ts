/**
 * The inverse of an ETHER Op is an ETHER Op again.
 *
 * - ETHER: (I − αûûᵀ)⁻¹ = I + α/(1 − α)·ûûᵀ, a reflection with another alpha.
 * - ETHER+: I + aM with M = v̂v̂ᵀ − ûûᵀ. With p = v̂ − û and q = v̂ + û, which are orthogonal, M = (pqᵀ + qpᵀ)/2: its
 *   eigenvectors are (p̂ ± q̂)/√2, with eigenvalues ±s where s = ‖p‖‖q‖/2. Let τ = |a|s. Then the inverse is
 *   I − τ/(1 + τ)·eeᵀ + τ/(1 − τ)·ffᵀ, with e the eigenvector on a's own side and f the other one. τ is another one for
 *   each block, so that each vector carries its block's share of the Op's alpha and beta. Where τ > 1 the last term is
 *   negative; such blocks have theirs in a second Op, as one Op has one beta.
 * - A dense block: its transpose.
 *
 * No subtraction of nearly equal numbers decides anything: p, q and s are right where u and v are almost parallel.
 */
import { roomFor } from "../arena.ts";
import type { TensorReader } from "../tensor_reader.ts";
import type { Blocks, EtherSpec, ReflectionSpec } from "./spec.ts";
import { toUnitVectors } from "./unit.ts";

/** The Ops that undo an Op, and how much they enlarge a rounding error. */
export interface Inverse {
  /** In any order: they commute. */
  readonly main: EtherSpec;
  /** What {@link main} has no room for: the blocks of ETHER+ with a·s above 1; null where there are none. */
  readonly rest: EtherSpec | null;
  /** Condition of the Op: the product of its sides' worst blocks; infinite where there is no inverse. */
  readonly amplification: number;
  /** The side and block that are worst; null where no block enlarges anything. */
  readonly worst: { readonly tensor: string; readonly block: number; readonly amplification: number } | null;
}

/** Which eigenvectors of ETHER+ an Op has in the place of u and v. */
export interface InverseVectors {
  /** a, as the merge had it. */
  readonly strength: number;
  /** `main`: e, and f where τ < 1. `rest`: f where τ > 1, alone. */
  readonly part: "main" | "rest";
}

/** Inverts an Op. Reads its vectors, if how far they are apart decides. */
export async function invert(spec: EtherSpec, readers: { u: TensorReader; v: TensorReader }): Promise<Inverse> {
  const label = `${spec.label} undone`;
  if (spec.kind === "rotation") {
    const main = { ...spec, label, transposed: !spec.transposed };
    return { main, rest: null, amplification: 1, worst: null };
  }
  const sides = [spec.along, spec.down].filter((side) => side !== null);
  if (sides.every(({ v }) => v === null)) return invertEther(spec, sides, label);

  const largest = { steady: 0, other: 0, beyond: 0 };
  let amplification = 1;
  let worst: Inverse["worst"] = null;
  for (const { u, v, blockLength } of sides) {
    const uValues = await readers.u.read(u);
    const vValues = await readers.v.read(v!);
    toUnitVectors(uValues, blockLength);
    toUnitVectors(vValues, blockLength);
    let ofSide = 1;
    for (let start = 0; start < uValues.length; start += blockLength) {
      const { s } = spanOf(uValues, vValues, start, blockLength);
      const tau = Math.abs(spec.alpha) * s;
      const condition = (1 + tau) / Math.min(1, Math.abs(1 - tau));
      if (condition > ofSide) {
        ofSide = condition;
        if (worst === null || condition > worst.amplification) {
          worst = { tensor: u.name, block: start / blockLength, amplification: condition };
        }
      }
      largest.steady = Math.max(largest.steady, tau / (1 + tau));
      if (tau < 1) largest.other = Math.max(largest.other, tau / (1 - tau));
      if (tau > 1) largest.beyond = Math.max(largest.beyond, tau / (tau - 1));
    }
    amplification *= ofSide;
  }
  const strength = spec.alpha;
  const room = Math.max(...sides.map(({ numBlocks, blockLength }) => roomFor(4 * numBlocks * blockLength)));
  const main: ReflectionSpec = {
    ...{ ...spec, label, alpha: Math.fround(largest.steady), beta: Math.fround(largest.other) },
    ...{ inverse: { strength, part: "main" }, stateByteLength: spec.stateByteLength + room },
  };
  if (largest.beyond === 0) return { main, rest: null, amplification, worst };
  // It keeps two vectors, the second all zero: an Op without v reduces to another sketch.
  const rest: ReflectionSpec = {
    ...main,
    alpha: Math.fround(largest.beyond),
    beta: 0,
    inverse: { strength, part: "rest" },
  };
  return { main, rest, amplification, worst };
}

function invertEther(spec: ReflectionSpec, sides: readonly Blocks[], label: string): Inverse {
  const { alpha } = spec;
  const condition = Math.max(1, Math.abs(1 - alpha)) / Math.min(1, Math.abs(1 - alpha));
  return {
    main: { ...spec, label, alpha: Math.fround(alpha / (alpha - 1)) },
    rest: null,
    amplification: sides.length === 2 ? condition * condition : condition,
    worst: condition === 1 ? null : { tensor: sides[0]!.u.name, block: 0, amplification: condition },
  };
}

/**
 * Puts an inverse's vectors in the place of û and v̂, block by block.
 *
 * @param u  unit vectors, f32 `[numBlocks, length]`; e or f afterwards, its norm at most 1
 * @param v  likewise; f or zero afterwards
 */
export function toInverseVectors(u: Float32Array, v: Float32Array, length: number, spec: ReflectionSpec): void {
  const { strength, part } = spec.inverse!;
  for (let start = 0; start < u.length; start += length) {
    const { pNorm, qNorm, s } = spanOf(u, v, start, length);
    const tau = Math.abs(strength) * s;
    const scaled = (coefficient: number, total: number) => total === 0 ? 0 : Math.sqrt(coefficient / total / 2);
    const e = part === "rest" ? 0 : scaled(tau / (1 + tau), spec.alpha);
    const f = part === "rest"
      ? (tau > 1 ? scaled(tau / (tau - 1), spec.alpha) : 0)
      : (tau < 1 ? scaled(tau / (1 - tau), spec.beta) : 0);
    // û = ±v̂: no p or no q, and nothing to undo.
    const pScale = s === 0 ? 0 : 1 / pNorm;
    const qScale = s === 0 ? 0 : (strength < 0 ? -1 : 1) / qNorm;
    for (let i = start; i < start + length; i++) {
      const p = (v[i]! - u[i]!) * pScale;
      const q = (v[i]! + u[i]!) * qScale;
      u[i] = part === "rest" ? (p - q) * f : (p + q) * e;
      v[i] = part === "rest" ? 0 : (p - q) * f;
    }
  }
}

/** ‖v̂ − û‖, ‖v̂ + û‖ and s, the sine of the angle between u and v. */
function spanOf(
  u: Float32Array,
  v: Float32Array,
  start: number,
  length: number,
): { pNorm: number; qNorm: number; s: number } {
  let pSquares = 0;
  let qSquares = 0;
  for (let i = start; i < start + length; i++) {
    const p = v[i]! - u[i]!;
    const q = v[i]! + u[i]!;
    pSquares += p * p;
    qSquares += q * q;
  }
  const pNorm = Math.sqrt(pSquares);
  const qNorm = Math.sqrt(qSquares);
  return { pNorm, qNorm, s: pNorm * qNorm / 2 };
}
