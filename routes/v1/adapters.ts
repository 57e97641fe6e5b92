/** `GET /v1/adapters`, one adapter, and its files. */
import type { Context } from "hono";
import { type AdapterLayer, adapterLayers } from "../../runtime/analysis/adapter_layers.ts";
import { sha256Hex } from "../../runtime/io/digest.ts";
import { quote } from "../../runtime/json/quote.ts";
import { EtherError } from "../../runtime/error.ts";
import { isAdapterId } from "../../runtime/recipes/recipe.ts";
import type { AdapterSummary, OpenedAdapter } from "../../runtime/repositories/repositories.ts";
import type { ByteRange } from "../../runtime/repositories/repository.ts";
import type { RouteContext, RouteEnv } from "../context.ts";
import { answerFile } from "../files/answer_file.ts";
import { noAdapter } from "./input.ts";
import type { AdapterDetailsBody, AdapterListBody } from "./schemas.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const PIECE_BYTES = 1024 * 1024;
/** Adapters whose layers are kept: reading a large one's vectors takes longer than answering. */
const KEPT_LAYERS = 64;

const layersByDigest = new WeakMap<RouteContext, Map<string, Promise<readonly AdapterLayer[]>>>();

/** Every adapter that the caller may see, the broken ones with what is wrong with them. */
export async function listAdapters(
  context: Context<RouteEnv>,
  { repositories }: RouteContext,
): Promise<AdapterListBody> {
  const { visible } = context.get("caller");
  const data = (await repositories.adapters(visible)).map((summary) => {
    if (summary.error === null) return summaryBody(summary);
    const { code, message } = summary.error;
    return { id: summary.id, object: "adapter" as const, base: summary.base, error: { code, message } };
  });
  return { object: "list", data };
}

/** One adapter, and what it does to each layer from its vectors alone. */
export async function describeAdapter(
  context: Context<RouteEnv>,
  id: string,
  routes: RouteContext,
): Promise<{ etag: string; body: AdapterDetailsBody }> {
  const opened = await openAdapter(context, id, routes);
  const { summary, description, files } = opened;
  const layers = await layersOf(opened, routes);
  const body: AdapterDetailsBody = {
    ...summaryBody(summary),
    facts: { ...description.facts },
    warnings: [...description.warnings],
    files: await Promise.all([...files].map(async ([path, bytes]) => {
      return { path, size: bytes.byteLength, etag: await sha256Hex(bytes) };
    })),
    layers: layers.map(({ module, sides }) => ({
      module,
      sides: sides.map(({ side, dimension, distance, blockDistances, angles }) => ({
        ...{ side, dimension, num_blocks: blockDistances.length, distance, angle: angles },
        block_distance: {
          mean: blockDistances.reduce((sum, one) => sum + one, 0) / blockDistances.length,
          max: blockDistances.reduce((most, one) => Math.max(most, one), 0),
        },
      })),
    })),
  };
  return { etag: `"${summary.digest}"`, body };
}

/** A file of an adapter, whole or by ranges. */
export async function sendAdapterFile(
  context: Context<RouteEnv>,
  id: string,
  path: string,
  routes: RouteContext,
): Promise<Response> {
  const { files } = await openAdapter(context, id, routes);
  const bytes = files.get(path);
  if (bytes === undefined) throw new EtherError("not_found", `the adapter has no file ${quote(path)}`);
  const etag = await sha256Hex(bytes);
  const file = { path, size: bytes.byteLength, etag, open: (range: ByteRange) => piecesOf(bytes, range) };
  return answerFile(context, routes, file, { "cache-control": "no-cache" });
}

/** What a list says of an adapter that is whole. */
export function summaryBody({ id, base, digest, peftType, parameters, byteLength }: AdapterSummary) {
  return { id, object: "adapter" as const, base, digest, peft_type: peftType, parameters, bytes: byteLength };
}

async function openAdapter(
  context: Context<RouteEnv>,
  id: string,
  { repositories }: RouteContext,
): Promise<OpenedAdapter> {
  const opened = isAdapterId(id) ? await repositories.adapter(id, context.get("caller").visible) : null;
  if (opened === null) throw noAdapter(id);
  return opened;
}

function layersOf({ summary, adapter, openSource }: OpenedAdapter, routes: RouteContext) {
  const known = layersByDigest.get(routes) ?? new Map<string, Promise<readonly AdapterLayer[]>>();
  layersByDigest.set(routes, known);
  const { digest } = summary;
  const layers = known.get(digest) ?? adapterLayers(adapter, openSource);
  known.delete(digest);
  known.set(digest, layers);
  if (known.size > KEPT_LAYERS) known.delete(known.keys().next().value!);
  // What failed may succeed another time.
  layers.catch(() => known.get(digest) === layers && known.delete(digest));
  return layers;
}

/** Copies, as whoever gets a chunk may take its buffer. */
function piecesOf(bytes: Bytes, { start, end }: ByteRange): ReadableStream<Bytes> {
  let at = start;
  return new ReadableStream<Bytes>({
    pull(controller) {
      if (at === end) return controller.close();
      const next = Math.min(end, at + PIECE_BYTES);
      controller.enqueue(bytes.slice(at, next));
      at = next;
    },
  }, { highWaterMark: 0 });
}
