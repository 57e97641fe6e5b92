/** What a command says and where: results on stdout, everything else on stderr, one line each. */
import { ioError } from "../runtime/deno/io_error.ts";
import { oneLine } from "../runtime/error.ts";
import { clip } from "../runtime/json/quote.ts";
import { formatTable } from "./table.ts";

/** How much is said. */
export interface Verbosity {
  readonly quiet: boolean;
  readonly verbose: boolean;
}

/** Rows of a table that a terminal gets. */
const TERMINAL_ROWS = 40;
/** The most of a message that may list names. */
const MESSAGE_LENGTH = 2000;

const encoder = new TextEncoder();

/** A command's two streams. */
export class Console {
  readonly #verbosity: Verbosity;

  constructor(verbosity: Verbosity) {
    this.#verbosity = verbosity;
  }

  /** A result: one line, or one JSON document. */
  result(text: string): void {
    writeOut(`${oneLine(text)}\n`);
  }

  /** A result in columns; a terminal gets the first rows, a pipe all of them. */
  table(names: readonly string[], rows: readonly (readonly string[])[]): void {
    const maxRows = Deno.stdout.isTerminal() ? TERMINAL_ROWS : Infinity;
    writeOut(`${formatTable(names, rows, maxRows)}\n`);
  }

  /** Something the user should know; also with `-q`. */
  warn(message: string): void {
    writeErr(`warning: ${clip(oneLine(message), MESSAGE_LENGTH)}\n`);
  }

  /** What happens; not with `-q`. */
  note(message: string): void {
    if (!this.#verbosity.quiet) writeErr(`${clip(oneLine(message), MESSAGE_LENGTH)}\n`);
  }

  /** Why something happens; only with `-v`. */
  detail(message: string): void {
    if (this.#verbosity.verbose) this.note(message);
  }
}

/** Columns of the terminal. One that reports none, as a bare pseudo-terminal does, is taken for the usual 80. */
export function consoleColumns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

/**
 * Writes to stdout; a reader that went away (`| head`) is no error of ours.
 *
 * @throws {EtherError} `no_space`, `io_error`
 */
export function writeOut(text: string): void {
  try {
    writeAll(Deno.stdout, text);
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw ioError(error, "stdout");
  }
}

/** Writes to stderr, as far as it takes anything: there is nowhere to say that it does not. */
export function writeErr(text: string): void {
  try {
    writeAll(Deno.stderr, text);
  } catch {
    // The work goes on, and its exit code tells how it ended.
  }
}

/** One write may take only a part. */
function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  for (let bytes = encoder.encode(text); bytes.byteLength > 0;) bytes = bytes.subarray(stream.writeSync(bytes));
}
