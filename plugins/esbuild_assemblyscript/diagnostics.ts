/** What the AssemblyScript compiler has to say, as messages of esbuild: file, line, column, and the line itself. */
import type { Location, Message } from "./esbuild.ts";

/** A place in a source, as the compiler gives it: offsets in UTF-16 units. */
export interface SourceRange {
  readonly start: number;
  readonly end: number;
  readonly source: { readonly normalizedPath: string } | null;
}

/** One message of the compiler. */
export interface Diagnostic {
  readonly message: string;
  readonly code: number;
  /** 0 and 1 are remarks, 2 is a warning, 3 an error. */
  readonly category: number;
  readonly range: SourceRange | null;
  readonly relatedRange: SourceRange | null;
}

const WARNING = 2;
const ERROR = 3;

/** A source's path for people, and its text; undefined for a source that is the compiler's own. */
export type FindSource = (normalizedPath: string) => { readonly file: string; readonly text: string } | undefined;

/** The errors and warnings among the compiler's messages; remarks are left out. */
export function messagesOf(
  diagnostics: readonly Diagnostic[],
  find: FindSource,
): { errors: Message[]; warnings: Message[] } {
  const of = (category: number) =>
    diagnostics.filter((one) => one.category === category).map((one) => messageOf(one, find));
  return { errors: of(ERROR), warnings: of(WARNING) };
}

function messageOf({ message, code, category, range, relatedRange }: Diagnostic, find: FindSource): Message {
  const location = locationOf(range, find);
  const related = locationOf(relatedRange, find);
  // The compiler's own library has no file: then its name has to do.
  const where = range?.source != null && location === null ? ` (in ${range.source.normalizedPath})` : "";
  return {
    text: `${category === ERROR ? "ERROR" : "WARNING"} ${code <= 999 ? "AS" : "TS"}${code}: ${message}${where}`,
    location,
    ...related === null ? {} : { notes: [{ text: "see also", location: related }] },
  };
}

function locationOf(range: SourceRange | null, find: FindSource): Location | null {
  if (range?.source == null) return null;
  const source = find(range.source.normalizedPath);
  if (source === undefined) return null;
  const { file, text } = source;
  const lineStart = text.lastIndexOf("\n", range.start - 1) + 1;
  const lineEnd = text.indexOf("\n", range.start);
  const lineText = text.slice(lineStart, lineEnd < 0 ? undefined : lineEnd).replace(/\r$/, "");
  return {
    file,
    line: text.slice(0, lineStart).split("\n").length,
    column: byteLength(text.slice(lineStart, range.start)),
    // esbuild marks within one line.
    length: byteLength(text.slice(range.start, Math.min(range.end, lineStart + lineText.length))),
    lineText,
  };
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
