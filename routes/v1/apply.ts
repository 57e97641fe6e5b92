/** `POST /v1/apply`: adapters on activations, safetensors in and out. */
import type { Context } from "hono";
import { EtherError } from "../../runtime/error.ts";
import { quote } from "../../runtime/json/quote.ts";
import type { PreparedApply } from "../../runtime/apply/prepared_apply.ts";
import { checkLength, parseRecipe, type Recipe } from "../../runtime/recipes/recipe.ts";
import { encodeHeader } from "../../runtime/safetensors/write.ts";
import { readBody } from "../access/body.ts";
import type { Reservation } from "../access/budget.ts";
import type { RouteContext, RouteEnv } from "../context.ts";
import { type Activations, checkDimension, readActivations, widened } from "./apply_request.ts";
import { noAdapter, noBase, readQuery, requireType } from "./input.ts";
import { ApplyQuery } from "./schemas.ts";

/** What safetensors are sent as; the format has no registered type. */
export const SAFETENSORS_TYPES = [
  ...["application/octet-stream", "application/vnd.safetensors", "application/x-safetensors"],
] as const;

/** Adapters of one request: each is read and checked before the first token is. */
const MAX_ADAPTERS = 256;

type Op = "in" | "out" | "linear";

/** One tensor of the answer. */
interface Result {
  readonly name: string;
  readonly shape: readonly [number, number];
  readonly values: Float32Array<ArrayBuffer>;
}

/**
 * Applies adapters to all activations of the body, then answers: an answer is whole, or it is an error.
 *
 * @throws {EtherError} whatever is wrong with the request, the adapters, or their fit
 */
export async function applyAdapters(context: Context<RouteEnv>, routes: RouteContext): Promise<Response> {
  const { repositories, budget, limits } = routes;
  const { visible } = context.get("caller");
  const query = readQuery(context, ApplyQuery);
  requireType(context, SAFETENSORS_TYPES);
  const recipe = recipeOf(query.adapters);
  const base = await repositories.base(query.base);
  if (base === null) throw noBase(query.base);
  const { signal } = context.req.raw;
  const bodyLimits = { maxBytes: limits.applyBytes, milliseconds: limits.bodyMilliseconds };
  const { bytes, reservation } = await readBody(context.req.raw, bodyLimits, budget);
  try {
    const inputs = readActivations(bytes);
    // Without rows all of them apply to each token, one after the other: that is a recipe.
    if (inputs.some(({ rows }) => rows === null)) checkLength(recipe);
    const lease = await repositories.apply(base, recipe, visible, query.op === "linear" ? "linear" : "sides");
    if (lease === null) throw noAdapter(recipe[0]?.name ?? "");
    let results: Result[];
    try {
      const options = { op: query.op, signal, maxBytes: limits.applyBytes, reservation };
      results = await applyAll(lease.value, inputs, options);
    } finally {
      lease.release();
    }
    return answer(context, results, reservation);
  } catch (error) {
    reservation.release();
    throw error;
  }
}

/** `a,b@0.5`: like a recipe, but each part for itself, as a row may be for one of them alone. */
function recipeOf(text: string): Recipe {
  if (text === "") return [];
  const parts = text.split(",");
  if (parts.length > MAX_ADAPTERS) {
    const message = `${parts.length} adapters in one request are more than ${MAX_ADAPTERS}`;
    throw new EtherError("bad_recipe", message, { field: "adapters" });
  }
  return parts.map((part) => {
    const recipe = parseRecipe(part);
    if (recipe.length !== 1) {
      const message = `${quote(part)} is not one adapter`;
      throw new EtherError("bad_recipe", message, { field: "adapters", hint: "separate adapters by commas" });
    }
    return recipe[0]!;
  });
}

interface ApplyAllOptions {
  readonly op: Op;
  readonly signal: AbortSignal;
  /** Of the answer. */
  readonly maxBytes: number;
  readonly reservation: Reservation;
}

async function applyAll(
  apply: PreparedApply,
  inputs: readonly Activations[],
  { op, signal, maxBytes, reservation }: ApplyAllOptions,
): Promise<Result[]> {
  const outLength = (input: Activations) => {
    const dimensions = apply.dimensions(input.module);
    checkDimension(input, op === "out" ? dimensions.out : dimensions.in);
    return op === "linear" ? dimensions.out ?? 0 : input.dimension;
  };
  const planned = inputs.map((input) => ({ input, dimension: outLength(input) }));
  const byteLength = planned.reduce((sum, { input, dimension }) => sum + 4 * input.tokenCount * dimension, 0);
  if (byteLength > maxBytes) {
    const hint = "send fewer tokens at once";
    throw new EtherError("too_large", `the answer would have ${byteLength} bytes, above ${maxBytes}`, { hint });
  }
  // The answer, and one module's activations as f32.
  const widest = Math.max(0, ...planned.map(({ input }) => 4 * input.tokenCount * input.dimension));
  reservation.grow(byteLength + widest);
  const results: Result[] = [];
  for (const { input, dimension } of planned) {
    signal.throwIfAborted();
    const options = { signal, ...input.rows === null ? {} : { rows: input.rows } };
    const values = await apply[op](input.module, widened(input), options);
    results.push({ name: input.module, shape: [input.tokenCount, dimension], values });
  }
  return results;
}

/** The answer, tensor by tensor; each is let go of when it has been taken. */
function answer(context: Context<RouteEnv>, results: readonly Result[], reservation: Reservation): Response {
  const header = encodeHeader(
    results.map(({ name, shape, values }) => ({ name, shape, dtype: "F32", byteLength: values.byteLength })),
    null,
  );
  const byteLength = results.reduce((sum, { values }) => sum + values.byteLength, header.byteLength);
  const left = [header, ...results.map(({ values }) => littleEndian(values)).filter((bytes) => bytes.byteLength > 0)];
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      const bytes = left.shift();
      if (bytes === undefined) controller.close();
      else controller.enqueue(bytes);
    },
  }, { highWaterMark: 0 });
  const headers = {
    ...{ "content-type": "application/octet-stream", "content-length": String(byteLength) },
    "cache-control": "no-store",
  };
  return new Response(context.get("record").stream(body, { reservation, byteLength }), { headers });
}

/** WebAssembly made them, and its memory is little-endian: so is every host's that runs it. */
function littleEndian({ buffer, byteOffset, byteLength }: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
