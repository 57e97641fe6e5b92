/** What every request passes before its handler: id, log, headers, and who asks. */
import type { Hono } from "hono";
import { cors } from "hono/cors";
import { createMiddleware } from "hono/factory";
import { requestId } from "hono/request-id";
import { secureHeaders } from "hono/secure-headers";
import type { RouteContext, RouteEnv } from "../context.ts";
import { requestLog } from "../observe/request_log.ts";
import { requireRead } from "./tokens.ts";

/** Headers of answers that a script of another origin may see. */
const EXPOSED_HEADERS = [
  ...["ETag", "Content-Range", "Accept-Ranges", "Content-Length", "Content-Disposition", "Link", "Location"],
  ...["X-Repo-Commit", "X-Linked-Size", "X-Linked-Etag", "X-Error-Code", "X-Error-Message", "X-Request-Id"],
  ...["X-HF-Warning", "Retry-After"],
];

/** Headers that such a script may send. */
const ALLOWED_HEADERS = [
  ...["Authorization", "Content-Type", "Range", "If-Range", "If-Match", "If-None-Match", "X-Request-Id"],
];

/** Seconds for which a browser remembers what it may send. */
const PREFLIGHT_SECONDS = 86_400;

/** Which origins' scripts may read answers: all (`*`), some, or none. Nothing is ever sent by cookie. */
export type CrossOrigin = "*" | readonly string[] | false;

/** Adds to an app, in their order, the middlewares that each request passes. */
export function useAccess(app: Hono<RouteEnv>, context: RouteContext, crossOrigin: CrossOrigin = "*"): void {
  app.use(requestId({ limitLength: 64 }));
  app.use(requestLog(context));
  app.use(secureHeaders({
    // Files and answers are made to be fetched by other origins, as far as CORS lets them.
    crossOriginResourcePolicy: "cross-origin",
    // Whether a host speaks HTTPS alone is for the proxy or the app around this one to say.
    strictTransportSecurity: false,
    contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    // A page has a policy of its own.
    overwrite: false,
  }));
  if (crossOrigin !== false) {
    const names = { allowHeaders: ALLOWED_HEADERS, exposeHeaders: EXPOSED_HEADERS };
    const origin = crossOrigin === "*" ? "*" : [...crossOrigin];
    app.use(
      cors({ origin, ...names, allowMethods: ["GET", "HEAD", "POST", "PUT", "DELETE"], maxAge: PREFLIGHT_SECONDS }),
    );
  }
  app.use(callerOf(context));
}

/** Sets `caller`. */
export function callerOf({ access }: Pick<RouteContext, "access">) {
  return createMiddleware<RouteEnv>(async (context, next) => {
    context.set("caller", await access.callerOf(context.req.header("authorization")));
    await next();
  });
}

/** Lets only those through who may read. @throws {EtherError} `unauthorized`, `forbidden` */
export function readersOnly() {
  return createMiddleware<RouteEnv>(async (context, next) => {
    requireRead(context.get("caller"));
    await next();
  });
}
