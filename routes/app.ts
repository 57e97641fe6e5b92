/** The HTTP face: a Hub of models that are merged as they are read, an API beside it, and what a platform watches. */
import { Hono } from "hono";
import type { Repositories } from "../runtime/repositories/repositories.ts";
import { ByteBudget } from "./access/budget.ts";
import type { AppType } from "./app_type.ts";
import { type CrossOrigin, useAccess } from "./access/middleware.ts";
import type { TokenRule } from "./access/token_rules.ts";
import { AccessRules } from "./access/tokens.ts";
import {
  DEFAULT_LIMITS,
  type OpenRemoteAdapter,
  type RouteContext,
  type RouteEnv,
  type RouteLimits,
} from "./context.ts";
import { hubRoutes } from "./hub/app.ts";
import { observeRoutes } from "./observe/app.ts";
import type { Log } from "./observe/log.ts";
import { Metrics } from "./observe/metrics.ts";
import { openApiRoutes } from "./openapi/app.ts";
import { pageRoutes } from "./pages/app.ts";
import { answerProblem, problemResponse, RequestError } from "./problem.ts";
import { v1Routes } from "./v1/app.ts";

export type { AppSchema, AppType } from "./app_type.ts";

/** What an app is made of. */
export interface AppOptions {
  /** Bases and adapters. Whoever made them calls their `start`, and closes them. */
  readonly repositories: Repositories;
  /** Reading takes this token. @default everyone reads */
  readonly readToken?: string | undefined;
  /** Adapters are put and removed with this token. @default nobody writes */
  readonly writeToken?: string | undefined;
  /** Rules of more tokens. @default none */
  readonly tokens?: readonly TokenRule[] | undefined;
  /** Bytes that all requests together may hold in memory. @default 128 MiB */
  readonly maxBytes?: number | undefined;
  /** Which origins' scripts may read answers. @default all */
  readonly crossOrigin?: CrossOrigin | undefined;
  /** The URL by which clients see the app, where a proxy or `app.mount` takes a part of the path away. */
  readonly publicUrl?: string | undefined;
  /** Takes a line for each request. @default none are written */
  readonly log?: Log | undefined;
  /** Fetches an adapter from elsewhere. @default adapters cannot be put by reference */
  readonly openRemoteAdapter?: OpenRemoteAdapter | undefined;
  /** Bytes of this process. @default not measured */
  readonly memoryUsage?: RouteContext["memoryUsage"];
  /**
   * A file's chunk is taken out of memory as soon as the next one is asked for: streams are faster, and hold less. Only
   * where answers go to `Deno.serve` as they are, which has taken a chunk by then; whatever stands between and reads
   * ahead, a compressing middleware say, would find it empty. @default false
   */
  readonly releaseChunks?: boolean | undefined;
  /** What a request may bring and take. */
  readonly limits?: Partial<RouteLimits> | undefined;
}

/**
 * Makes the app. It can be mounted under any path of another one: `parent.route("/models", createApp(options))`.
 *
 * Its type carries the routes under `/v1` for Hono's client: `hc<AppType>(url).v1.merges.$post(...)`.
 *
 * @throws {EtherError} `usage` for a token or a number that cannot be
 */
export function createApp(options: AppOptions): AppType {
  const context: RouteContext = {
    repositories: options.repositories,
    access: new AccessRules(options.tokens ?? [], options),
    budget: new ByteBudget(options.maxBytes),
    metrics: new Metrics(),
    log: options.log ?? (() => {}),
    openRemoteAdapter: options.openRemoteAdapter,
    memoryUsage: options.memoryUsage,
    releaseChunks: options.releaseChunks ?? false,
    publicUrl: options.publicUrl?.replace(/\/+$/, ""),
    limits: { ...DEFAULT_LIMITS, ...options.limits },
  };
  const app = new Hono<RouteEnv>();
  app.onError(answerProblem);
  app.notFound((context) => {
    const hint = "GET /openapi.json lists the routes";
    return problemResponse(
      new RequestError(404, "not_found", "there is no such route", { hint }),
      context.get("requestId"),
    );
  });
  useAccess(app, context, options.crossOrigin);
  return app
    .route("/", observeRoutes(context))
    .route("/", openApiRoutes(context))
    .route("/", pageRoutes(context))
    .route("/", v1Routes(context))
    .route("/", hubRoutes(context, options));
}
