/** Answers GET and HEAD on a file whose bytes may not exist yet: whole, by ranges, and under conditions. */
import type { Context } from "hono";
import type { ByteRange } from "../../runtime/repositories/repository.ts";
import type { RouteContext, RouteEnv } from "../context.ts";
import { RequestError } from "../problem.ts";
import { chooseRanges } from "./byte_ranges.ts";
import { contentDisposition, mediaTypeOf } from "./media_type.ts";
import { multipartOf } from "./multipart.ts";
import { judgePreconditions, rangeApplies } from "./preconditions.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A file as it is served. */
export interface ServedFile {
  /** Its path; the name and the type are taken from it. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Strong, without quotes. */
  readonly etag: string;
  /** Bytes that a stream of it holds, where that is more than 1 MiB. */
  readonly pieceByteLength?: number | undefined;
  /**
   * Exactly the bytes of a range, computed as they are read; nothing is done before the first pull. Each chunk is in
   * memory of its own, that nobody else reads.
   */
  open(range: ByteRange): ReadableStream<Bytes>;
}

/** The status, headers and body that a request gets; nothing is opened yet. */
export interface FilePlan {
  readonly status: 200 | 206 | 304;
  readonly headers: Headers;
  /** Null where the answer has none. */
  readonly body: { readonly byteLength: number; open(): ReadableStream<Bytes> } | null;
}

/**
 * Decides the answer, in the order of RFC 9110, section 13.2.2.
 *
 * @throws {RequestError} 412, 416
 */
export function planFile(method: string, request: Headers, file: ServedFile): FilePlan {
  const headers = new Headers({ "etag": `"${file.etag}"`, "accept-ranges": "bytes" });
  const verdict = judgePreconditions(request, file.etag);
  if (verdict === "failed") {
    throw new RequestError(412, "usage", "the file has another entity tag", { field: "If-Match" });
  }
  if (verdict === "not-modified") return { status: 304, headers, body: null };

  const type = mediaTypeOf(file.path);
  headers.set("content-disposition", contentDisposition(file.path));
  headers.set("content-type", type);
  // A Range has no meaning for HEAD.
  const ranged = method === "GET" && rangeApplies(request, file.etag);
  const choice = chooseRanges(ranged ? request.get("range") : null, file.size);
  if (choice.kind === "unsatisfiable") {
    throw new RequestError(416, "usage", `the file has ${file.size} bytes`, {
      field: "Range",
      headers: { "content-range": `bytes */${file.size}`, "accept-ranges": "bytes" },
    });
  }
  if (choice.kind === "whole") {
    headers.set("content-length", String(file.size));
    // Clients that ask for the first byte learn the size from here; of an answer with status 200 it means nothing else.
    if (file.size === 0 && ranged && request.has("range")) headers.set("content-range", "bytes */0");
    if (method !== "GET") return { status: 200, headers, body: null };
    return { status: 200, headers, body: bodyOf({ start: 0, end: file.size }, file) };
  }
  if (choice.parts.length === 1) {
    const range = choice.parts[0]!;
    headers.set("content-length", String(range.end - range.start));
    headers.set("content-range", `bytes ${range.start}-${range.end - 1}/${file.size}`);
    return { status: 206, headers, body: bodyOf(range, file) };
  }
  const multipart = multipartOf(choice.parts, type, file.size, (range) => file.open(range));
  headers.set("content-length", String(multipart.byteLength));
  headers.set("content-type", multipart.contentType);
  return { status: 206, headers, body: multipart };
}

/**
 * Answers a request for a file. The stream holds one piece's bytes of the budget until it ends; a byte too many or too
 * few breaks the connection, so that no client takes a damaged file for a whole one.
 *
 * @param headers  what the answer has beside those of the file
 * @throws {EtherError} `busy`; {@link RequestError} 412, 416
 */
export function answerFile(
  context: Context<RouteEnv>,
  { budget, releaseChunks }: Pick<RouteContext, "budget" | "releaseChunks">,
  file: ServedFile,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const plan = planFile(context.req.method, context.req.raw.headers, file);
  for (const [name, value] of Object.entries(headers)) plan.headers.set(name, value);
  // Deno turns a null body of a GET into one of no bytes; that of a HEAD keeps the length that is said.
  if (plan.body === null || plan.body.byteLength === 0) return new Response(null, plan);
  const { byteLength } = plan.body;
  const reservation = budget.reserveStream(byteLength, file.pieceByteLength);
  const stream = context.get("record").stream(plan.body.open(), { reservation, byteLength, releaseChunks });
  return new Response(stream, plan);
}

function bodyOf(range: ByteRange, file: ServedFile) {
  return { byteLength: range.end - range.start, open: () => file.open(range) };
}
