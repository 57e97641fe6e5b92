import { assert, assertEquals } from "@std/assert";
import { prepareApply } from "../../../runtime/deno/library.ts";
import { type Dtype, DTYPE_BITS } from "../../../runtime/safetensors/dtype.ts";
import { parseHeader } from "../../../runtime/safetensors/header.ts";
import { encodeHeader } from "../../../runtime/safetensors/write.ts";
import { EtherError } from "../../../runtime/error.ts";
import { fixtureAdapter, LLAMA, problemCode, type TestApp, testApp } from "./test_app.ts";

const Q = "model.layers.0.self_attn.q_proj";
const DOWN = "model.layers.1.mlp.down_proj";

interface Tensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

function f32(name: string, dimension: number, values: Float32Array<ArrayBuffer>): Tensor {
  return { name, dtype: "F32", shape: [values.length / dimension, dimension], bytes: new Uint8Array(values.buffer) };
}

function i32(name: string, values: readonly number[]): Tensor {
  return { name, dtype: "I32", shape: [values.length], bytes: new Uint8Array(Int32Array.from(values).buffer) };
}

function file(tensors: readonly Tensor[]): Uint8Array<ArrayBuffer> {
  const entries = tensors.map((tensor) => ({ ...tensor, byteLength: tensor.bytes.byteLength }));
  for (const { shape, dtype, byteLength } of entries) {
    assertEquals(byteLength, shape.reduce((a, b) => a * b, 1) * DTYPE_BITS[dtype] / 8);
  }
  const parts = [encodeHeader(entries, null), ...tensors.map(({ bytes }) => bytes)];
  const whole = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

function drawn(count: number, seed = 1): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => ((i + seed) * 2654435761 % 1000) / 500 - 1);
}

async function apply(test: TestApp, query: string, tensors: readonly Tensor[], init: RequestInit = {}) {
  const headers = { "content-type": "application/octet-stream" };
  return await test.ask(`/v1/apply?base=tiny&${query}`, { method: "POST", headers, body: file(tensors), ...init });
}

async function tensorsOf(response: Response): Promise<Map<string, { shape: readonly number[]; values: number[] }>> {
  assertEquals(response.status, 200, response.status === 200 ? "" : await response.text());
  const bytes = await response.bytes();
  assertEquals(response.headers.get("content-length"), String(bytes.byteLength));
  const { tensors } = parseHeader(bytes, bytes.byteLength, "the answer");
  return new Map(tensors.map(({ name, dtype, shape, offset, byteLength }) => {
    assertEquals(dtype, "F32");
    return [name, { shape, values: [...new Float32Array(bytes.slice(offset, offset + byteLength).buffer)] }];
  }));
}

Deno.test("v1 apply: each operation gives what the library gives, to the bit", async () => {
  await using test = await testApp();
  await using library = await prepareApply({
    ...{ base: `${LLAMA}/base`, adapters: [{ path: `${LLAMA}/etherplus`, strength: 0.5 }, { path: `${LLAMA}/ether` }] },
  });
  const [x, y] = [drawn(3 * 192), drawn(2 * 192, 7)];
  for (const op of ["in", "out", "linear"] as const) {
    const response = await apply(test, `op=${op}&adapters=plus@0.5,ether`, [
      f32(Q, 192, x),
      f32(`${Q.replace("0", "1")}`, 192, y),
    ]);
    const found = await tensorsOf(response);
    for (const [module, values] of [[Q, x], [Q.replace("0", "1"), y]] as const) {
      const expected = await library[op](module, values);
      assertEquals(found.get(module)!.values, [...expected], `${op} ${module}`);
      assertEquals(found.get(module)!.shape[0], values.length / 192);
    }
  }
  assertEquals(test.routes.budget.usedBytes, 0);
});

Deno.test("v1 apply: each token has an adapter of its own, or none", async () => {
  await using test = await testApp();
  await using library = await prepareApply({
    ...{ base: `${LLAMA}/base`, adapters: [{ path: `${LLAMA}/ether` }, { path: `${LLAMA}/etherplus` }] },
  });
  const x = drawn(4 * 192);
  const rows = [1, -1, 0, 1];
  const found = await tensorsOf(
    await apply(test, "op=linear&adapters=ether,plus", [f32(Q, 192, x), i32(`${Q}.rows`, rows)]),
  );
  assertEquals([...found.keys()], [Q]);
  assertEquals(found.get(Q)!.values, [...await library.linear(Q, x, { rows })]);
  const without = await tensorsOf(await apply(test, "op=linear", [f32(Q, 192, x)]));
  const outLength = without.get(Q)!.shape[1]!;
  const slice = (values: number[]) => values.slice(outLength, 2 * outLength);
  assertEquals(slice(found.get(Q)!.values), slice(without.get(Q)!.values), "row 1 has no adapter");
  assert(found.get(Q)!.values[0] !== without.get(Q)!.values[0]);
});

Deno.test("v1 apply: F16 and BF16 are read, no tokens give no tokens", async () => {
  await using test = await testApp();
  const half: Tensor = {
    name: Q,
    dtype: "F16",
    shape: [1, 192],
    bytes: new Uint8Array(new Uint16Array(192).fill(0x3c00).buffer),
  };
  const brain: Tensor = { ...half, dtype: "BF16", bytes: new Uint8Array(new Uint16Array(192).fill(0x3f80).buffer) };
  const ones = f32(Q, 192, new Float32Array(192).fill(1));
  const answers = [];
  for (const tensor of [half, brain, ones]) {
    answers.push(await tensorsOf(await apply(test, "op=in&adapters=plus", [tensor])));
  }
  assertEquals(answers[0], answers[2]);
  assertEquals(answers[1], answers[2]);
  const none = await tensorsOf(await apply(test, "op=linear&adapters=plus", [f32(DOWN, 512, new Float32Array(0))]));
  assertEquals(none.get(DOWN), { shape: [0, 192], values: [] });
  assertEquals((await tensorsOf(await apply(test, "op=in&adapters=plus", []))).size, 0);
});

const ONE = f32(Q, 192, drawn(192));
const refusals: readonly [name: string, status: number, code: string, query: string, tensors: readonly Tensor[]][] = [
  ["an operation that there is not", 400, "usage", "op=up", [ONE]],
  ["no operation", 400, "usage", "adapters=ether", [ONE]],
  ["the base given twice", 400, "usage", "op=in&base=tiny", [ONE]],
  ["an adapter that there is not", 404, "not_found", "op=in&adapters=ether,nobody", [ONE]],
  ["an empty adapter", 422, "bad_recipe", "op=in&adapters=ether,", [ONE]],
  ["a recipe in a part", 422, "bad_recipe", "op=in&adapters=ether%2Bplus", [ONE]],
  ["a strength that there is not", 422, "bad_recipe", "op=in&adapters=ether@1e3", [ONE]],
  ["a module that there is not", 422, "unknown_target", "op=in&adapters=ether", [f32("nothing", 192, drawn(192))]],
  ["another dimension", 422, "bad_shape", "op=in&adapters=ether", [f32(Q, 96, drawn(192))]],
  ["an index past the adapters", 400, "usage", "op=in&adapters=ether", [ONE, i32(`${Q}.rows`, [1])]],
  ["fewer rows than tokens", 422, "bad_shape", "op=in&adapters=ether", [ONE, i32(`${Q}.rows`, [])]],
];
for (const [name, status, code, query, tensors] of refusals) {
  Deno.test(`v1 apply: ${name} is ${status} ${code}`, async () => {
    await using test = await testApp();
    const response = await apply(test, query, tensors);
    const problem = await response.clone().json();
    assertEquals([response.status, await problemCode(response)], [status, code], JSON.stringify(problem));
    assertEquals(test.routes.budget.usedBytes, 0);
  });
}

Deno.test("v1 apply: in the reference layout there is no one Hx, but there is W'x", async () => {
  await using test = await testApp();
  test.adapters.set("reference", await fixtureAdapter("etherplus-reference"));
  const response = await apply(test, "op=in&adapters=reference", [ONE]);
  assertEquals([response.status, await problemCode(response)], [422, "unsupported"]);
  assertEquals((await tensorsOf(await apply(test, "op=linear&adapters=reference", [ONE]))).get(Q)!.shape, [1, 192]);
});

Deno.test("v1 apply: no body, a torn one, or one of another type is refused", async () => {
  await using test = await testApp();
  const query = "op=in&adapters=ether";
  for (
    const [init, status, code] of [
      [{ body: null }, 422, "bad_header"],
      [{ body: file([ONE]).slice(0, -1) }, 422, "bad_header"],
      [{ headers: { "content-type": "application/json" } }, 415, "usage"],
    ] as [RequestInit, number, string][]
  ) {
    const response = await apply(test, query, [ONE], init);
    assertEquals([response.status, await problemCode(response)], [status, code]);
  }
});

Deno.test("v1 apply: neither a body nor an answer is larger than the limit", async () => {
  await using test = await testApp({ limits: { applyBytes: 4096 } });
  const large = await apply(test, "op=in&adapters=ether", [f32(Q, 192, drawn(6 * 192))]);
  assertEquals([large.status, await problemCode(large)], [413, "too_large"]);
  // 3 tokens of BF16 are small enough; as F32, and 512 of them where there were 192, they are not.
  const gate: Tensor = {
    name: DOWN.replace("down", "gate"),
    dtype: "BF16",
    shape: [9, 192],
    bytes: new Uint8Array(9 * 384),
  };
  const answer = await apply(test, "op=linear&adapters=ether", [gate]);
  assertEquals([answer.status, await problemCode(answer)], [413, "too_large"]);
  assertEquals(test.routes.budget.usedBytes, 0);
});

Deno.test("v1 apply: there must be room for the answer too", async () => {
  await using test = await testApp({ maxBytes: 200_000 });
  const gate = f32(DOWN.replace("down", "gate"), 192, drawn(50 * 192));
  const held = test.routes.budget.reserve(60_000);
  const busy = await apply(test, "op=linear&adapters=ether", [gate]);
  assertEquals([busy.status, await problemCode(busy)], [503, "busy"]);
  held.release();
  assertEquals((await tensorsOf(await apply(test, "op=linear&adapters=ether", [gate]))).size, 1);
  assertEquals(test.routes.budget.usedBytes, 0);
});

Deno.test("v1 apply: an answer that nobody takes gives back what it held", async () => {
  await using test = await testApp();
  const response = await apply(test, "op=in&adapters=ether", [ONE]);
  assert(test.routes.budget.usedBytes > 0);
  await response.body!.cancel();
  assertEquals(test.routes.budget.usedBytes, 0);
  assertEquals(test.lines.map(({ outcome }) => outcome), ["cancelled"]);
});

Deno.test("v1 apply: what fails underneath is the server's fault, and said without its names", async () => {
  await using test = await testApp({
    repositories: { apply: () => Promise.reject(new EtherError("io_error", "disk", { file: "/srv/secret" })) },
  });
  const response = await apply(test, "op=in&adapters=ether", [ONE]);
  const text = await response.clone().text();
  assertEquals([response.status, text.includes("secret"), await problemCode(response)], [500, false, "io_error"]);
  assert(test.lines.some(({ level, detail }) => level === "error" && String(detail).includes("/srv/secret")));
});

Deno.test("v1 apply: adapters that all apply are as many as in a recipe; those of rows are more, and not without end", async () => {
  await using test = await testApp();
  const list = (count: number) => Array.from({ length: count }, (_, i) => i % 2 === 0 ? "plus" : "ether").join(",");
  const rows = i32(`${Q}.rows`, [19]);
  const [row] = ONE.shape;
  assertEquals(row, 1);
  const cases: [count: number, tensors: readonly Tensor[], status: number][] = [
    [16, [ONE], 200],
    [17, [ONE], 422],
    [20, [ONE, rows], 200],
    [257, [ONE, rows], 422],
    [20, [ONE, rows, f32(DOWN, 512, drawn(512))], 422],
  ];
  for (const [count, tensors, status] of cases) {
    const response = await apply(test, `op=in&adapters=${list(count)}`, tensors);
    assertEquals(response.status, status, `${count}`);
    if (status === 422) assertEquals(await problemCode(response), "bad_recipe");
    else await response.body!.cancel();
  }
  assertEquals(test.routes.budget.usedBytes, 0);
});
