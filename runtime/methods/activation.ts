/** What an adapter does to the activations on both sides of a matrix: y = H̃(W(Hx)), with W left as it is. */
import type { OpSpec, RowRun } from "./op.ts";

/**
 * One Op as it acts on activations instead of the matrix. Its Ops transform rows in place, `[tokenCount, dimension]`,
 * and need nothing of other rows; `TileRows.same` says which output feature all of the tokens stand for.
 */
export interface ActivationPart {
  /** The output features that it is about: all of them, or those of one part of a fused matrix. */
  readonly features: readonly RowRun[] | "all";
  /** How many features that is; null where only the base's shape says. */
  readonly featureCount: number | null;
  /** How many features the whole matrix has; null where only the base's shape says. */
  readonly matrixFeatureCount: number | null;
  /** x ← Hx, rows of `region.columnCount`. */
  readonly input: OpSpec | null;
  /** y ← H̃y of the part's own features, rows of `region.columnCount`. */
  readonly output: OpSpec | null;
  /** Output features that must be brought together for {@link output}: groups of this many mix with each other. */
  readonly outputGroup: number;
  /** True where Hx depends on the output feature that it is for: there is no one Hx. */
  readonly inputVaries: boolean;
  /** The end of the adjacent features of the part, from `feature` on, that are for the same Hx. */
  inputRunEnd(feature: number): number;
  /** True where the matrix is stored `[in, out]`. */
  readonly storedInOut: boolean;
}

/** What an adapter does to activations, without a base. */
export interface CompiledActivations {
  /** Parts by module path, as the adapter names it. */
  readonly modules: ReadonlyMap<string, readonly ActivationPart[]>;
  /** What the caller should tell the user. */
  readonly warnings: readonly string[];
}
