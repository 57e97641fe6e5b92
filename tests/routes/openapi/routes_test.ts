import { assert, assertEquals } from "@std/assert";
import { createApp } from "../../../routes/app.ts";
import { ROUTE_OF_KIND } from "../../../routes/hub/repository_answer.ts";
import { HUB_OPERATIONS } from "../../../routes/openapi/hub_operations.ts";
import { OPERATIONS } from "../../../routes/openapi/operations.ts";
import { testApp, WRITE_TOKEN } from "../v1/test_app.ts";

Deno.test("openapi: every route of the app is in the document, and every operation is a route", async () => {
  await using test = await testApp();
  const app = createApp({ repositories: test.routes.repositories, writeToken: WRITE_TOKEN });
  const routes = new Set<string>();
  for (const { method, path } of app.routes) {
    // Those for all methods refuse, or are the Hub's one handler, which splits paths by hand.
    if (method === "ALL") continue;
    const plain = path.replace(/:([a-z]+)(\{[^}]*\})?/g, "{$1}");
    // The home page under a prefix.
    if (plain !== "/{slash}") routes.add(`${method.toLowerCase()} ${plain}`);
  }
  const own = OPERATIONS.filter((operation) => !HUB_OPERATIONS.includes(operation));
  assertEquals([...routes].sort(), own.map(({ method, path }) => `${method} ${path}`).sort());
});

Deno.test("openapi: the Hub's operations are those that its handler knows", async () => {
  const described = new Set(HUB_OPERATIONS.map(({ path }) => path));
  for (const path of Object.values(ROUTE_OF_KIND)) assert(described.has(path), path);
  await using test = await testApp({ tokens: { writeToken: WRITE_TOKEN } });
  const app = createApp({ repositories: test.routes.repositories, writeToken: WRITE_TOKEN });
  for (const { path, method, answers, id } of HUB_OPERATIONS) {
    const values: Record<string, string> = { repo: "tiny", revision: "main", path: "config.json" };
    const filled = path.replace(/\{([a-z]+)\}/g, (_, name) => values[name]!);
    const init = method === "post"
      ? { headers: { "content-type": "application/json" }, body: `{"paths":["config.json"]}` }
      : { headers: { authorization: `Bearer ${WRITE_TOKEN}` } };
    const response = await app.request(filled, { method: method.toUpperCase(), ...init });
    await response.body?.cancel();
    // A file is no folder, so that its listing is the one answer that is none.
    const expected = id === "listFolder" ? ["404"] : Object.keys(answers);
    assert(expected.includes(String(response.status)), `${id}: ${method} ${filled} is ${response.status}`);
  }
});

Deno.test("openapi: the document is served where the app is mounted", async () => {
  await using test = await testApp();
  const app = createApp({ repositories: test.routes.repositories });
  const root = await (await app.request("/openapi.json")).json();
  assertEquals([root.openapi, root.servers], ["3.1.0", [{ url: "/" }]]);
  const { Hono } = await import("hono");
  const mounted = await (await new Hono().route("/models/here", app).request("/models/here/openapi.json")).json();
  assertEquals(mounted.servers, [{ url: "/models/here" }]);
  assertEquals(Object.keys(mounted.paths), Object.keys(root.paths));
});
