/**
 * The Hub's read routes: every base, and every base with adapters, as a repository of models.
 *
 * One handler looks at every path, as the raw path must be split by hand; what is none of the Hub's goes on to whoever
 * comes next.
 */
import { type Context, Hono } from "hono";
import { baseRoutePath } from "hono/route";
import type { RouteContext, RouteEnv } from "../context.ts";
import { RequestError } from "../problem.ts";
import { requireHubRead, whoAmI } from "./access.ts";
import { hubErrorResponse, repositoryNotFound } from "./hub_error.ts";
import { countSegments, rawSegments } from "./raw_path.ts";
import { answerReadings, json, ROUTE_OF_KIND } from "./repository_answer.ts";
import { type HubUrl, readHubUrl } from "./target.ts";

/** How clients see the app. */
export interface HubOptions {
  /**
   * The URL of the app where something in front of it takes a part of the path away; redirects begin with its path.
   *
   * @default the path under which the app is mounted
   */
  readonly publicUrl?: string | undefined;
}

/** Makes the routes. @throws {TypeError} for a `publicUrl` that is no URL */
export function hubRoutes(routes: RouteContext, { publicUrl }: HubOptions = {}): Hono<RouteEnv> {
  const publicPrefix = publicUrl === undefined ? undefined : new URL(publicUrl).pathname.replace(/\/+$/, "");
  return new Hono<RouteEnv>().all("*", async (context, next) => {
    const prefixCount = countSegments(baseRoutePath(context));
    let url: HubUrl | null = null;
    let response: Response;
    try {
      url = readHubUrl(rawSegments(context.req.raw.url, prefixCount));
      if (url === null) return await next();
      const prefix = publicPrefix ?? rawPrefix(context, prefixCount);
      response = await answer(context, url, routes, prefix);
    } catch (error) {
      // Seen by the log.
      context.error = error instanceof Error ? error : new Error(String(error));
      response = hubErrorResponse(error);
    }
    if (routes.access.hasRules) response.headers.append("vary", "Authorization");
    return response;
  });
}

async function answer(context: Context<RouteEnv>, url: HubUrl, routes: RouteContext, prefix: string) {
  const record = context.get("record");
  record.route = routeOf(url);
  requireMethod(context.req.method, url);
  const caller = context.get("caller");
  switch (url.kind) {
    case "agent-harnesses":
      // Some clients ask for it at each start; there are none.
      throw new RequestError(404, "not_found", "there is no such route");
    case "whoami":
      return json(whoAmI(caller));
    case "unknown-repository":
      requireHubRead(caller);
      throw repositoryNotFound();
    case "repository":
      requireHubRead(caller);
      return await answerReadings(context, url.readings, routes, prefix);
  }
}

function routeOf(url: HubUrl): string {
  switch (url.kind) {
    case "repository":
      return ROUTE_OF_KIND[url.readings[0]!.target.kind];
    case "unknown-repository":
      return ROUTE_OF_KIND[url.target];
    case "whoami":
      return "/api/whoami-v2";
    case "agent-harnesses":
      return "/api/agent-harnesses";
  }
}

/** @throws {RequestError} 405 */
function requireMethod(method: string, url: HubUrl): void {
  const posts = url.kind === "repository" && url.readings[0]!.target.kind === "paths-info";
  const allowed = posts ? ["POST"] : ["GET", "HEAD"];
  if (allowed.includes(method)) return;
  throw new RequestError(405, "usage", "the path knows other methods", { headers: { allow: allowed.join(", ") } });
}

/** The path of the app as the client wrote it. */
function rawPrefix(context: Context, prefixCount: number): string {
  return rawSegments(context.req.raw.url, 0).slice(0, prefixCount).map((segment) => `/${segment}`).join("");
}
