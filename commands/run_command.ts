/** What every command has in common: how it fails, how it is interrupted, and with which code it exits. */
import { type ErrorCode, EtherError } from "../runtime/error.ts";
import { Console, writeErr, writeOut } from "./console.ts";

/** Flags that every command has. */
export interface CommonFlags {
  readonly json?: true | undefined;
  readonly debug?: true | undefined;
  readonly quiet?: true | undefined;
  readonly verbose?: true | undefined;
}

/** What a command works with. */
export interface CommandContext {
  readonly console: Console;
  /** Results as one JSON document. */
  readonly json: boolean;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Exit code of a command that succeeded, but found a difference. */
export const EXIT_DIFFERENT = 4;

const EXIT_CODES: Partial<Record<ErrorCode, number>> = {
  usage: 2,
  io_error: 3,
  no_space: 3,
  verify_failed: 4,
  interrupted: 130,
};

/** Runs a command and ends the process: 0 or the command's own code, or the error's code after its line. */
export async function runCommand(
  flags: CommonFlags,
  command: (context: CommandContext) => Promise<number | void>,
): Promise<never> {
  const abort = new AbortController();
  const interrupt = () => abort.abort(new EtherError("interrupted", "stopped by a signal"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, interrupt);
  const console = new Console({ quiet: flags.quiet === true, verbose: flags.verbose === true });
  const json = flags.json === true;
  try {
    Deno.exit(await command({ console, json, signal: abort.signal }) ?? 0);
  } catch (error) {
    const { withPathHint } = await import("./missing_path.ts");
    Deno.exit(reportError(withPathHint(error), { json, debug: flags.debug === true }));
  }
}

/** Prints the error line, and with `--json` the error document; says with which code to exit. Never throws. */
export function reportError(error: unknown, { json, debug }: { json: boolean; debug: boolean }): number {
  const known = asEtherError(error);
  if (debug && error instanceof Error) writeErr(`${error.stack ?? error.message}\n`);
  try {
    if (json) writeOut(`${JSON.stringify({ error: known.toJSON() })}\n`);
  } catch {
    // The command's own error counts; its line is still to come.
  }
  writeErr(`error: ${known.toLine()}\n`);
  return EXIT_CODES[known.code] ?? 1;
}

/** Whatever escaped as an EtherError: a mistake of ours still ends in one line. */
function asEtherError(error: unknown): EtherError {
  if (error instanceof EtherError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const hint = "this is a bug of ether-edge; --debug shows where";
  return new EtherError("io_error", `unexpected: ${message}`, { hint, cause: error });
}
