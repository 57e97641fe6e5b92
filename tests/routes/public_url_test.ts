/** What an app says of its own place, where clients see it at another one. */
import { assert, assertEquals } from "@std/assert";
import { Hono } from "hono";
import { createApp } from "../../routes/app.ts";
import { fixtureAdapter, testApp, WRITE_TOKEN } from "./v1/test_app.ts";

const PUBLIC = "https://example.org/edge";

Deno.test("publicUrl: the document, the pages, and where a new adapter is, are as clients see them", async () => {
  await using test = await testApp();
  const { repositories } = test.routes;
  // With the slash that people write, and mounted where no client sees it.
  const app = new Hono().route(
    "/in/v1/ner",
    createApp({ repositories, writeToken: WRITE_TOKEN, publicUrl: `${PUBLIC}/` }),
  );
  const ask = async (path: string, init?: RequestInit) => await app.request(`/in/v1/ner${path}`, init);
  assertEquals((await (await ask("/openapi.json")).json()).servers, [{ url: PUBLIC }]);
  assert((await (await ask("/")).text()).includes(`id="endpoint" data-url="${PUBLIC}"`));
  assert((await (await ask("/docs")).text()).includes(`${PUBLIC}/v1/merges`));

  const body = new FormData();
  for (const [name, bytes] of await fixtureAdapter("ether")) body.append(name, new Blob([bytes]), name);
  const headers = { authorization: `Bearer ${WRITE_TOKEN}` };
  const put = await ask("/v1/adapters/poet?base=tiny", { method: "PUT", body, headers });
  assertEquals([put.status, put.headers.get("location")], [201, "/edge/v1/adapters/poet"], await put.text());
});

Deno.test("publicUrl: without one, the place is where the request found it", async () => {
  await using test = await testApp();
  const app = new Hono().route("/hub", createApp({ repositories: test.routes.repositories }));
  assert((await (await app.request("/hub/")).text()).includes('id="endpoint" data-url=""'));
  assertEquals((await (await app.request("/hub/openapi.json")).json()).servers, [{ url: "/hub" }]);
});
