import { assertEquals } from "@std/assert";
import { MergeAnswer } from "../../../routes/v1/schemas.ts";
import { EtherError } from "../../../runtime/error.ts";
import { problemCode, type TestApp, testApp } from "./test_app.ts";

async function merge(test: TestApp, body: unknown, headers: HeadersInit = { "content-type": "application/json" }) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return await test.ask("/v1/merges", { method: "POST", headers, body: text });
}

Deno.test("v1 merges: a recipe is the repository that the Hub routes serve", async () => {
  await using test = await testApp();
  const response = await merge(test, { base: "tiny", adapters: [{ id: "plus", strength: 0.5 }, { id: "ether" }] });
  const body = await response.json();
  assertEquals([response.status, MergeAnswer.parse(body)], [200, body]);
  assertEquals([body.repo, body.revision], ["tiny", "plus@0.5+ether"]);
  const { repositories } = test.routes;
  const base = await repositories.base("tiny");
  const repository = await repositories.revision(base!, "plus@0.50+ether@1");
  assertEquals(body.commit, repository!.commit);
  assertEquals(body.files, repository!.files.map(({ path, size, etag }) => ({ path, size, etag })));
});

Deno.test("v1 merges: without adapters it is the base", async () => {
  await using test = await testApp();
  const body = await (await merge(test, { base: "tiny", adapters: [] })).json();
  assertEquals(body.revision, "main");
  assertEquals(body.commit, (await (await test.ask("/v1/models")).json()).data[0].commit);
});

const one = (fields: object) => ({ base: "tiny", adapters: [{ id: "ether", ...fields }] });
const refusals: readonly [name: string, status: number, code: string, field: string | undefined, body: unknown][] = [
  ["an unknown base", 404, "not_found", "base", { base: "huge", adapters: [] }],
  ["an unknown adapter", 404, "not_found", undefined, one({ id: "nobody" })],
  ["a name that no adapter has", 422, "bad_recipe", "adapters[0].id", one({ id: "a/b" })],
  ["a strength of three digits", 422, "bad_recipe", "adapters[0].strength", one({ strength: 100 })],
  ["a strength of five decimals", 422, "bad_recipe", "adapters[0].strength", one({ strength: 0.00001 })],
  ["a strength as text", 422, "bad_recipe", "adapters[0].strength", one({ strength: "0.5" })],
  ["too many adapters", 422, "bad_recipe", "adapters", { base: "tiny", adapters: Array(17).fill({ id: "ether" }) }],
  ["a field that it does not know", 422, "usage", "the body", { base: "tiny", adapters: [], strength: 1 }],
  ["a list", 422, "usage", "the body", []],
  ["no base", 422, "usage", "base", { adapters: [] }],
  ["torn JSON", 400, "usage", undefined, `{"base": "tiny"`],
  [
    "a number that no double is",
    400,
    "usage",
    undefined,
    `{"base": "tiny", "adapters": [{"id":"a","strength":1e999}]}`,
  ],
  ["bytes that are no text", 400, "usage", undefined, "\udfff"],
];
for (const [name, status, code, field, body] of refusals) {
  Deno.test(`v1 merges: ${name} is ${status} ${code}`, async () => {
    await using test = await testApp();
    const response = await merge(test, body);
    const problem = await response.clone().json();
    assertEquals([response.status, await problemCode(response)], [status, code], JSON.stringify(problem));
    if (field !== undefined) assertEquals(problem.field, field);
    assertEquals(test.routes.budget.usedBytes, 0);
  });
}

Deno.test("v1 merges: a recipe that does not fit the base says so with its own code", async () => {
  await using test = await testApp({
    repositories: {
      recipe: () => Promise.reject(new EtherError("tied_head", "the head is tied", { tensor: "lm_head" })),
    },
  });
  const response = await merge(test, one({}));
  assertEquals([response.status, await problemCode(response)], [422, "tied_head"]);
});

Deno.test("v1 merges: a base whose identity is not known yet is for later", async () => {
  await using test = await testApp({
    repositories: { base: () => Promise.reject(new EtherError("busy", "the identity is being computed")) },
  });
  const response = await merge(test, one({}));
  assertEquals([response.status, response.headers.get("retry-after"), await problemCode(response)], [503, "1", "busy"]);
});

Deno.test("v1 merges: a body of another type or of too many bytes is refused", async () => {
  await using test = await testApp({ limits: { jsonBytes: 100 } });
  const typed = await merge(test, one({}), { "content-type": "text/plain" });
  assertEquals([typed.status, await problemCode(typed)], [415, "usage"]);
  const large = await merge(test, { base: "t".repeat(200), adapters: [] });
  assertEquals([large.status, await problemCode(large)], [413, "too_large"]);
});

Deno.test("v1 merges: a body that never ends is given up", async () => {
  await using test = await testApp({ limits: { bodyMilliseconds: 5 } });
  const body = new ReadableStream({ pull: () => new Promise(() => {}) });
  const response = await test.ask("/v1/merges", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  assertEquals([response.status, await problemCode(response)], [408, "timed_out"]);
  assertEquals(test.routes.budget.usedBytes, 0);
});
