/** What was measured of each target, as columns and as a document. */
import type { TensorAnalysis } from "../runtime/analysis/analyse_plan.ts";
import type { Estimate } from "../runtime/analysis/hyperspherical_energy.ts";
import type { SideGeometry } from "../runtime/analysis/side_geometry.ts";
import { fitRows, terminalWidth } from "./fit_table.ts";

/** Columns, rows that fit the terminal, and what is to be said below them. */
export interface AnalysisTable {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

/** One row for each target. The transformation has a column only where targets differ in it. */
export function analysisTable(analyses: readonly TensorAnalysis[], width = terminalWidth()): AnalysisTable {
  const transformations = analyses.map(({ ops }) => ops.join(" then "));
  const oneTransformation = new Set(transformations).size === 1;
  const columns = [
    ...["target", ...oneTransformation ? [] : ["transformation"]],
    ...["H−I in", "H−I out", "∠uv", "ΔW/W", "rank", "HE", "ΔHE/HE"],
  ];
  const rows = analyses.map((analysis, i) => [
    ...[analysis.name, ...oneTransformation ? [] : [transformations[i]!]],
    ...[distanceText(analysis.sides, "in"), distanceText(analysis.sides, "out"), angleText(analysis.sides)],
    ...[analysis.relativeNorm?.toPrecision(3) ?? "–", rankText(analysis)],
    ...[analysis.energy?.before.value.toPrecision(4) ?? "–", changeText(analysis.energy?.relativeChange ?? null)],
  ]);
  const notes = [
    ...oneTransformation ? [`every target: ${transformations[0]}`] : [],
    "H−I: ‖H−I‖_F of a side; ∠uv: mean angle; ΔW/W: ‖W′−W‖/‖W‖",
    "rank: of W′−W, and its bound; HE: hyperspherical energy of W's rows",
    ...analyses.some(({ energy }) => energy !== null && !energy.exact)
      ? ["HE with ±: from a sample of the rows, and its standard error"]
      : [],
  ];
  return { columns, rows: fitRows(columns, rows, width), notes };
}

/** ‖H − I‖_F of all Ops on one side; null where there is none. */
export function distanceOf(sides: readonly SideGeometry[], side: "in" | "out"): number | null {
  const own = sides.filter((one) => one.side === side);
  return own.length === 0 ? null : Math.sqrt(own.reduce((sum, { distance }) => sum + distance ** 2, 0));
}

/** The mean angle between u and v over all blocks; null without v. */
export function angleOf(sides: readonly SideGeometry[]): number | null {
  let [sum, count] = [0, 0];
  for (const { angles, blockRanks } of sides) {
    if (angles === null) continue;
    sum += angles.mean * blockRanks.length;
    count += blockRanks.length;
  }
  return count === 0 ? null : sum / count;
}

function distanceText(sides: readonly SideGeometry[], side: "in" | "out"): string {
  return distanceOf(sides, side)?.toFixed(3) ?? "";
}

function angleText(sides: readonly SideGeometry[]): string {
  const angle = angleOf(sides);
  return angle === null ? "" : `${angle.toFixed(1)}°`;
}

function rankText({ rank, rankBound }: TensorAnalysis): string {
  return rank === null ? `≤ ${rankBound}` : `${rank} ≤ ${rankBound}`;
}

/** Below this a change of the energy is the rounding of f32. */
const ENERGY_NOISE = 1e-7;

function changeText(change: Estimate | null): string {
  if (change === null) return "–";
  const error = change.standardError > 0 ? `±${change.standardError.toExponential(0)}` : "";
  if (Math.abs(change.value) < ENERGY_NOISE) return `0${error}`;
  return `${change.value.toExponential(1)}${error}`;
}

/** One target in the JSON document. */
export function analysisDocument(analysis: TensorAnalysis): Record<string, unknown> {
  const { energy } = analysis;
  const estimate = ({ value, standardError }: Estimate) => ({ value, standard_error: standardError });
  return {
    shape: [analysis.out, analysis.in],
    sides: analysis.sides.map(({ side, op, distance, angles }) => ({ side, op, distance, angles })),
    ...{ weight_distance: analysis.relativeNorm, norm_ratio: analysis.normRatio },
    ...{ rank: analysis.rank, rank_bound: analysis.rankBound },
    energy: energy === null ? null : {
      ...{ before: estimate(energy.before), after: estimate(energy.after) },
      ...{ relative_change: estimate(energy.relativeChange), rows: energy.neuronCount, exact: energy.exact },
    },
  };
}
