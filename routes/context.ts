/** What all routes of one app share, and what a request carries from middleware to handler. */
import type { Repositories } from "../runtime/repositories/repositories.ts";
import type { AccessRules, Caller } from "./access/tokens.ts";
import type { ByteBudget } from "./access/budget.ts";
import type { RequestRecord } from "./observe/request_record.ts";
import type { Metrics } from "./observe/metrics.ts";
import type { Log } from "./observe/log.ts";

/** Fetches the two files of an adapter from a reference such as `hf://owner/repo@revision`, on an allowed host. */
export type OpenRemoteAdapter = (
  source: string,
  signal?: AbortSignal,
) => Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>>;

/** One app's. */
export interface RouteContext {
  readonly repositories: Repositories;
  readonly access: AccessRules;
  readonly budget: ByteBudget;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Absent: adapters cannot be put by reference. */
  readonly openRemoteAdapter?: OpenRemoteAdapter | undefined;
  /** Bytes of this process, where the host can tell. */
  readonly memoryUsage?: (() => { readonly rss: number; readonly heapUsed: number }) | undefined;
  /** See {@link AppOptions.releaseChunks}. */
  readonly releaseChunks: boolean;
  /** The app's URL as clients see it, without its last slash, where that is not what the requests say. */
  readonly publicUrl?: string | undefined;
  readonly limits: RouteLimits;
}

/** What a request may bring and take. */
export interface RouteLimits {
  /** Bytes of a JSON body. */
  readonly jsonBytes: number;
  /** Bytes of each of an adapter's files when it is put. */
  readonly adapterBytes: number;
  /** Bytes of the activations of one apply, and of its answer. */
  readonly applyBytes: number;
  /** Milliseconds until a body must be there. */
  readonly bodyMilliseconds: number;
}

/** Used where nothing else is said. */
export const DEFAULT_LIMITS: RouteLimits = {
  jsonBytes: 256 * 1024,
  adapterBytes: 64 * 1024 * 1024,
  applyBytes: 32 * 1024 * 1024,
  bodyMilliseconds: 60_000,
};

/** Hono's environment of every route. */
export interface RouteEnv {
  Variables: {
    /** Echoed as `X-Request-Id`. */
    requestId: string;
    /** Who asks. */
    caller: Caller;
    /** What is logged of the request; a handler says its route's pattern and its stream's bytes there. */
    record: RequestRecord;
  };
}
