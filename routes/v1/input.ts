/** Reads what a request brings, and checks it against the schema that its document shows. */
import type { Context } from "hono";
import type * as z from "zod/mini";
import { EtherError } from "../../runtime/error.ts";
import { parseJson } from "../../runtime/json/parse.ts";
import { toPlain } from "../../runtime/json/plain.ts";
import { quote } from "../../runtime/json/quote.ts";
import { readBody } from "../access/body.ts";
import type { RouteContext, RouteEnv } from "../context.ts";
import { RequestError } from "../problem.ts";

/**
 * The query, each name at most once; names that the schema does not have are ignored, as they are everywhere.
 *
 * @throws {RequestError} 400
 */
export function readQuery<T extends z.ZodMiniType>(context: Context, schema: T): z.output<T> {
  const values: Record<string, string> = {};
  for (const [name, found] of Object.entries(context.req.queries())) {
    if (found.length > 1) throw new RequestError(400, "usage", "given more than once", { field: name });
    values[name] = found[0]!;
  }
  const result = schema.safeParse(values);
  if (result.success) return result.data;
  const { field, message } = firstIssue(result.error.issues);
  throw new RequestError(400, "usage", message, { field });
}

/**
 * A JSON body: strict JSON, then the schema.
 *
 * @throws {EtherError} 400 and 422 `usage`, 415, `too_large`, `timed_out`, `busy`; `bad_recipe` for what is wrong with a
 * list of adapters
 */
export async function readJson<T extends z.ZodMiniType>(
  context: Context<RouteEnv>,
  schema: T,
  { budget, limits }: RouteContext,
): Promise<z.output<T>> {
  requireType(context, ["application/json"]);
  const held = await readBody(
    context.req.raw,
    { maxBytes: limits.jsonBytes, milliseconds: limits.bodyMilliseconds },
    budget,
  );
  try {
    const result = schema.safeParse(toPlain(parseJson(held.bytes, "usage", "the body")));
    if (result.success) return result.data;
    const { field, message } = firstIssue(result.error.issues);
    const code = /^adapters(\[|$)/.test(field) ? "bad_recipe" : "usage";
    throw new RequestError(422, code, message, { field });
  } finally {
    held.reservation.release();
  }
}

/** @throws {RequestError} 415 */
export function requireType(context: Context, types: readonly string[]): string {
  const header = context.req.header("content-type") ?? "";
  const type = header.split(";", 1)[0]!.trim().toLowerCase();
  if (types.includes(type)) return type;
  const message = type === "" ? "the body has no Content-Type" : `the Content-Type is ${quote(type)}`;
  throw new RequestError(415, "usage", message, { field: "Content-Type", hint: `send ${types.join(" or ")}` });
}

/** What is absent, or out of the caller's sight: both look the same. */
export function noAdapter(id: string): EtherError {
  return new EtherError("not_found", `no adapter ${quote(id)}`, { hint: "GET /v1/adapters lists them" });
}

/** A base that is not there. */
export function noBase(id: string): EtherError {
  return new EtherError("not_found", `no base ${quote(id)}`, { field: "base", hint: "GET /v1/models lists them" });
}

function firstIssue(issues: readonly z.core.$ZodIssue[]): { field: string; message: string } {
  const { path, message } = issues[0]!;
  const field = path.map((key) => typeof key === "number" ? `[${key}]` : `.${String(key)}`).join("").replace(/^\./, "");
  return { field: field === "" ? "the body" : field, message };
}
