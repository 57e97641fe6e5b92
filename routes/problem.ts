/** Errors as HTTP: a status for each code, and the body of RFC 9457. */
import type { Context } from "hono";
import { ERROR_CODES, type ErrorCode, type ErrorDetails, EtherError, oneLine } from "../runtime/error.ts";

/** The status of each code, also of Hub routes where they have no rule of their own. */
export const STATUS_OF_CODE: Readonly<Record<ErrorCode, number>> = {
  bad_header: 422,
  bad_index: 422,
  bad_config: 422,
  bad_recipe: 422,
  bad_pickle: 422,
  bad_shape: 422,
  bad_blocks: 422,
  missing_param: 422,
  unused_tensor: 422,
  unknown_target: 422,
  zero_vector: 422,
  nonfinite_vector: 422,
  layout_required: 422,
  tied_head: 422,
  base_mismatch: 422,
  unsupported: 422,
  unsupported_dtype: 422,
  unsupported_format: 422,
  unsupported_feature: 422,
  singular: 422,
  not_found: 404,
  exists: 409,
  locked: 409,
  host_refused: 422,
  access_denied: 422,
  source_changed: 503,
  io_error: 500,
  no_space: 507,
  verify_failed: 500,
  usage: 400,
  interrupted: 503,
  unauthorized: 401,
  forbidden: 403,
  too_large: 413,
  timed_out: 408,
  busy: 503,
};

/** Seconds after which a request that found no room may come again. */
export const RETRY_SECONDS = 1;

const PHRASES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  409: "Conflict",
  412: "Precondition Failed",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  422: "Unprocessable Content",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  507: "Insufficient Storage",
};

/** What a problem has beside an error's own. */
export interface RequestErrorDetails extends ErrorDetails {
  /** Headers of the answer, e.g. `Allow`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** A request that is wrong as HTTP has it, where the code's own status would say too little: 405, 412, 415. */
export class RequestError extends EtherError {
  /** The status. */
  readonly status: number;
  /** Headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;

  /** @param status  one of RFC 9110's */
  constructor(status: number, code: ErrorCode, message: string, details: RequestErrorDetails = {}) {
    super(code, message, details);
    this.status = status;
    this.headers = details.headers ?? {};
  }
}

/** The status of anything that was thrown. */
export function statusOf(error: unknown): number {
  if (error instanceof RequestError) return error.status;
  return error instanceof EtherError ? STATUS_OF_CODE[error.code] : 500;
}

/** A problem document: RFC 9457 with our code and what the error names. */
export interface Problem {
  readonly type: "about:blank";
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code?: ErrorCode;
  readonly file?: string;
  readonly tensor?: string;
  readonly field?: string;
  readonly hint?: string;
  readonly request_id?: string;
}

/** The document of anything that was thrown. What went wrong within the server stays there; its log has it. */
export function problemOf(error: unknown, requestId?: string): Problem {
  const status = statusOf(error);
  const head = { type: "about:blank", title: PHRASES[status] ?? "Error", status } as const;
  const tail = requestId === undefined ? {} : { request_id: requestId };
  if (!(error instanceof EtherError)) return { ...head, detail: "the server made a mistake", ...tail };
  const { code, message, file, tensor, field, hint } = error;
  if (status === 500 || status === 507) return { ...head, detail: ERROR_CODES[code], code, ...tail };
  const named = Object.entries({ file, tensor, field, hint }).filter((entry) => entry[1] !== undefined);
  const lines = Object.fromEntries(named.map(([name, text]) => [name, oneLine(text!)]));
  return { ...head, detail: oneLine(message), code, ...lines, ...tail };
}

/** The answer to anything that was thrown. */
export function problemResponse(error: unknown, requestId?: string): Response {
  const status = statusOf(error);
  const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
  if (error instanceof RequestError) {
    for (const [name, value] of Object.entries(error.headers)) headers.set(name, value);
  }
  if (status === 401) headers.set("www-authenticate", "Bearer");
  if (status === 503) headers.set("retry-after", String(RETRY_SECONDS));
  return new Response(JSON.stringify(problemOf(error, requestId)), { status, headers });
}

/** For `app.onError`: every error of a handler becomes a problem. */
export function answerProblem(error: unknown, context: Context): Response {
  // Whatever the work of a client that is gone ends with, it is no mistake of the server's.
  const gone = !(error instanceof EtherError) && context.req.raw.signal.aborted;
  const reason = gone ? new EtherError("interrupted", "the client went away", { cause: error }) : error;
  return problemResponse(reason, context.get("requestId"));
}
