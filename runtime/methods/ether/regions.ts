/** Which rows of a stored matrix a module, or a part of a fused one, acts on. */
import { type HeadCounts, headsText } from "../../checkpoints/heads.ts";
import { EtherError } from "../../error.ts";
import type { Region, RowRun } from "../op.ts";
import type { FusedQkv } from "./config.ts";
import type { Part } from "./modules.ts";

/** All rows of a stored matrix. */
export function wholeRegion(rowCount: number, columnCount: number): Region {
  return { runs: [{ start: 0, count: rowCount }], rowCount, columnCount };
}

/**
 * The rows of one part of a fused matrix, in increasing order: HF's separate q_proj, k_proj or v_proj row for row.
 *
 * Grouped, with q heads h per group: of each group's (h + 2)·headSize rows the first h·headSize are q's, then k's, v's.
 *
 * @throws {EtherError} `bad_config` where the heads do not make up the rows
 */
export function partRegion(
  fused: FusedQkv,
  part: Part,
  rowCount: number,
  columnCount: number,
  place: { readonly file: string; readonly tensor: string },
): Region {
  const { numHeads, numQueryGroups, headSize, order } = fused;
  const total = (numHeads + 2 * numQueryGroups) * headSize;
  if (total !== rowCount) {
    throw new EtherError(
      "bad_config",
      `(${numHeads} heads + 2·${numQueryGroups} groups)·${headSize} is ${total}, but the matrix has ${rowCount} rows`,
      { ...place, field: "fused_qkv" },
    );
  }
  const groups = order === "concat" ? 1 : numQueryGroups;
  const qRows = numHeads * headSize / groups;
  const kvRows = numQueryGroups * headSize / groups;
  const offset = { q: 0, k: qRows, v: qRows + kvRows }[part];
  const count = part === "q" ? qRows : kvRows;
  const runs: RowRun[] = [];
  for (let group = 0; group < groups; group++) runs.push({ start: group * (qRows + 2 * kvRows) + offset, count });
  return { runs, rowCount: count * groups, columnCount };
}

/**
 * Holds an adapter's heads against the base's: other heads may make up the same rows, and cut them elsewhere.
 *
 * @param base  what the base's config says; a count that does not make up the rows is of another kind of attention,
 * of which nothing is known here
 * @throws {EtherError} `bad_config`
 */
export function checkHeads(
  fused: FusedQkv,
  base: HeadCounts | null,
  rowCount: number,
  baseName: string,
  place: { readonly file: string; readonly tensor: string },
): void {
  if (base === null || (base.numHeads + 2 * base.numQueryGroups) * base.headSize !== rowCount) return;
  // All q, all k and all v lie where they lie, however they are cut into heads.
  const same = fused.order === "concat"
    ? fused.numHeads * fused.headSize === base.numHeads * base.headSize
    : headsText(fused) === headsText(base);
  if (same) return;
  const message = `says ${headsText(fused)}, the config.json of ${baseName} ${headsText(base)}`;
  const hint = "is this the base that it was trained on?";
  throw new EtherError("bad_config", message, { ...place, field: "fused_qkv", hint });
}
