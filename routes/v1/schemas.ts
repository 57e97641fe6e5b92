/** The JSON of `/v1`: what requests are checked against, what answers are described by. */
import * as z from "zod/mini";
import { ERROR_CODES, type ErrorCode } from "../../runtime/error.ts";

const CODES = Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]];

// Messages of checks; without them zod/mini says "Invalid input" to everything.
z.config(z.locales.en());

const SHA256 = z.string().check(z.regex(/^[0-9a-f]{64}$/));
const COMMIT = z.string().check(z.regex(/^[0-9a-f]{40}$/));
const COUNT = z.int().check(z.gte(0));

/** The id of a repository: `name` or `org/name`. */
export const RepositoryId = z.string().check(
  z.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}(\/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95})?$/),
);

/** The id of an adapter: what a recipe calls it. */
export const AdapterId = z.string().check(
  z.regex(/^(?!(?:main|HEAD|[0-9a-fA-F]{40})$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/),
);

/** The values that a recipe's decimal can have: two digits before the point, four after it. */
const Strength = z.number().check(
  z.gte(-99.9999),
  z.lte(99.9999),
  z.refine((value) => Math.round(value * 10_000) / 10_000 === value, "more than four decimals"),
);

/** `GET /v1/models`. */
export const ModelList = z.object({
  object: z.literal("list"),
  data: z.array(z.object({
    id: RepositoryId,
    object: z.literal("model"),
    /** Null while the identity of its files is being computed, or where it cannot be. */
    commit: z.nullable(COMMIT),
  })),
});

const AdapterSummary = z.object({
  id: AdapterId,
  object: z.literal("adapter"),
  base: z.nullable(RepositoryId),
  digest: SHA256,
  peft_type: z.string(),
  parameters: COUNT,
  bytes: COUNT,
});

const BrokenAdapter = z.object({
  id: AdapterId,
  object: z.literal("adapter"),
  base: z.nullable(RepositoryId),
  error: z.object({ code: z.string(), message: z.string() }),
});

/** `GET /v1/adapters`. */
export const AdapterList = z.object({
  object: z.literal("list"),
  data: z.array(z.union([AdapterSummary, BrokenAdapter])),
});

const MeanAndMax = z.object({ mean: z.number(), max: z.number() });

const LayerSide = z.object({
  side: z.enum(["in", "out"]),
  dimension: COUNT,
  num_blocks: COUNT,
  /** The Frobenius norm of H − I. */
  distance: z.number(),
  block_distance: MeanAndMax,
  /** Degrees between u and v; null without v. */
  angle: z.nullable(z.object({ mean: z.number(), min: z.number(), max: z.number() })),
});

/** `GET /v1/adapters/{id}`. */
export const AdapterDetails = z.extend(AdapterSummary, {
  facts: z.record(z.string(), z.unknown()),
  warnings: z.array(z.string()),
  files: z.array(z.object({ path: z.string(), size: COUNT, etag: z.string() })),
  layers: z.array(z.object({ module: z.string(), sides: z.array(LayerSide) })),
});

/** `PUT /v1/adapters/{id}` with a reference. */
export const AdapterSource = z.strictObject({ source: z.string().check(z.minLength(1), z.maxLength(2048)) });

/** `PUT /v1/adapters/{id}` with the files themselves; how each is checked is the adapter reader's business. */
export const AdapterFiles = z.object({ "adapter_config.json": z.unknown(), "adapter_model.safetensors": z.unknown() });

/** What `PUT /v1/adapters/{id}` answers. */
export const StoredAdapter = z.extend(AdapterSummary, {
  /** How much of the adapter's fingerprint of its base was compared. */
  fingerprint: z.enum(["none", "structure", "targets"]),
});

/** `POST /v1/merges`. */
export const MergeRequest = z.strictObject({
  base: RepositoryId,
  adapters: z.array(z.strictObject({ id: AdapterId, strength: z.optional(Strength) })).check(z.maxLength(16)),
});

/** What `POST /v1/merges` answers. */
export const MergeAnswer = z.object({
  repo: RepositoryId,
  revision: z.string(),
  commit: COMMIT,
  files: z.array(z.object({ path: z.string(), size: COUNT, etag: z.string() })),
});

/** The query of `PUT /v1/adapters/{id}`. */
export const PutQuery = z.object({ base: RepositoryId });

/** The query of `POST /v1/apply`. */
export const ApplyQuery = z.object({
  base: RepositoryId,
  op: z.enum(["in", "out", "linear"]),
  /** Ids in order of application, each with `@strength` where it is not 1. */
  adapters: z._default(z.string().check(z.maxLength(8192)), ""),
});

/** `GET /readyz`. */
export const Readiness = z.object({
  ready: z.boolean(),
  models: COUNT,
  identified: COUNT,
  failed: COUNT,
  /** Only for readers. */
  errors: z.optional(z.array(z.object({ id: RepositoryId, code: z.enum(CODES) }))),
  /** Who computes `linear`, and why; only for readers. */
  apply: z.optional(z.object({ backend: z.enum(["wasm", "typescript", "webgpu"]), reason: z.string() })),
});

/** Every error outside the Hub routes. */
export const ProblemDocument = z.object({
  type: z.literal("about:blank"),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.optional(z.enum(CODES)),
  file: z.optional(z.string()),
  tensor: z.optional(z.string()),
  field: z.optional(z.string()),
  hint: z.optional(z.string()),
  request_id: z.optional(z.string()),
});

/** What a script sends and gets. */
export type ModelListBody = z.output<typeof ModelList>;
export type AdapterListBody = z.output<typeof AdapterList>;
export type AdapterDetailsBody = z.output<typeof AdapterDetails>;
export type StoredAdapterBody = z.output<typeof StoredAdapter>;
export type MergeRequestBody = z.input<typeof MergeRequest>;
export type MergeAnswerBody = z.output<typeof MergeAnswer>;
export type ApplyQueryText = z.input<typeof ApplyQuery>;
export type PutQueryText = z.input<typeof PutQuery>;
export type ReadinessBody = z.output<typeof Readiness>;
