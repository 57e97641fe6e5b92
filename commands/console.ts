/** What a command says and where: results on stdout, everything else on stderr, one line each. */
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
    writeAll(Deno.stdout, `${oneLine(text)}\n`);
  }

  /** A result in columns; a terminal gets the first rows, a pipe all of them. */
  table(names: readonly string[], rows: readonly (readonly string[])[]): void {
    const maxRows = Deno.stdout.isTerminal() ? TERMINAL_ROWS : Infinity;
    writeAll(Deno.stdout, `${formatTable(names, rows, maxRows)}\n`);
  }

  /** Something the user should know; also with `-q`. */
  warn(message: string): void {
    writeAll(Deno.stderr, `warning: ${clip(oneLine(message), MESSAGE_LENGTH)}\n`);
  }

  /** What happens; not with `-q`. */
  note(message: string): void {
    if (!this.#verbosity.quiet) writeAll(Deno.stderr, `${clip(oneLine(message), MESSAGE_LENGTH)}\n`);
  }

  /** Why something happens; only with `-v`. */
  detail(message: string): void {
    if (this.#verbosity.verbose) this.note(message);
  }
}

/** Writes a text whole; a reader that went away (`| head`) is no error of ours. */
export function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  try {
    for (let bytes = encoder.encode(text); bytes.byteLength > 0;) bytes = bytes.subarray(stream.writeSync(bytes));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
