import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { sha256Hex } from "../../../runtime/io/digest.ts";
import { AdapterDetails, AdapterList, ModelList } from "../../../routes/v1/schemas.ts";
import { fixtureAdapter, problemCode, testApp } from "./test_app.ts";

Deno.test("v1: models are listed with their commits", async () => {
  await using test = await testApp();
  const response = await test.ask("/v1/models");
  const body = await response.json();
  assertEquals([response.status, ModelList.parse(body)], [200, body]);
  assertEquals(body.data.map(({ id }: { id: string }) => id), ["tiny"]);
  assert(/^[0-9a-f]{40}$/.test(body.data[0].commit));
});

Deno.test("v1: adapters are listed, broken ones with their error", async () => {
  await using test = await testApp();
  const torn = new Map(await fixtureAdapter("ether"));
  torn.set("adapter_model.safetensors", new Uint8Array(4));
  test.adapters.set("torn", torn);
  const body = await (await test.ask("/v1/adapters")).json();
  assertEquals(AdapterList.parse(body), body);
  const [ether, plus, broken] = body.data;
  assertEquals([ether.id, ether.base, ether.peft_type, plus.id, plus.base], ["ether", "tiny", "ETHER", "plus", null]);
  assertEquals([broken.id, broken.error.code], ["torn", "bad_header"]);
  assertEquals(await problemCode(await test.ask("/v1/adapters/torn")), "bad_header");
});

Deno.test("v1: an adapter says what it does to each layer, from its vectors alone", async () => {
  await using test = await testApp();
  const response = await test.ask("/v1/adapters/ether");
  const body = await response.json();
  assertEquals(AdapterDetails.parse(body), body);
  assertEquals(response.headers.get("etag"), `"${body.digest}"`);
  const config = JSON.parse(new TextDecoder().decode((await fixtureAdapter("ether")).get("adapter_config.json")));
  for (const { sides } of body.layers) {
    assertEquals(sides.map(({ side }: { side: string }) => side), config.sides);
    for (const side of sides) {
      // H = I − 2ûûᵀ: each block is 2 away from the identity, whatever was learnt.
      assertEquals([side.num_blocks, side.block_distance, side.angle], [config.num_blocks, { mean: 2, max: 2 }, null]);
      assertAlmostEquals(side.distance, 2 * Math.sqrt(config.num_blocks), 1e-6);
    }
  }

  const plus = await (await test.ask("/v1/adapters/plus")).json();
  assertEquals(plus.layers.length, plus.layers.filter(({ sides }: { sides: unknown[] }) => sides.length === 2).length);
  for (const side of plus.layers.flatMap(({ sides }: { sides: unknown[] }) => sides)) {
    assert(0 < side.angle.min && side.angle.min <= side.angle.mean && side.angle.mean <= side.angle.max);
    const { mean, max } = side.block_distance;
    // Between the mean of the blocks and the largest of them, as √(Σd²/n) is.
    const rms = side.distance / Math.sqrt(side.num_blocks);
    assert(mean <= rms + 1e-9 && rms <= max + 1e-9, `${mean} ${rms} ${max}`);
    assert(max <= Math.SQRT2 + 1e-6);
  }
});

Deno.test("v1: an adapter that the caller has is not sent again", async () => {
  await using test = await testApp();
  const etag = (await test.ask("/v1/adapters/ether")).headers.get("etag")!;
  const again = await test.ask("/v1/adapters/ether", { headers: { "if-none-match": etag } });
  assertEquals([again.status, await again.text(), again.headers.get("etag")], [304, "", etag]);
});

Deno.test("v1: an adapter's files are downloaded, whole and by ranges", async () => {
  await using test = await testApp();
  const bytes = (await fixtureAdapter("ether")).get("adapter_model.safetensors")!;
  const path = "/v1/adapters/ether/files/adapter_model.safetensors";
  const whole = await test.ask(path);
  assertEquals(await whole.bytes(), bytes);
  assertEquals(whole.headers.get("etag"), `"${await sha256Hex(bytes)}"`);
  const details = await (await test.ask("/v1/adapters/ether")).json();
  const listed = details.files.find((file: { path: string }) => file.path === "adapter_model.safetensors");
  assertEquals(listed, { path: "adapter_model.safetensors", size: bytes.byteLength, etag: await sha256Hex(bytes) });

  const part = await test.ask(path, { headers: { range: "bytes=8-99" } });
  assertEquals([part.status, part.headers.get("content-range")], [206, `bytes 8-99/${bytes.byteLength}`]);
  assertEquals(await part.bytes(), bytes.slice(8, 100));
  const outside = await test.ask(path, { headers: { range: `bytes=${bytes.byteLength}-` } });
  assertEquals(outside.headers.get("content-range"), `bytes */${bytes.byteLength}`);
  assertEquals([outside.status, await problemCode(outside)], [416, "usage"]);
  const head = await test.ask(path, { method: "HEAD" });
  assertEquals([head.status, head.headers.get("content-length")], [200, String(bytes.byteLength)]);
  assertEquals(test.routes.budget.usedBytes, 0);
});

Deno.test("v1: names that lead anywhere else lead nowhere", async () => {
  await using test = await testApp();
  const names = ["..%2fadapter_config.json", "%2e%2e/%2e%2e/etc/passwd", "adapter_config.json%00", "nothing", "a%2fb"];
  for (const name of names) {
    const response = await test.ask(`/v1/adapters/ether/files/${name}`);
    assertEquals([response.status, await problemCode(response)], [404, "not_found"], name);
  }
  for (const id of ["nobody", "main", "..%2f..%2fetc", "%00", "a".repeat(65), "0".repeat(40), "%ff"]) {
    const response = await test.ask(`/v1/adapters/${id}`);
    assertEquals([response.status, await problemCode(response)], [404, "not_found"], id);
  }
});

Deno.test("v1: unknown routes and methods are problems too", async () => {
  await using test = await testApp({ tokens: { writeToken: "hf_w" } });
  for (const path of ["/v1/nothing", "/v1/", "/v1/models/", "/v1/models/x"]) {
    const response = await test.ask(path);
    assertEquals([response.status, await problemCode(response)], [404, "not_found"], path);
  }
  const cases = [
    ["POST", "/v1/models", "GET, HEAD"],
    ["GET", "/v1/merges", "POST"],
    ["PATCH", "/v1/adapters/x", "DELETE, GET, HEAD, PUT"],
    ["DELETE", "/v1/adapters/x/files/y", "GET, HEAD"],
  ] as const;
  for (const [method, path, allow] of cases) {
    const response = await test.ask(path, { method });
    assertEquals([response.status, response.headers.get("allow")], [405, allow], `${method} ${path}`);
    assertEquals(await problemCode(response), "usage");
  }
});
