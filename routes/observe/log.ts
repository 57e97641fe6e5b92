/** What the server says of itself, line by line. */

/** One line: a plain object of plain values, ready for `JSON.stringify`. */
export type LogLine = Readonly<Record<string, string | number | boolean | null>>;

/** Takes a line. */
export type Log = (line: LogLine) => void;
