/** What an answer that brings no bytes means. */
import { EtherError } from "../error.ts";
import type { Reply } from "./session.ts";
import { parseRetryAfter, TransientError } from "./retry.ts";

/** Answers that another attempt may change. */
const TRANSIENT = [408, 425, 429, 500, 502, 503, 504];

/**
 * The error of an answer that is not the one that was hoped for. Its body is not read: the exchange ends here.
 *
 * @param name      what messages call the file
 * @param hasToken  whether a token went along
 */
export function statusError({ response, abort }: Reply, name: string, hasToken: boolean): EtherError | TransientError {
  const { status, headers } = response;
  abort(new Error("not needed any more"));
  if (TRANSIENT.includes(status)) {
    const retryAfter = parseRetryAfter(headers.get("retry-after"), Date.now());
    return new TransientError(`the host answers ${status}`, { retryAfter });
  }
  const code = headers.get("x-error-code");
  const details = { file: name };
  if (code === "RevisionNotFound") return new EtherError("not_found", "the repository has no such revision", details);
  if (code === "GatedRepo") {
    const hint = hasToken ? "ask for access on the Hub with the token's account" : "set HF_TOKEN";
    return new EtherError("access_denied", "the repository is gated", { ...details, hint });
  }
  if (code === "RepoNotFound") {
    const hint = hasToken ? "check its name, and the token's access" : "if it is private, set HF_TOKEN";
    return new EtherError("not_found", "no such repository", { ...details, hint });
  }
  if (status === 404 || status === 410) return new EtherError("not_found", `the host answers ${status}`, details);
  if (status === 401 || status === 403) {
    const hint = hasToken ? "check the token" : "it may need a token: HF_TOKEN, for the Hub";
    return new EtherError("access_denied", `the host answers ${status}`, { ...details, hint });
  }
  return new EtherError("io_error", `the host answers ${status}`, details);
}
