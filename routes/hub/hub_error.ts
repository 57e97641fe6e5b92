/** Errors as the Hub writes them: by `X-Error-Code` its clients raise their own, right exceptions. */
import { ERROR_CODES, type ErrorCode, type ErrorDetails, EtherError, oneLine } from "../../runtime/error.ts";
import { RequestError, RETRY_SECONDS, statusOf } from "../problem.ts";

/** What the clients of the Hub know. */
export type HubErrorCode = "RepoNotFound" | "RevisionNotFound" | "EntryNotFound" | "GatedRepo";

/** The longest message in a header. */
const MAX_MESSAGE_LENGTH = 1000;

/** An error that has a name on the Hub. */
export class HubError extends RequestError {
  /** Sent as `X-Error-Code`; null where the clients go by the message. */
  readonly hubCode: HubErrorCode | null;

  /** @param code  ours, for logs */
  constructor(
    hubCode: HubErrorCode | null,
    status: number,
    code: ErrorCode,
    message: string,
    details: ErrorDetails & { headers?: Record<string, string> } = {},
  ) {
    super(status, code, message, details);
    this.hubCode = hubCode;
  }
}

/** No such repository; the same words for every name. */
export function repositoryNotFound(): HubError {
  return new HubError("RepoNotFound", 404, "not_found", "Repository not found");
}

/** A revision that is no recipe, names an adapter that is not there, or cannot be merged into the base. */
export function revisionNotFound(reason?: EtherError): HubError {
  const message = reason === undefined ? "Invalid rev id" : describe(reason);
  return new HubError("RevisionNotFound", 404, reason?.code ?? "not_found", message);
}

/** No such file; clients remember that by the commit. */
export function entryNotFound(commit: string): HubError {
  return new HubError("EntryNotFound", 404, "not_found", "Entry not found", { headers: { "x-repo-commit": commit } });
}

/**
 * True for what lies in the recipe itself: asked again, it will fail again. No room, or no time, is another matter, and
 * so is a disk that fails.
 */
export function refusesRecipe(error: unknown): error is EtherError {
  if (!(error instanceof EtherError) || error instanceof RequestError) return false;
  const status = statusOf(error);
  return status === 422 || error.code === "not_found" || error.code === "too_large" || error.code === "usage";
}

/** The answer to anything that was thrown. */
export function hubErrorResponse(error: unknown): Response {
  const message = describe(error);
  const body = new TextEncoder().encode(JSON.stringify({ error: message }));
  const headers = new Headers({
    "content-type": "application/json",
    "content-length": String(body.byteLength),
    "cache-control": "no-store",
    "x-error-message": printable(message),
  });
  if (error instanceof RequestError) {
    for (const [name, value] of Object.entries(error.headers)) headers.set(name, value);
  }
  if (error instanceof HubError && error.hubCode !== null) headers.set("x-error-code", error.hubCode);
  let status = statusOf(error);
  if (error instanceof EtherError && error.code === "busy") {
    // Clients repeat a download for this status alone, and read a whole number of seconds.
    status = 429;
    headers.set("retry-after", String(RETRY_SECONDS));
  }
  if (status === 401) headers.set("www-authenticate", "Bearer");
  return new Response(body, { status, headers });
}

/** What a client is told; of a mistake of the server's no more than that. */
function describe(error: unknown): string {
  if (!(error instanceof EtherError)) return "the server made a mistake";
  if (error instanceof RequestError) return oneLine(error.message);
  if (statusOf(error) >= 500 && error.code !== "busy") return `${error.code}: ${ERROR_CODES[error.code]}`;
  return error.toLine();
}

/** A header carries ASCII: whatever else is escaped. */
export function printable(text: string): string {
  const ascii = text.replace(/[^\x20-\x7e]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return ascii.length > MAX_MESSAGE_LENGTH ? `${ascii.slice(0, MAX_MESSAGE_LENGTH)}...` : ascii;
}
