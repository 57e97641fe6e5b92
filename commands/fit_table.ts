/** Tables whose first column is a tensor's name, cut to a terminal's width. */
import { consoleColumns } from "./console.ts";
import { columnWidth } from "./table.ts";

/** A name of at most `width` characters: the middle goes, as the ends tell tensors apart. */
export function fitName(name: string, width: number): string {
  if (name.length <= width) return name;
  const head = Math.floor((width - 1) / 3);
  return `${name.slice(0, head)}…${name.slice(name.length - (width - 1 - head))}`;
}

/** The columns of a terminal; null where stdout is none, which has room for everything. */
export function terminalWidth(): number | null {
  return Deno.stdout.isTerminal() ? consoleColumns() : null;
}

/** A name is never cut to less than this. */
const MIN_NAME = 16;

/** Rows with their first cell cut so that a line fits into `width`, where it can. */
export function fitRows(
  names: readonly string[],
  rows: readonly (readonly string[])[],
  width: number | null,
): string[][] {
  if (width === null) return rows.map((row) => [...row]);
  const others = names.slice(1).map((_, i) => columnWidth(names, rows, i + 1) + 2);
  const room = Math.max(MIN_NAME, width - 1 - others.reduce((sum, length) => sum + length, 0));
  const shortened = shortenNames(rows.map(([name]) => name!), room);
  return rows.map(([, ...cells], i) => [fitName(shortened[i]!, room), ...cells]);
}

/** Where a name is too long, none keeps the parts that all of them begin and end with: `…0.mlp.up_proj`. */
function shortenNames(names: readonly string[], width: number): readonly string[] {
  if (names.length < 2 || names.every((name) => name.length <= width)) return names;
  const parts = names.map((name) => name.split("."));
  const fewest = parts.reduce((least, { length }) => Math.min(least, length), Infinity);
  const all = (at: number) => parts.every((one) => one.at(at) === parts[0]!.at(at));
  let head = 0;
  while (head < fewest - 1 && all(head)) head++;
  let tail = 0;
  while (head + tail < fewest - 1 && all(-1 - tail)) tail++;
  const short = parts.map((one) => one.slice(head, one.length - tail).join("."));
  return head === 0 ? short : short.map((name) => `…${name}`);
}
