import { assertEquals } from "@std/assert";
import type { TokenRule } from "../../../routes/access/token_rules.ts";
import { sha256Hex } from "../../../runtime/io/digest.ts";
import { problemCode, READ_TOKEN, testApp, WRITE_TOKEN } from "./test_app.ts";

const BOTH = { tokens: { readToken: READ_TOKEN, writeToken: WRITE_TOKEN } };

const READS = [
  ["GET", "/v1/models"],
  ["GET", "/v1/adapters"],
  ["GET", "/v1/adapters/ether"],
  ["GET", "/v1/adapters/ether/files/adapter_config.json"],
  ["POST", "/v1/merges"],
  ["POST", "/v1/apply?base=tiny&op=in"],
  ["GET", "/metrics"],
] as const;

Deno.test("v1 access: where there is a read token, nothing is read without one", async () => {
  await using test = await testApp(BOTH);
  for (const [method, path] of READS) {
    for (const token of [undefined, "hf_wrong"]) {
      const response = await test.ask(path, { method, token });
      assertEquals([response.status, response.headers.get("www-authenticate")], [401, "Bearer"], path);
      assertEquals(await problemCode(response), "unauthorized");
    }
    for (const token of [READ_TOKEN, WRITE_TOKEN]) {
      const response = await test.ask(path, { method, token });
      await response.body?.cancel();
      assertEquals([401, 403].includes(response.status), false, path);
    }
  }
  for (const path of ["/healthz", "/readyz", "/openapi.json"]) {
    const response = await test.ask(path);
    await response.body?.cancel();
    assertEquals(response.status, 200);
  }
});

Deno.test("v1 access: where there is none, a stranger's token does no harm", async () => {
  await using test = await testApp();
  assertEquals((await (await test.ask("/v1/adapters", { token: "hf_of_the_hub" })).json()).data.length, 2);
});

Deno.test("v1 access: without a write token the routes that write are not there", async () => {
  await using test = await testApp({ tokens: { readToken: READ_TOKEN } });
  for (const method of ["PUT", "DELETE"]) {
    const response = await test.ask("/v1/adapters/ether?base=tiny", { method, token: READ_TOKEN });
    assertEquals([response.status, await problemCode(response)], [404, "not_found"]);
  }
  assertEquals(test.adapters.adapters.has("ether"), true);
});

Deno.test("v1 access: a reader does not write, nor does a stranger", async () => {
  await using test = await testApp(BOTH);
  for (const method of ["PUT", "DELETE"]) {
    for (const [token, status] of [[undefined, 401], ["hf_wrong", 401], [READ_TOKEN, 403]] as const) {
      const response = await test.ask("/v1/adapters/ether?base=tiny", { method, token });
      await response.body?.cancel();
      assertEquals(response.status, status);
    }
  }
  assertEquals(test.adapters.adapters.has("ether"), true);
});

Deno.test("v1 access: what is out of a token's scope looks as if it were not there", async () => {
  const rule = async (token: string, fields: Partial<TokenRule>): Promise<TokenRule> => {
    const sha256 = await sha256Hex(new TextEncoder().encode(token));
    return { sha256, read: true, write: true, adapters: [], ...fields };
  };
  await using test = await testApp({
    rules: [await rule("e", { adapters: ["e*"] }), await rule("all", { adapters: ["*"] })],
  });
  const listed = await (await test.ask("/v1/adapters", { token: "e" })).json();
  assertEquals(listed.data.map(({ id }: { id: string }) => id), ["ether"]);
  const merge = (id: string) => JSON.stringify({ base: "tiny", adapters: [{ id }] });
  const json = { "content-type": "application/json" };
  const requests = (id: string): [string, RequestInit][] => [
    [`/v1/adapters/${id}`, {}],
    [`/v1/adapters/${id}/files/adapter_config.json`, {}],
    [`/v1/adapters/${id}`, { method: "DELETE" }],
    ["/v1/merges", { method: "POST", headers: json, body: merge(id) }],
  ];
  for (const [i, [path, init]] of requests("plus").entries()) {
    const hidden = await test.ask(path, { ...init, token: "e" });
    const [absentPath, absentInit] = requests("absent")[i]!;
    const absent = await test.ask(absentPath, { ...absentInit, token: "e" });
    assertEquals(hidden.status, 404, path);
    const [a, b] = [await hidden.json(), await absent.json()];
    assertEquals({ ...a, request_id: "" }, {
      ...JSON.parse(JSON.stringify(b).replaceAll("absent", "plus")),
      request_id: "",
    });
  }
  const put = await test.ask("/v1/adapters/plus?base=tiny", { method: "PUT", token: "e" });
  assertEquals([put.status, await problemCode(put)], [403, "forbidden"]);
  assertEquals((await test.ask("/v1/adapters/plus", { token: "all" })).status, 200);
});

Deno.test("v1 access: every answer has the request's id, and headers that browsers want", async () => {
  await using test = await testApp();
  for (const path of ["/v1/models", "/v1/nothing", "/healthz"]) {
    const response = await test.ask(path, { headers: { "x-request-id": "of-a-proxy", origin: "https://page" } });
    await response.body?.cancel();
    assertEquals(response.headers.get("x-request-id"), "of-a-proxy");
    assertEquals(response.headers.get("access-control-allow-origin"), "*");
    assertEquals(response.headers.get("x-content-type-options"), "nosniff");
    assertEquals(response.headers.get("access-control-expose-headers")!.includes("X-Error-Code"), true);
  }
  const preflight = await test.ask("/v1/merges", {
    method: "OPTIONS",
    headers: { "origin": "https://page", "access-control-request-method": "POST" },
  });
  assertEquals(preflight.status, 204);
  assertEquals(preflight.headers.get("access-control-allow-headers")!.includes("Authorization"), true);
});

Deno.test("v1 access: the log has the route, never the path, the query or a token", async () => {
  await using test = await testApp(BOTH);
  const response = await test.ask("/v1/adapters/ether/files/adapter_config.json?name=alice", { token: READ_TOKEN });
  assertEquals(test.lines.length, 0, "the request ends with its body");
  const { byteLength } = await response.bytes();
  await (await test.ask("/v1/adapters/bob?secret=1", { token: "hf_wrong" })).body?.cancel();
  const [file, refused] = test.lines;
  assertEquals({ ...file, time: "", ms: 0, request_id: "" }, {
    ...{
      time: "",
      level: "info",
      msg: "request",
      method: "GET",
      route: "/v1/adapters/:id/files/:path{.+}",
      status: 200,
    },
    ...{ bytes: byteLength, ms: 0, outcome: "done", request_id: "" },
    token: (await sha256Hex(new TextEncoder().encode(READ_TOKEN))).slice(0, 8),
  });
  assertEquals([refused!.route, refused!.status, refused!.token], ["/v1/adapters/:id", 401, null]);
  const text = JSON.stringify(test.lines);
  for (const word of ["alice", "bob", "secret", READ_TOKEN, "hf_wrong"]) assertEquals(text.includes(word), false, word);
});
