import { assertEquals, assertRejects } from "@std/assert";
import { Hono } from "hono";
import type { RouteEnv } from "../../../routes/context.ts";
import type { LogLine } from "../../../routes/observe/log.ts";
import { Metrics } from "../../../routes/observe/metrics.ts";
import { requestLog } from "../../../routes/observe/request_log.ts";
import { answerProblem } from "../../../routes/problem.ts";
import { EtherError } from "../../../runtime/error.ts";

/** An app that logs into a list, whose one route answers as `stream` says. */
function logged(answer: () => ReadableStream<Uint8Array<ArrayBuffer>>) {
  const lines: LogLine[] = [];
  const app = new Hono<RouteEnv>();
  app.use((context, next) => {
    context.set("requestId", "r1");
    return next();
  });
  app.use(requestLog({ log: (line) => lines.push(line), metrics: new Metrics() }));
  app.onError(answerProblem);
  app.get("/x", (context) => new Response(context.get("record").stream(answer())));
  return { app, lines };
}

function broken(error: unknown) {
  return () =>
    ReadableStream.from((async function* () {
      yield new Uint8Array(3);
      await Promise.resolve();
      throw error;
    })()) as ReadableStream<Uint8Array<ArrayBuffer>>;
}

Deno.test("log: a stream that fails is one error, with its code, its request and what was wrong", async () => {
  const cause = new EtherError("host_refused", "https://inner.example is not asked");
  const { app, lines } = logged(broken(new EtherError("io_error", "it ended", { file: "org/a.safetensors", cause })));
  const response = await app.request("/x");
  assertEquals((response.status, lines), []);
  await assertRejects(() => response.bytes());
  assertEquals(lines.map(({ time: _, ms: __, ...line }) => line), [{
    ...{ level: "error", msg: "request", method: "GET", route: "/x", status: 200, bytes: 3, outcome: "failed" },
    ...{ request_id: "r1", token: null, code: "io_error" },
    detail: "io_error: org/a.safetensors: it ended (host_refused: https://inner.example is not asked)",
  }]);
});

Deno.test("log: a mistake of ours has its stack in the log", async () => {
  const { app, lines } = logged(broken(new TypeError("no such thing")));
  await assertRejects(async () => await (await app.request("/x")).bytes());
  const [{ code, detail, level }] = lines as [LogLine];
  assertEquals([code, level, /^TypeError: no such thing\n +at /.test(String(detail))], ["bug", "error", true]);
});

Deno.test("log: an error before the first byte is a line of its own, and a whole stream is none", async () => {
  const thrown = logged(() => {
    throw new EtherError("io_error", "disk", { file: "/srv/x" });
  });
  const response = await thrown.app.request("/x");
  assertEquals([response.status, (await response.text()).includes("/srv/x")], [500, false]);
  assertEquals(thrown.lines.map(({ level, code, detail, request_id }) => [level, code, detail, request_id]), [
    ["error", "io_error", "io_error: /srv/x: disk", "r1"],
    ["info", undefined, undefined, "r1"],
  ]);
  const whole = logged(() => ReadableStream.from([new Uint8Array(2)]));
  await (await whole.app.request("/x")).bytes();
  assertEquals(whole.lines.map(({ level, outcome, code }) => [level, outcome, code]), [["info", "done", undefined]]);
});
