import { assert, assertEquals } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { READ_TOKEN, testApp } from "../v1/test_app.ts";

Deno.test("observe: ready means that every identity is known", async () => {
  await using test = await testApp({ unstarted: true });
  const before = await test.ask("/readyz");
  assertEquals([before.status, before.headers.get("retry-after")], [503, "1"]);
  await before.body?.cancel();
  assertEquals(await (await test.ask("/healthz")).text(), "ok");
  await test.routes.repositories.start();
  const after = await test.ask("/readyz");
  const { apply, ...state } = await after.json();
  assertEquals([after.status, state], [200, { ready: true, models: 1, identified: 1, failed: 0 }]);
  assertEquals(apply.backend, "wasm");
});

Deno.test("observe: a base that cannot be served is counted, and named to readers alone", async () => {
  const failed = [{ id: "secret", error: new EtherError("bad_header", "x") }];
  const repositories = { state: { ready: true, models: 2, identified: 1, failed } };
  await using test = await testApp({ repositories, tokens: { readToken: READ_TOKEN } });
  const text = await (await test.ask("/readyz")).text();
  assertEquals([JSON.parse(text).failed, text.includes("secret")], [1, false]);
  const { errors } = await (await test.ask("/readyz", { token: READ_TOKEN })).json();
  assertEquals(errors, [{ id: "secret", code: "bad_header" }]);
});

Deno.test("observe: who computes linear, and why, is told to readers alone", async () => {
  const repositories = { linearChoice: { name: "webgpu" as const, reason: "a fast one" } };
  await using test = await testApp({ repositories, tokens: { readToken: READ_TOKEN } });
  assertEquals("apply" in await (await test.ask("/readyz")).json(), false);
  const { apply } = await (await test.ask("/readyz", { token: READ_TOKEN })).json();
  assertEquals(apply, { backend: "webgpu", reason: "a fast one" });
});

Deno.test("observe: the number of bases is that of now", async () => {
  let count = 1;
  await using test = await testApp({ repositories: { countModels: () => Promise.resolve(count) } });
  for (count of [1, 3]) assert((await (await test.ask("/metrics")).text()).includes(`ether_models ${count}\n`));
});

Deno.test("observe: metrics count requests, streams and bytes", async () => {
  await using test = await testApp();
  const path = "/v1/adapters/ether/files/adapter_config.json";
  const { byteLength } = await (await test.ask(path)).bytes();
  await (await test.ask(path)).body!.cancel();
  await (await test.ask("/v1/nothing")).text();
  const text = await (await test.ask("/metrics")).text();
  const route = `route="/v1/adapters/:id/files/:path{.+}"`;
  for (
    const line of [
      `ether_requests_total{method="GET",${route},status="200"} 2`,
      `ether_requests_total{method="GET",route="unmatched",status="404"} 1`,
      `ether_streams_total{${route},outcome="done"} 1`,
      `ether_streams_total{${route},outcome="cancelled"} 1`,
      `ether_streamed_bytes_total{${route}} ${byteLength}`,
      "ether_budget_used_bytes 0",
      `ether_budget_max_bytes ${128 * 1024 * 1024}`,
      "ether_models 1",
    ]
  ) assert(text.includes(`${line}\n`), `${line}\n${text}`);
});

Deno.test("observe: an answer that a client is too many for is no error of the server's", async () => {
  await using test = await testApp({ maxBytes: 1000 });
  const held = test.routes.budget.reserve(1000);
  const response = await test.ask("/v1/adapters/ether/files/adapter_config.json");
  await response.body?.cancel();
  held.release();
  assertEquals([response.status, test.lines.map(({ level }) => level)], [503, ["info"]]);
  assert((await (await test.ask("/metrics")).text()).includes("ether_budget_refused_total 1\n"));
});
