/** `/healthz`, `/readyz` and `/metrics`. */
import { Hono } from "hono";
import { requireRead } from "../access/tokens.ts";
import type { RouteContext, RouteEnv } from "../context.ts";
import { RETRY_SECONDS } from "../problem.ts";
import type { ReadinessBody } from "../v1/schemas.ts";
import { METRICS_TYPE, type Reading } from "./metrics.ts";

/** The routes by which a platform watches the server. The first two are open, and say names, and how it computes, to readers alone. */
export function observeRoutes(routes: RouteContext) {
  const { repositories, metrics } = routes;
  metrics.read(...readingsOf(routes));
  const noStore = { "cache-control": "no-store" };
  return new Hono<RouteEnv>()
    .get("/healthz", (context) => context.text("ok", 200, noStore))
    .get("/readyz", (context) => {
      const { ready, models, identified, failed } = repositories.state;
      const body: ReadinessBody = { ready, models, identified, failed: failed.length };
      if (context.get("caller").read) {
        if (failed.length > 0) body.errors = failed.map(({ id, error: { code } }) => ({ id, code }));
        const { name, reason } = repositories.linearChoice;
        body.apply = { backend: name, reason };
      }
      return ready
        ? context.json(body, 200, noStore)
        : context.json(body, 503, { ...noStore, "retry-after": String(RETRY_SECONDS) });
    })
    .get("/metrics", async (context) => {
      requireRead(context.get("caller"));
      return context.body(await metrics.render(), 200, { ...noStore, "content-type": METRICS_TYPE });
    });
}

function readingsOf({ repositories, budget, memoryUsage }: RouteContext): Reading[] {
  const gauge = (name: string, help: string, read: Reading["read"]): Reading => ({ name, help, type: "gauge", read });
  const counter = (name: string, help: string, read: Reading["read"]): Reading => ({
    ...{ name, help, type: "counter", read },
  });
  return [
    gauge("ether_budget_used_bytes", "Bytes that requests hold now.", () => budget.usedBytes),
    gauge("ether_budget_max_bytes", "Bytes that requests may hold at one time.", () => budget.maxBytes),
    counter("ether_budget_refused_total", "Requests that found no room.", () => budget.refusedCount),
    gauge("ether_models", "Bases.", () => repositories.countModels()),
    gauge("ether_models_identified", "Bases that were identified at the start.", () => repositories.state.identified),
    gauge(
      "ether_models_failed",
      "Bases that could not be served at the start.",
      () => repositories.state.failed.length,
    ),
    counter("ether_pieces_total", "Pieces of merged files computed.", () => repositories.counters.pieces),
    counter("ether_engine_waits_total", "Pieces that waited for an engine.", () => repositories.counters.engineWaits),
    counter("ether_sketch_hits_total", "Sketches that were at hand.", () => repositories.counters.sketchHits),
    counter("ether_sketch_misses_total", "Sketches that were summed.", () => repositories.counters.sketchMisses),
    gauge("process_resident_memory_bytes", "Resident memory.", () => memoryUsage?.().rss),
    gauge("process_heap_bytes", "Used heap of JavaScript.", () => memoryUsage?.().heapUsed),
  ];
}
