import { assertEquals } from "@std/assert";
import { hc } from "hono/client";
import type { AppType } from "../../../routes/app.ts";
import { testApp } from "./test_app.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
/** Does not compile where the types differ. */
function same<A, B>(_: Equal<A, B>): void {}

Deno.test("v1: Hono's client knows what it sends and gets", async () => {
  await using test = await testApp();
  const client = hc<AppType>("http://host", {
    fetch: (input: RequestInfo | URL, init?: RequestInit) => test.app.request(input, init),
  });

  const models = await (await client.v1.models.$get()).json();
  same<typeof models.data[number], { id: string; object: "model"; commit: string | null }>(true);
  assertEquals(models.data.map(({ id }) => id), ["tiny"]);

  const response = await client.v1.merges.$post({ json: { base: "tiny", adapters: [{ id: "plus", strength: 0.5 }] } });
  const merge = await response.json();
  same<typeof merge.files[number], { path: string; size: number; etag: string }>(true);
  assertEquals([merge.repo, merge.revision], ["tiny", "plus@0.5"]);

  const adapter = await (await client.v1.adapters[":id"].$get({ param: { id: "plus" } })).json();
  same<typeof adapter.layers[number]["sides"][number]["side"], "in" | "out">(true);
  assertEquals(adapter.id, "plus");

  // @ts-expect-error -- a merge has a base
  const torn = await client.v1.merges.$post({ json: { adapters: [] } });
  assertEquals(torn.status as number, 422);
  // @ts-expect-error -- an operation is one of three
  const up = await client.v1.apply.$post({ query: { base: "tiny", op: "up" } });
  assertEquals(up.status as number, 400);
});
