/** What a command says and where: results on stdout, everything else on stderr, one line each. */
import { oneLine } from "../runtime/error.ts";

/** How much is said. */
export interface Verbosity {
  readonly quiet: boolean;
  readonly verbose: boolean;
}

const encoder = new TextEncoder();

/** A command's two streams. */
export class Console {
  readonly #verbosity: Verbosity;

  constructor(verbosity: Verbosity) {
    this.#verbosity = verbosity;
  }

  /** A result. */
  result(text: string): void {
    writeAll(Deno.stdout, `${text}\n`);
  }

  /** Something the user should know; also with `-q`. */
  warn(message: string): void {
    writeAll(Deno.stderr, `warning: ${oneLine(message)}\n`);
  }

  /** What happens; not with `-q`. */
  note(message: string): void {
    if (!this.#verbosity.quiet) writeAll(Deno.stderr, `${oneLine(message)}\n`);
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
