/** One line and a few counts for each request, when its body has ended. */
import { createMiddleware } from "hono/factory";
import { routePath } from "hono/route";
import { errorFields } from "./error_fields.ts";
import type { RouteContext, RouteEnv } from "../context.ts";
import { RequestRecord } from "./request_record.ts";

/** Methods that are named; any other text would come from the client. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

/** Must run before every other middleware but the request's id. */
export function requestLog({ log, metrics }: Pick<RouteContext, "log" | "metrics">) {
  return createMiddleware<RouteEnv>(async (context, next) => {
    const started = performance.now();
    const record = new RequestRecord();
    context.set("record", record);
    await next();
    const method = METHODS.includes(context.req.method) ? context.req.method : "OTHER";
    const { status, headers } = context.res;
    // The pattern of the handler that answered; a wildcard is what no handler knew.
    const matched = routePath(context);
    const route = record.route ?? (matched.endsWith("*") ? "unmatched" : matched);
    metrics.seconds.observe((performance.now() - started) / 1000);
    metrics.requests.add({ method, route, status: String(status) });
    // A server that is busy is not at fault.
    if (context.error !== undefined && [500, 502, 507].includes(status)) {
      const line = { time: new Date().toISOString(), level: "error", msg: "error" };
      log({ ...line, request_id: context.get("requestId"), ...errorFields(context.error) });
    }
    const caller = context.get("caller");
    record.whenEnded(() => {
      const streamed = record.streaming;
      if (streamed) {
        metrics.bytes.add({ route }, record.byteLength);
        metrics.streams.add({ route, outcome: record.outcome! });
      }
      // Of a HEAD it is that of what was not sent.
      const length = method === "HEAD" ? "0" : headers.get("content-length");
      const failed = record.outcome === "failed";
      log({
        ...{ time: new Date().toISOString(), level: failed ? "error" : "info", msg: "request", method, route, status },
        bytes: streamed ? record.byteLength : length === null ? null : Number(length),
        ms: Math.round((performance.now() - started) * 10) / 10,
        outcome: record.outcome,
        ...{ request_id: context.get("requestId"), token: caller?.tokenId ?? null },
        ...failed ? errorFields(record.error) : {},
      });
    });
  });
}
