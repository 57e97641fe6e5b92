import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { readActivations, widened } from "../../../routes/v1/apply_request.ts";
import { EtherError } from "../../../runtime/error.ts";
import { type Dtype, DTYPE_BITS } from "../../../runtime/safetensors/dtype.ts";
import { encodeHeader } from "../../../runtime/safetensors/write.ts";

type Entry = readonly [name: string, dtype: Dtype, shape: readonly number[], bytes?: Uint8Array];

function file(...entries: readonly Entry[]): Uint8Array<ArrayBuffer> {
  const tensors = entries.map(([name, dtype, shape]) => {
    return { name, dtype, shape, byteLength: shape.reduce((a, b) => a * b, 1) * DTYPE_BITS[dtype] / 8 };
  });
  const header = encodeHeader(tensors, null);
  const bytes = new Uint8Array(tensors.reduce((sum, { byteLength }) => sum + byteLength, header.byteLength));
  bytes.set(header);
  let at = header.byteLength;
  for (const [i, [, , , content]] of entries.entries()) {
    bytes.set(content ?? new Uint8Array(tensors[i]!.byteLength), at);
    at += tensors[i]!.byteLength;
  }
  return bytes;
}

const bytesOf = (values: Float32Array | Int32Array | Uint16Array) => new Uint8Array(values.buffer as ArrayBuffer);

Deno.test("apply request: activations with their rows, of each dtype", () => {
  const read = readActivations(file(
    ["m.a", "F32", [2, 2], bytesOf(Float32Array.of(1, -2, 3, 4))],
    ["m.a.rows", "I32", [2], bytesOf(Int32Array.of(-1, 7))],
    ["b", "BF16", [1, 2], bytesOf(Uint16Array.of(0x3f80, 0xc000))],
    ["c", "F16", [1, 2], bytesOf(Uint16Array.of(0x3c00, 0xc000))],
    ["d", "F32", [0, 5]],
  ));
  assertEquals(
    read.map(({ module, tokenCount, dimension, rows }) => [module, tokenCount, dimension, rows]),
    [
      ["d", 0, 5, null],
      ["m.a", 2, 2, Int32Array.of(-1, 7)],
      ["b", 1, 2, null],
      ["c", 1, 2, null],
    ].sort((a, b) =>
      read.findIndex((one) => one.module === a[0]) - read.findIndex((one) => one.module === b[0])
    ) as never,
  );
  const values = new Map(read.map((one) => [one.module, [...widened(one)]]));
  assertEquals([values.get("m.a"), values.get("b"), values.get("c"), values.get("d")], [
    ...[[1, -2, 3, 4], [1, -2], [1, -2], []],
  ]);
});

Deno.test("apply request: a module may itself be called rows", () => {
  const read = readActivations(file(["x.rows", "F32", [1, 1]]));
  assertEquals(read.map(({ module }) => module), ["x.rows"]);
});

const refusals: readonly [name: string, code: string, bytes: Uint8Array<ArrayBuffer>][] = [
  ["no file at all", "bad_header", new Uint8Array(3)],
  ["a file that is cut short", "bad_header", file(["a", "F32", [2, 2]]).slice(0, -1)],
  ["integers as activations", "unsupported_dtype", file(["a", "I32", [1, 1]])],
  ["rows of nothing", "unused_tensor", file(["a.rows", "I32", [1]])],
  ["rows of another dtype", "unsupported_dtype", file(["a", "F32", [1, 1]], ["a.rows", "I64", [1]])],
  ["more rows than tokens", "bad_shape", file(["a", "F32", [1, 1]], ["a.rows", "I32", [2]])],
  ["rows of rank 2", "bad_shape", file(["a", "F32", [1, 1]], ["a.rows", "I32", [1, 1]])],
  ["a vector", "bad_shape", file(["a", "F32", [4]])],
  ["rank 3", "bad_shape", file(["a", "F32", [1, 2, 2]])],
  ["tokens of no dimension", "bad_shape", file(["a", "F32", [1e12, 0]])],
  ["a header of more than a megabyte", "too_large", file(["a".repeat(1 << 20), "F32", [1, 1]])],
  ["too many modules", "too_large", file(...Array.from({ length: 4097 }, (_, i) => [`${i}`, "F32", [0, 1]] as const))],
];
for (const [name, code, bytes] of refusals) {
  Deno.test(`apply request: ${name} is ${code}`, () => {
    assertEquals(assertThrows(() => readActivations(bytes), EtherError).code, code);
  });
}

Deno.test("apply request: any bytes are read or refused in one line", () => {
  const valid = file(["a", "F32", [1, 2]], ["a.rows", "I32", [1]]);
  const damaged = fc.tuple(fc.nat(valid.length - 1), fc.nat(255)).map(([at, byte]) => valid.with(at, byte));
  fc.assert(fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 64 })), (bytes) => {
    try {
      readActivations(new Uint8Array(bytes));
    } catch (error) {
      assertEquals(error instanceof EtherError, true, String(error));
    }
  }));
});
