import { oneLine } from "../runtime/error.ts";

/** Columns of text under their names, the last one unpadded; at most `maxRows` rows, and how many more there are. */
export function formatTable(names: readonly string[], rows: readonly (readonly string[])[], maxRows: number): string {
  const shown = rows.slice(0, maxRows).map((row) => row.map(oneLine));
  const widths = names.map((_, i) => columnWidth(names, shown, i));
  const line = (cells: readonly string[]) => cells.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd();
  const lines = ["", line(names), ...shown.map(line)];
  const more = rows.length - shown.length;
  if (more > 0) lines.push(`… and ${more} more; all of them with --json`);
  return lines.join("\n");
}

/** What a column's name and its longest cell need. No spread: a model may have more tensors than a call arguments. */
export function columnWidth(names: readonly string[], rows: readonly (readonly string[])[], column: number): number {
  return rows.reduce((width, row) => Math.max(width, row[column]!.length), names[column]!.length);
}
