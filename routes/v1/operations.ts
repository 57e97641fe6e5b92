/** What `/v1` and the routes beside it take and answer, as a table: the document is made of it. */
import type { Answer, Operation } from "../openapi/operation.ts";
import * as schemas from "./schemas.ts";

const SAFETENSORS = [{ type: "application/octet-stream" }];
const DIGEST = "3f6c1f0a9f2b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

const SUMMARY = {
  ...{
    id: "poet",
    object: "adapter",
    base: "tiny",
    digest: DIGEST,
    peft_type: "ETHER",
    parameters: 6144,
    bytes: 26184,
  },
};

const FILES = [{ path: "model.safetensors", size: 1048576, etag: `eth1-${COMMIT}` }];

function json(description: string, schema: Answer["content"] extends undefined ? never : unknown, example: unknown) {
  return { description, content: [{ type: "application/json", schema: schema as never, example }] };
}

const CONDITIONS = {
  "If-Match": "Only where the adapter still has this entity tag.",
  "If-None-Match": "`*`: only where there is no such adapter.",
};

/** The operations under `/v1`. */
export const V1_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: "listModels", method: "get", path: "/v1/models", tag: "models", access: "read" },
    summary: "Every base",
    answers: {
      200: json("The bases, by id.", schemas.ModelList, {
        object: "list",
        data: [{ id: "tiny", object: "model", commit: COMMIT }, { id: "org/large", object: "model", commit: null }],
      }),
    },
    errors: [],
  },
  {
    ...{ id: "listAdapters", method: "get", path: "/v1/adapters", tag: "adapters", access: "read" },
    summary: "Every adapter that the caller may see",
    answers: {
      200: json("The adapters, by id; broken ones with what is wrong with them.", schemas.AdapterList, {
        object: "list",
        data: [SUMMARY, {
          ...{ id: "torn", object: "adapter", base: null },
          error: { code: "missing_param", message: "no tensor ether_u_in" },
        }],
      }),
    },
    errors: [],
  },
  {
    ...{ id: "getAdapter", method: "get", path: "/v1/adapters/{id}", tag: "adapters", access: "read" },
    summary: "An adapter, and what it does to each layer",
    params: { id: schemas.AdapterId },
    headers: { "If-None-Match": "Entity tags that the caller has." },
    answers: {
      200: {
        ...json("The adapter; distances and angles are those of its vectors alone.", schemas.AdapterDetails, {
          ...SUMMARY,
          facts: { strength: 1, variant: "etherplus", sides: ["in"], num_blocks: 4, layout: "paper" },
          warnings: [],
          files: [{ path: "adapter_model.safetensors", size: 25984, etag: DIGEST }],
          layers: [{
            module: "model.layers.0.self_attn.q_proj",
            sides: [{
              ...{ side: "in", dimension: 192, num_blocks: 4, distance: 1.2 },
              block_distance: { mean: 0.59, max: 0.7 },
              angle: { mean: 24.5, min: 19.1, max: 29.9 },
            }],
          }],
        }),
        headers: { ETag: "Of the adapter's digest." },
      },
      304: { description: "The caller has it." },
    },
    errors: [404, 422],
  },
  {
    ...{ id: "putAdapter", method: "put", path: "/v1/adapters/{id}", tag: "adapters", access: "write" },
    summary: "Store an adapter",
    description: "It is held against its base as a merge would, and is visible as a whole or not at all.",
    params: { id: schemas.AdapterId },
    query: schemas.PutQuery,
    headers: CONDITIONS,
    body: [
      { type: "multipart/form-data", schema: schemas.AdapterFiles },
      {
        ...{ type: "application/json", schema: schemas.AdapterSource },
        example: { source: "hf://owner/adapter@main" },
      },
    ],
    answers: {
      200: json("It takes the place of another.", schemas.StoredAdapter, { ...SUMMARY, fingerprint: "targets" }),
      201: json("It is new.", schemas.StoredAdapter, { ...SUMMARY, fingerprint: "none" }),
    },
    errors: [400, 404, 408, 409, 412, 413, 415, 422, 502, 503],
  },
  {
    ...{ id: "deleteAdapter", method: "delete", path: "/v1/adapters/{id}", tag: "adapters", access: "write" },
    summary: "Remove an adapter",
    params: { id: schemas.AdapterId },
    headers: { "If-Match": CONDITIONS["If-Match"] },
    answers: { 204: { description: "It is gone; downloads under way end or break, and never mix." } },
    errors: [404, 409, 412],
  },
  {
    ...{ id: "getAdapterFile", method: "get", path: "/v1/adapters/{id}/files/{path}", tag: "adapters", access: "read" },
    summary: "A file of an adapter",
    params: { id: schemas.AdapterId },
    headers: {
      "Range": "Bytes, one range or several.",
      "If-Range": "The range only of the file that has this entity tag.",
      "If-None-Match": "Entity tags that the caller has.",
    },
    answers: {
      200: { description: "The whole file.", content: SAFETENSORS, headers: { ETag: "SHA-256 of the file." } },
      206: {
        description: "The range.",
        content: SAFETENSORS,
        headers: { "Content-Range": "Which bytes, of how many." },
      },
      304: { description: "The caller has it." },
    },
    errors: [404, 412, 416, 503],
  },
  {
    ...{ id: "createMerge", method: "post", path: "/v1/merges", tag: "merging", access: "read" },
    summary: "A base with adapters, as the repository that it already is",
    description: "Nothing is computed or stored: the files' bytes come from `/{repo}/resolve/{commit}/{path}`.",
    body: [{
      ...{ type: "application/json", schema: schemas.MergeRequest },
      example: { base: "tiny", adapters: [{ id: "poet", strength: 0.5 }, { id: "brief" }] },
    }],
    answers: {
      200: json("The repository.", schemas.MergeAnswer, {
        ...{ repo: "tiny", revision: "poet@0.5+brief", commit: COMMIT, files: FILES },
      }),
    },
    errors: [400, 404, 408, 413, 415, 422, 503],
  },
  {
    ...{ id: "apply", method: "post", path: "/v1/apply", tag: "merging", access: "read" },
    summary: "Adapters on activations",
    description:
      "The body is a safetensors file: `<module>` [tokens, dimension] in F32, F16 or BF16, and where tokens " +
      "have adapters of their own `<module>.rows` I32 [tokens], indexes of `adapters` or −1 for none. " +
      "The answer has the same modules, F32. At most 16 adapters where a module has no rows, else 256.",
    query: schemas.ApplyQuery,
    body: SAFETENSORS,
    answers: { 200: { description: "A safetensors file.", content: SAFETENSORS } },
    errors: [400, 404, 408, 413, 415, 422, 503],
  },
];

const TEXT = [{ type: "text/plain" }];

/** How the server is. */
export const STATE_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: "isAlive", method: "get", path: "/healthz", tag: "state", access: "open" },
    summary: "The process answers",
    answers: { 200: { description: "It does.", content: TEXT } },
    errors: [],
  },
  {
    ...{ id: "isReady", method: "get", path: "/readyz", tag: "state", access: "open" },
    summary: "Every base can be served",
    answers: {
      200: json("They can, but those that failed.", schemas.Readiness, {
        ...{ ready: true, models: 2, identified: 1, failed: 1 },
        errors: [{ id: "torn", code: "bad_header" }],
        apply: { backend: "wasm", reason: "WebGPU finds no adapter" },
      }),
      503: json("Identities are still being computed.", schemas.Readiness, {
        ...{ ready: false, models: 2, identified: 1, failed: 0 },
      }),
    },
    errors: [],
  },
  {
    ...{ id: "getMetrics", method: "get", path: "/metrics", tag: "state", access: "read" },
    summary: "Numbers for Prometheus",
    answers: { 200: { description: "Text 0.0.4.", content: TEXT } },
    errors: [],
  },
];
