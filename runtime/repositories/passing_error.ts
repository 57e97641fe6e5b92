import type { ErrorCode, EtherError } from "../error.ts";

const PASSING: readonly ErrorCode[] = ["io_error", "no_space", "timed_out", "busy", "interrupted", "not_found"];

/** True for an error that may be gone the next time: its cause is not in the files' content. */
export function isPassing({ code }: EtherError): boolean {
  return PASSING.includes(code);
}
