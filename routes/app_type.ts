/**
 * The app's type, written out: what Hono's client knows of it. The handlers' own types are held against it, so that
 * neither can change without the other.
 */
import type { Hono } from "hono";
import type { JSONValue } from "hono/utils/types";
import type { ErrorCode } from "../runtime/error.ts";
import type { RouteEnv } from "./context.ts";

// Aliases, not interfaces: only an alias has the index signature that a schema of Hono's wants.

/** A route that answers JSON. */
type Json<Input, Output, Status extends number = 200> = {
  input: Input;
  output: Output;
  outputFormat: "json";
  status: Status;
};

/** A route that answers what is no JSON. */
type Body<Input, Output, Status extends number = 200> = {
  input: Input;
  output: Output;
  outputFormat: "body";
  status: Status;
};

/** A route whose answer is a stream or a file. */
type Bytes<Input> = {
  input: Input;
  output: object;
  outputFormat: string;
  status: 200;
};

/** The route has an adapter's id in its path. */
interface WithId {
  param: { id: string };
}

/** An adapter in the list. */
export interface AdapterEntry {
  /** What a recipe calls it. */
  id: string;
  object: "adapter";
  /** The repository that it was validated against. */
  base: string | null;
  /** Of its config and its tensors, hex. */
  digest: string;
  peft_type: string;
  /** Numbers in its tensors. */
  parameters: number;
  /** Bytes of its files. */
  bytes: number;
}

/** An adapter that cannot be opened. */
export interface BrokenAdapterEntry {
  /** What a recipe calls it. */
  id: string;
  object: "adapter";
  /** The repository that it was validated against. */
  base: string | null;
  /** What is wrong with it. */
  error: { code: string; message: string };
}

/** A file that can be downloaded. */
export interface FileEntry {
  path: string;
  /** Bytes. */
  size: number;
  etag: string;
}

/** What an adapter does on one side of a module. */
export interface SideEntry {
  side: "in" | "out";
  dimension: number;
  num_blocks: number;
  /** How far H lies from the identity. */
  distance: number;
  block_distance: { mean: number; max: number };
  /** Degrees between the pair of vectors; null where there is no pair. */
  angle: { mean: number; min: number; max: number } | null;
}

/** All about one adapter. */
export interface AdapterPage extends AdapterEntry {
  facts: { [name: string]: JSONValue };
  warnings: string[];
  files: FileEntry[];
  layers: { module: string; sides: SideEntry[] }[];
}

/** What came of a PUT. */
export interface PutAnswer extends AdapterEntry {
  /** How much of the adapter's fingerprint of its base was compared. */
  fingerprint: "none" | "structure" | "targets";
}

/** How a server is. */
export interface ReadyState {
  ready: boolean;
  models: number;
  identified: number;
  failed: number;
  /** What is wrong with each that cannot be served; only for readers. */
  errors?: { id: string; code: ErrorCode }[] | undefined;
  /** Who computes `linear`, and why; only for readers. */
  apply?: { backend: "wasm" | "typescript" | "webgpu"; reason: string } | undefined;
}

/** The input of a PUT. */
interface PutInput extends WithId {
  query: { base: string };
}

/** The routes that scripts call. */
export type AppSchema = {
  "/healthz": { $get: { input: object; output: "ok"; outputFormat: "text"; status: 200 } };
  "/readyz": { $get: Json<object, ReadyState> | Json<object, ReadyState, 503> };
  "/metrics": { $get: Body<object, string> };
  "/openapi.json": { $get: Body<object, string> };
  "/v1/models": {
    $get: Json<object, { object: "list"; data: { id: string; object: "model"; commit: string | null }[] }>;
  };
  "/v1/adapters": { $get: Json<object, { object: "list"; data: (AdapterEntry | BrokenAdapterEntry)[] }> };
  "/v1/adapters/:id": {
    $get: Json<WithId, AdapterPage>;
    $put: Json<PutInput, PutAnswer, 201> | Json<PutInput, PutAnswer>;
    $delete: Body<WithId, null, 204>;
  };
  "/v1/adapters/:id/files/:path{.+}": { $get: Bytes<{ param: { id: string; path: string } }> };
  "/v1/merges": {
    $post: Json<
      { json: { base: string; adapters: { id: string; strength?: number | undefined }[] } },
      { repo: string; revision: string; commit: string; files: FileEntry[] }
    >;
  };
  "/v1/apply": {
    $post: Bytes<{ query: { base: string; op: "in" | "out" | "linear"; adapters?: string | undefined } }>;
  };
};

/** The app's type, for `hc`. */
export type AppType = Hono<RouteEnv, AppSchema, "/">;
