/**
 * The routes under `/v1`. Their handlers, with the schemas that they check requests against, are loaded when one is
 * asked for: a node that serves ranges of files starts without them.
 */
import { Hono } from "hono";
import { createMiddleware } from "hono/factory";
import { readersOnly } from "../access/middleware.ts";
import type { RouteContext, RouteEnv } from "../context.ts";
import { judgePreconditions } from "../files/preconditions.ts";
import { RequestError } from "../problem.ts";
import type { ApplyQueryText, MergeRequestBody, PutQueryText } from "./schemas.ts";

const NO_STORE = { "cache-control": "no-store" };

/**
 * Makes the routes, with their types for `hc`.
 *
 * ```ts ignore
 * const client = hc<ReturnType<typeof v1Routes>>("http://127.0.0.1:8000");
 * const merge = await client.v1.merges.$post({ json: { base: "tiny", adapters: [{ id: "poet", strength: 0.5 }] } });
 * ```
 */
export function v1Routes(routes: RouteContext) {
  const app = new Hono<RouteEnv>()
    .use("/v1/*", async (context, next) => {
      await next();
      if (routes.access.hasRules) context.res.headers.append("vary", "Authorization");
    })
    .get("/v1/models", readersOnly(), async (context) => {
      const { listModels } = await import("./models.ts");
      return context.json(await listModels(routes), 200, NO_STORE);
    })
    .get("/v1/adapters", readersOnly(), async (context) => {
      const { listAdapters } = await import("./adapters.ts");
      return context.json(await listAdapters(context, routes), 200, NO_STORE);
    })
    .get("/v1/adapters/:id", readersOnly(), async (context) => {
      const { describeAdapter } = await import("./adapters.ts");
      const { etag, body } = await describeAdapter(context, context.req.param("id"), routes);
      const headers = { etag, "cache-control": "no-cache" };
      const unchanged = judgePreconditions(context.req.raw.headers, body.digest) === "not-modified";
      // As hc sees it there is one answer; 304 is for caches.
      if (unchanged) return new Response(null, { status: 304, headers }) as never;
      return context.json(body, 200, headers);
    })
    .get("/v1/adapters/:id/files/:path{.+}", readersOnly(), async (context) => {
      const { sendAdapterFile } = await import("./adapters.ts");
      const { id, path } = context.req.param();
      return await sendAdapterFile(context, id, path, routes);
    })
    .put("/v1/adapters/:id", writable(routes), sends<{ query: PutQueryText }>(), async (context) => {
      const { putAdapter } = await import("./put_adapter.ts");
      const { created, etag, body } = await putAdapter(context, context.req.param("id"), routes);
      const headers = { ...NO_STORE, etag, location: publicPath(context.req.path, routes) };
      return created ? context.json(body, 201, headers) : context.json(body, 200, headers);
    })
    .delete("/v1/adapters/:id", writable(routes), async (context) => {
      const { deleteAdapter } = await import("./put_adapter.ts");
      await deleteAdapter(context, context.req.param("id"), routes);
      return context.body(null, 204, NO_STORE);
    })
    .post("/v1/merges", readersOnly(), sends<{ json: MergeRequestBody }>(), async (context) => {
      const { describeMerge } = await import("./merges.ts");
      return context.json(await describeMerge(context, routes), 200, NO_STORE);
    })
    .post("/v1/apply", readersOnly(), sends<{ query: ApplyQueryText }>(), async (context) => {
      const { applyAdapters } = await import("./apply.ts");
      return await applyAdapters(context, routes);
    });
  otherMethods(app);
  app.all("/v1/*", () => {
    throw new RequestError(404, "not_found", "there is no such route", { hint: "GET /openapi.json lists them" });
  });
  return app;
}

/** A path under `/v1` as clients see it. */
function publicPath(path: string, { publicUrl }: RouteContext): string {
  // No name of an adapter has a slash: the last `/v1/` begins the route, whatever it is mounted under.
  return publicUrl === undefined ? path : new URL(publicUrl + path.slice(path.lastIndexOf("/v1/"))).pathname;
}

/** For `hc`: what a script must send. The handler checks it. */
function sends<Input extends { query?: object; json?: object }>() {
  // deno-lint-ignore ban-types -- the type that Hono gives to routes of any path
  return createMiddleware<RouteEnv, string, { in: Input; out: {} }>(async (_, next) => await next());
}

/** Where nobody may write, the routes that write are not there. */
function writable({ access }: RouteContext) {
  return createMiddleware<RouteEnv>(async (_, next) => {
    if (!access.hasWriters) {
      const hint = "this server takes no writes; they begin with a write token";
      throw new RequestError(404, "not_found", "there is no such route", { hint });
    }
    await next();
  });
}

/** 405 with `Allow`, for every path above. */
function otherMethods(app: Hono<RouteEnv>): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    if (method === "ALL") continue;
    const known = methods.get(path) ?? new Set();
    methods.set(path, known.add(method));
    if (method === "GET") known.add("HEAD");
  }
  for (const [path, known] of methods) {
    app.all(path, () => {
      const allow = [...known].sort().join(", ");
      throw new RequestError(405, "usage", "the path knows other methods", { headers: { allow } });
    });
  }
}
