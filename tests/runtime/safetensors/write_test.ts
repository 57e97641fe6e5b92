import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { EtherError } from "../../../runtime/error.ts";
import { type Dtype, DTYPE_BITS } from "../../../runtime/safetensors/dtype.ts";
import { parseHeader } from "../../../runtime/safetensors/header.ts";
import { encodeHeader, type TensorEntry } from "../../../runtime/safetensors/write.ts";

const text = fc.string({ unit: "binary" });
const dtype = fc.constantFrom(...Object.keys(DTYPE_BITS) as Dtype[]);
// A last dimension of 4 makes any dtype whole bytes.
const shape = fc.array(fc.nat(5), { maxLength: 3 }).map((dimensions) => [...dimensions, 4]);
const tensor: fc.Arbitrary<TensorEntry> = fc.tuple(text, dtype, shape).map(([name, dtype, shape]) => {
  const elementCount = shape.reduce((product, dimension) => product * dimension, 1);
  return { name, dtype, shape, byteLength: elementCount * DTYPE_BITS[dtype] / 8 };
});
const entries = fc.uniqueArray(tensor, { selector: (entry) => entry.name, maxLength: 8 })
  .map((list) => list.filter((entry) => entry.name !== "__metadata__"));
const metadata = fc.uniqueArray(fc.tuple(text, text), { selector: ([key]) => key, maxLength: 4 })
  .map((pairs) => new Map(pairs));

Deno.test("encodeHeader and parseHeader are inverse, for any names, metadata and dtypes", () => {
  fc.assert(fc.property(entries, metadata, (entries, metadata) => {
    const bytes = encodeHeader(entries, metadata);
    const dataLength = entries.reduce((sum, entry) => sum + entry.byteLength, 0);
    const header = parseHeader(bytes, bytes.byteLength + dataLength, "x");
    assertEquals(header.headerLength, bytes.byteLength);
    assertEquals(bytes.byteLength % 8, 0);
    assertEquals(header.metadata && [...header.metadata], metadata.size === 0 ? null : [...metadata]);
    const again = encodeHeader(header.tensors, header.metadata);
    // Tensors of no bytes come before one of some bytes at the same place, so order is only kept without them.
    if (entries.every((entry) => entry.byteLength > 0)) assertEquals(again, bytes);
    const byName = (a: TensorEntry, b: TensorEntry) => a.name < b.name ? -1 : 1;
    assertEquals(
      header.tensors.map(({ offset: _, ...entry }) => entry).sort(byName),
      entries.toSorted(byName),
    );
  }));
});

Deno.test("encodeHeader writes __metadata__ first, pads with spaces, and lays tensors end to end", () => {
  const bytes = encodeHeader([
    { name: "b", dtype: "F32", shape: [1], byteLength: 4 },
    { name: "a", dtype: "BF16", shape: [2, 1], byteLength: 4 },
  ], new Map([["format", "pt"]]));
  assertEquals(
    new TextDecoder().decode(bytes.subarray(8)),
    '{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
      '"a":{"dtype":"BF16","shape":[2,1],"data_offsets":[4,8]}}   ',
  );
  assertEquals(bytes[0], bytes.byteLength - 8);
});

Deno.test("encodeHeader writes no __metadata__ that is empty", () => {
  assertEquals(encodeHeader([], new Map()), encodeHeader([], null));
  assertEquals([...encodeHeader([], null)], [8, 0, 0, 0, 0, 0, 0, 0, 123, 125, 32, 32, 32, 32, 32, 32]);
});

Deno.test("encodeHeader writes a dimension of 2^64 - 1 exactly", () => {
  const entry: TensorEntry = {
    name: "a",
    dtype: "F32",
    shape: [0, 2 ** 64],
    exactShape: [0n, 2n ** 64n - 1n],
    byteLength: 0,
  };
  const bytes = encodeHeader([entry], null);
  assertEquals(parseHeader(bytes, bytes.byteLength, "x").tensors[0]?.exactShape, [0n, 2n ** 64n - 1n]);
});

const refused: { name: string; entries: TensorEntry[]; metadata?: Map<string, string>; says: string }[] = [
  {
    name: "a size that does not fit",
    entries: [{ name: "a", dtype: "F32", shape: [2], byteLength: 4 }],
    says: "4 bytes for a tensor that takes 8: F32 [2]",
  },
  {
    name: "a negative dimension",
    entries: [{ name: "a", dtype: "F32", shape: [-1, -1], byteLength: 4 }],
    says: "dimension -1",
  },
  {
    name: "a name twice",
    entries: [1, 2].map(() => ({ name: "a", dtype: "U8", shape: [1], byteLength: 1 })),
    says: "taken",
  },
  {
    name: "the name __metadata__",
    entries: [{ name: "__metadata__", dtype: "U8", shape: [1], byteLength: 1 }],
    says: "taken",
  },
  {
    name: "a lone surrogate in a name",
    entries: [{ name: "\ud800", dtype: "U8", shape: [1], byteLength: 1 }],
    says: "lone surrogate",
  },
  { name: "a lone surrogate in metadata", entries: [], metadata: new Map([["a", "\udc00"]]), says: "lone surrogate" },
  { name: "more than 100 MB", entries: [], metadata: new Map([["a", "x".repeat(100_000_000)]]), says: "limit" },
];

for (const { name, entries, metadata, says } of refused) {
  Deno.test(`encodeHeader refuses ${name}`, () => {
    const error = assertThrows(() => encodeHeader(entries, metadata ?? null), EtherError, says);
    assertEquals(error.code, "bad_header");
  });
}

Deno.test("encodeHeader and parseHeader take 100,000 tensors", () => {
  const entries = Array.from({ length: 100_000 }, (_, i): TensorEntry => {
    return {
      name: `model.layers.${i}.self_attn.q_proj.weight`,
      dtype: "BF16",
      shape: [4096, 4096],
      byteLength: 2 ** 25,
    };
  });
  const bytes = encodeHeader(entries, null);
  const header = parseHeader(bytes, bytes.byteLength + 100_000 * 2 ** 25, "x");
  assertEquals(header.tensors.length, 100_000);
  assertEquals(header.tensors[99_999]?.offset, bytes.byteLength + 99_999 * 2 ** 25);
});
