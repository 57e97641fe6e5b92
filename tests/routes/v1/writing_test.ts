import { assertEquals } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { StoredAdapter } from "../../../routes/v1/schemas.ts";
import { type AdapterFiles, fixtureAdapter, problemCode, type TestApp, testApp, WRITE_TOKEN } from "./test_app.ts";

const WRITERS = { tokens: { writeToken: WRITE_TOKEN } };

function form(files: AdapterFiles): FormData {
  const data = new FormData();
  for (const [name, bytes] of files) data.append(name, new Blob([bytes]), name);
  return data;
}

async function put(test: TestApp, id: string, body: BodyInit, headers: HeadersInit = {}, base = "tiny") {
  return await test.ask(`/v1/adapters/${id}?base=${base}`, { method: "PUT", body, headers, token: WRITE_TOKEN });
}

Deno.test("v1 writing: an adapter is put, replaced and deleted", async () => {
  await using test = await testApp(WRITERS);
  const files = await fixtureAdapter("etherplus");
  const created = await put(test, "poet", form(files));
  const body = await created.json();
  assertEquals([created.status, created.headers.get("location")], [201, "/v1/adapters/poet"], JSON.stringify(body));
  assertEquals(StoredAdapter.parse(body), body);
  assertEquals([body.id, body.base, created.headers.get("etag")], ["poet", "tiny", `"${body.digest}"`]);
  assertEquals([...test.adapters.adapters.get("poet")!.files], [...files]);
  const listed = await (await test.ask("/v1/adapters/poet")).json();
  assertEquals([listed.digest, listed.base], [body.digest, "tiny"]);

  const replaced = await put(test, "poet", form(await fixtureAdapter("ether")));
  const other = await replaced.json();
  assertEquals([replaced.status, other.digest === body.digest], [200, false]);

  const deleted = await test.ask("/v1/adapters/poet", { method: "DELETE", token: WRITE_TOKEN });
  assertEquals([deleted.status, await deleted.text()], [204, ""]);
  const again = await test.ask("/v1/adapters/poet", { method: "DELETE", token: WRITE_TOKEN });
  assertEquals([again.status, await problemCode(again)], [404, "not_found"]);
  assertEquals(test.routes.budget.usedBytes, 0);
});

Deno.test("v1 writing: what would not merge is not stored", async () => {
  await using test = await testApp(WRITERS);
  const files = new Map(await fixtureAdapter("ether"));
  const config = JSON.parse(new TextDecoder().decode(files.get("adapter_config.json")));
  files.set("adapter_config.json", new TextEncoder().encode(JSON.stringify({ ...config, variant: "etherer" })));
  const response = await put(test, "bad", form(files));
  assertEquals([response.status, await problemCode(response)], [422, "bad_config"]);
  const elsewhere = await put(test, "bad", form(await fixtureAdapter("ether")), {}, "nowhere");
  assertEquals([elsewhere.status, await problemCode(elsewhere)], [404, "not_found"]);
  assertEquals(test.adapters.adapters.has("bad"), false);
});

Deno.test("v1 writing: conditions keep writers from undoing each other", async () => {
  await using test = await testApp(WRITERS);
  const files = await fixtureAdapter("ether");
  const first = await put(test, "poet", form(files), { "if-none-match": "*" });
  const etag = first.headers.get("etag")!;
  await first.body?.cancel();
  assertEquals(first.status, 201);
  for (const headers of [{ "if-none-match": "*" }, { "if-match": '"other"' }] as HeadersInit[]) {
    const refused = await put(test, "poet", form(files), headers);
    assertEquals([refused.status, await problemCode(refused)], [412, "usage"]);
  }
  // Two writers who have seen the same adapter: one of them wins, also where storing takes a while.
  const other = await fixtureAdapter("etherplus");
  const store = test.adapters.put.bind(test.adapters);
  test.adapters.put = async (id, adapter) => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    return await store(id, adapter);
  };
  const both = await Promise.all([1, 2].map(() => put(test, "poet", form(other), { "if-match": etag })));
  assertEquals(both.map(({ status }) => status).sort(), [200, 412]);
  for (const one of both) await one.body?.cancel();
  const gone = await test.ask("/v1/adapters/poet", {
    ...{ method: "DELETE", token: WRITE_TOKEN, headers: { "if-match": etag } },
  });
  assertEquals([gone.status, await problemCode(gone)], [412, "usage"]);
});

Deno.test("v1 writing: names that no recipe could have are refused", async () => {
  await using test = await testApp(WRITERS);
  for (const id of ["main", "HEAD", "a+b", "a@1", ".a", "a%2fb", "0".repeat(40), "x".repeat(65)]) {
    const response = await put(test, id, form(await fixtureAdapter("ether")));
    assertEquals([response.status, await problemCode(response)], [400, "usage"], id);
  }
});

const TEXT = new TextEncoder();
const CUT = `--x\r\nContent-Disposition: form-data; name="adapter_config.json"; filename="a"\r\n\r\n{}`;
const bodies: readonly [name: string, status: number, code: string, body: () => Promise<BodyInit>, HeadersInit?][] = [
  ["a body of another type", 415, "usage", () => Promise.resolve("x"), { "content-type": "text/plain" }],
  ["no type", 415, "usage", () => Promise.resolve(TEXT.encode("x"))],
  ["no border", 400, "usage", () => Promise.resolve("x"), { "content-type": "multipart/form-data" }],
  ["a body that ends in a part", 400, "usage", () => Promise.resolve(CUT), {
    "content-type": "multipart/form-data; boundary=x",
  }],
  ["a missing part", 400, "usage", async () => form(new Map([...await fixtureAdapter("ether")].slice(0, 1)))],
  [
    "a part too many",
    400,
    "usage",
    async () => form(new Map([...await fixtureAdapter("ether"), ["x", new Uint8Array(1)]])),
  ],
  ["a part twice", 400, "usage", async () => {
    const data = form(await fixtureAdapter("ether"));
    data.append("adapter_config.json", new Blob(["{}"]), "x");
    return data;
  }],
  ["a part that is no file", 400, "usage", async () => {
    const data = form(await fixtureAdapter("ether"));
    data.set("adapter_config.json", "{}");
    return data;
  }],
  ["torn JSON", 400, "usage", () => Promise.resolve(`{"source":`), { "content-type": "application/json" }],
  ["JSON with a name twice", 400, "usage", () => Promise.resolve(`{"source":"a","source":"b"}`), {
    "content-type": "application/json",
  }],
  ["JSON of another shape", 422, "usage", () => Promise.resolve(`{"url":"x"}`), { "content-type": "application/json" }],
  ["a source where none is fetched", 422, "unsupported", () => Promise.resolve(`{"source":"hf://a/b"}`), {
    "content-type": "application/json",
  }],
];
for (const [name, status, code, body, headers] of bodies) {
  Deno.test(`v1 writing: ${name} is ${status} ${code}`, async () => {
    await using test = await testApp(WRITERS);
    const response = await put(test, "poet", await body(), headers);
    assertEquals([response.status, await problemCode(response)], [status, code]);
    assertEquals([test.adapters.adapters.has("poet"), test.routes.budget.usedBytes], [false, 0]);
  });
}

Deno.test("v1 writing: a base is named once", async () => {
  await using test = await testApp(WRITERS);
  for (const base of ["", "tiny&base=tiny", "..%2f..", "a/b/c"]) {
    const response = await put(test, "poet", form(await fixtureAdapter("ether")), {}, base);
    assertEquals([response.status, await problemCode(response)], [400, "usage"], base);
  }
});

Deno.test("v1 writing: an adapter by reference is fetched, and its refusal is passed on", async () => {
  const files = await fixtureAdapter("ether");
  const asked: string[] = [];
  await using test = await testApp({
    ...WRITERS,
    openRemoteAdapter: (source) => {
      asked.push(source);
      if (source.endsWith("denied")) {
        throw new EtherError("forbidden", "the host is not on the list", { field: "source" });
      }
      return Promise.resolve(files);
    },
  });
  const json = { "content-type": "application/json" };
  const stored = await put(test, "poet", JSON.stringify({ source: "hf://owner/poet@main" }), json);
  await stored.body?.cancel();
  assertEquals([stored.status, test.adapters.adapters.has("poet")], [201, true]);
  const denied = await put(test, "other", JSON.stringify({ source: "hf://owner/denied" }), json);
  assertEquals([denied.status, await problemCode(denied)], [403, "forbidden"]);
  assertEquals([asked, test.routes.budget.usedBytes], [["hf://owner/poet@main", "hf://owner/denied"], 0]);
});

Deno.test("v1 writing: files above the limit, and bodies without room, are refused", async () => {
  const files = await fixtureAdapter("ether");
  {
    await using test = await testApp({ ...WRITERS, limits: { adapterBytes: 1000 } });
    const response = await put(test, "poet", form(files));
    assertEquals([response.status, await problemCode(response)], [413, "too_large"]);
    assertEquals(test.routes.budget.usedBytes, 0);
  }
  await using test = await testApp({ ...WRITERS, maxBytes: 64 * 1024 });
  const held = test.routes.budget.reserve(64 * 1024);
  const response = await put(test, "poet", form(files));
  assertEquals([response.status, response.headers.get("retry-after"), await problemCode(response)], [503, "1", "busy"]);
  held.release();
  const later = await put(test, "poet", form(files));
  await later.body?.cancel();
  assertEquals([later.status, test.routes.budget.usedBytes], [201, 0]);
});

Deno.test("v1 writing: what a host elsewhere does wrong is no fault of this server", async () => {
  const cases = [["io_error", 502], ["source_changed", 502], ["not_found", 404], ["host_refused", 422]] as const;
  for (const [code, status] of cases) {
    await using test = await testApp({
      ...WRITERS,
      openRemoteAdapter: () =>
        Promise.reject(new EtherError(code, "more than 10 redirects", { file: "https://a.example/" })),
    });
    const headers = { "content-type": "application/json" };
    const response = await put(test, "poet", JSON.stringify({ source: "https://a.example/" }), headers);
    const { detail } = await response.clone().json();
    assertEquals([response.status, await problemCode(response), detail], [status, code, "more than 10 redirects"]);
    assertEquals(test.lines.some(({ level }) => level === "error"), status === 502);
    assertEquals(test.routes.budget.usedBytes, 0);
  }
});
