/** `PUT` and `DELETE /v1/adapters/{id}`. */
import type { Context } from "hono";
import { type ErrorCode, EtherError } from "../../runtime/error.ts";
import { quote } from "../../runtime/json/quote.ts";
import { readBody } from "../access/body.ts";
import { requireWrite } from "../access/tokens.ts";
import type { RouteContext, RouteEnv } from "../context.ts";
import { RequestError } from "../problem.ts";
import { summaryBody } from "./adapters.ts";
import { noAdapter, noBase, readJson, readQuery, requireType } from "./input.ts";
import { AdapterId, AdapterSource, PutQuery, type StoredAdapterBody } from "./schemas.ts";
import { Turns } from "./turns.ts";

type Files = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

const CONFIG = "adapter_config.json";
const TENSORS = "adapter_model.safetensors";
/** A config, the headers of the parts, and the borders between them. */
const MULTIPART_BYTES = 1024 * 1024;

/** Codes of errors that a host elsewhere is to blame for. */
const UPSTREAM: readonly ErrorCode[] = ["io_error", "timed_out", "source_changed"];

/** Writers of one process, so that a condition still holds when the adapter is replaced. */
const turns = new WeakMap<RouteContext, Turns>();

/** Validates an adapter against its base and stores it; visible as a whole, or not at all. */
export async function putAdapter(
  context: Context<RouteEnv>,
  id: string,
  routes: RouteContext,
): Promise<{ created: boolean; etag: string; body: StoredAdapterBody }> {
  const { repositories } = routes;
  const caller = context.get("caller");
  requireWrite(caller);
  if (!AdapterId.safeParse(id).success) {
    const hint = "letters, digits, '.', '_' and '-', at most 64; not main, HEAD, or 40 hex digits";
    throw new RequestError(400, "usage", `${quote(id)} is no name for an adapter`, { field: "id", hint });
  }
  if (!caller.writable(id)) throw new EtherError("forbidden", `the token does not allow to write ${quote(id)}`);
  const query = readQuery(context, PutQuery);
  const base = await repositories.base(query.base);
  if (base === null) throw noBase(query.base);
  const { signal } = context.req.raw;
  const { files, release } = await readFiles(context, routes);
  try {
    return await turnsOf(routes).take(id, async () => {
      await checkConditions(context, id, routes);
      const { outcome, summary, fingerprint } = await repositories.put(id, base, files, signal);
      const body = { ...summaryBody(summary), fingerprint };
      return { created: outcome === "created", etag: `"${summary.digest}"`, body };
    });
  } finally {
    release();
  }
}

/** @throws {EtherError} `not_found` also where the caller may not see it */
export async function deleteAdapter(context: Context<RouteEnv>, id: string, routes: RouteContext): Promise<void> {
  const caller = context.get("caller");
  requireWrite(caller);
  if (!AdapterId.safeParse(id).success || !caller.writable(id)) throw noAdapter(id);
  await turnsOf(routes).take(id, async () => {
    await checkConditions(context, id, routes);
    if (!await routes.repositories.remove(id)) throw noAdapter(id);
  });
}

function turnsOf(routes: RouteContext): Turns {
  const known = turns.get(routes) ?? new Turns();
  turns.set(routes, known);
  return known;
}

/** `If-Match` against a lost update, `If-None-Match: *` to create only. @throws {RequestError} 412 */
async function checkConditions(context: Context, id: string, { repositories }: RouteContext): Promise<void> {
  const ifMatch = context.req.header("if-match");
  const ifNoneMatch = context.req.header("if-none-match");
  if (ifMatch === undefined && ifNoneMatch === undefined) return;
  const found = (await repositories.adapters()).find((one) => one.id === id);
  const etag = found === undefined || found.error !== null ? null : `"${found.digest}"`;
  const named = (header: string) => {
    const tags = header.split(",").map((tag) => tag.trim());
    return tags.includes("*") ? found !== undefined : etag !== null && tags.includes(etag);
  };
  if (ifMatch !== undefined && !named(ifMatch)) {
    throw new RequestError(412, "usage", "the adapter is not the one of If-Match", { field: "If-Match" });
  }
  if (ifNoneMatch !== undefined && named(ifNoneMatch)) {
    throw new RequestError(412, "usage", "the adapter is there already", { field: "If-None-Match" });
  }
}

async function readFiles(context: Context<RouteEnv>, routes: RouteContext): Promise<{ files: Files; release(): void }> {
  const type = requireType(context, ["multipart/form-data", "application/json"]);
  if (type === "application/json") {
    const { source } = await readJson(context, AdapterSource, routes);
    if (routes.openRemoteAdapter === undefined) {
      const hint = "send the two files as multipart/form-data";
      throw new EtherError("unsupported", "this server fetches no adapters", { field: "source", hint });
    }
    const reservation = routes.budget.reserve(routes.limits.adapterBytes);
    try {
      const files = await routes.openRemoteAdapter(source, context.req.raw.signal);
      return { files, release: () => reservation.release() };
    } catch (error) {
      reservation.release();
      throw upstreamError(error);
    }
  }
  const { adapterBytes, bodyMilliseconds } = routes.limits;
  const limits = { maxBytes: adapterBytes + MULTIPART_BYTES, milliseconds: bodyMilliseconds };
  const { bytes, reservation } = await readBody(context.req.raw, limits, routes.budget);
  try {
    // The parts are copies.
    reservation.grow(bytes.byteLength);
    const files = await partsOf(bytes, context.req.header("content-type")!, adapterBytes);
    return { files, release: () => reservation.release() };
  } catch (error) {
    reservation.release();
    throw error;
  }
}

/** What a host elsewhere does wrong is no fault of this server, and none of the client's. */
function upstreamError(error: unknown): unknown {
  if (!(error instanceof EtherError) || !UPSTREAM.includes(error.code)) return error;
  const { code, message, file, tensor, field, hint } = error;
  return new RequestError(502, code, message, { file, tensor, field, hint, cause: error.cause });
}

async function partsOf(bytes: Uint8Array<ArrayBuffer>, contentType: string, maxBytes: number): Promise<Files> {
  const fail = (message: string): never => {
    const hint = `send two files, the parts ${CONFIG} and ${TENSORS}`;
    throw new RequestError(400, "usage", message, { field: "the body", hint });
  };
  const form = await new Response(bytes, { headers: { "content-type": contentType } }).formData().catch(() => {
    return fail("the body is no multipart/form-data");
  });
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [name, part] of form) {
    if (name !== CONFIG && name !== TENSORS) fail(`a part ${quote(name)} has no use`);
    if (files.has(name)) fail(`more than one part ${name}`);
    // A part without a file name was decoded as text, and is not what was sent.
    if (typeof part === "string") return fail(`the part ${name} has no file name`);
    if (part.size > maxBytes) throw new EtherError("too_large", `more than ${maxBytes} bytes`, { file: name });
    files.set(name, new Uint8Array(await part.arrayBuffer()));
  }
  for (const name of [CONFIG, TENSORS]) {
    if (!files.has(name)) fail(`no part ${name}`);
  }
  return files;
}
