/** What an operator needs of an error that is the server's own. */
import { EtherError } from "../../runtime/error.ts";

/** The code, and in `detail` alone what may hold names and paths; a mistake of ours has no code, but its stack. */
export function errorFields(error: unknown): { readonly code: string; readonly detail: string } {
  if (!(error instanceof EtherError)) {
    return { code: "bug", detail: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
  return { code: error.code, detail: fullLine(error) };
}

/** An error's line, with that of the error which readers must not see. */
export function fullLine(error: EtherError): string {
  const { cause } = error;
  return cause instanceof EtherError ? `${error.toLine()} (${cause.toLine()})` : error.toLine();
}
