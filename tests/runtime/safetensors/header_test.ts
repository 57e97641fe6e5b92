import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import broken from "../../../fixtures/hostile/headers.json" with { type: "json" };
import odd from "../../../fixtures/hostile/odd_headers.json" with { type: "json" };
import { EtherError } from "../../../runtime/error.ts";
import { DTYPE_BITS } from "../../../runtime/safetensors/dtype.ts";
import { headerByteLength, MAX_HEADER_LENGTH, parseHeader } from "../../../runtime/safetensors/header.ts";
import { shapeText } from "../../../runtime/safetensors/tensor_info.ts";
import { hostileBytes, type HostileFile } from "./hostile_file.ts";

interface BrokenFile extends HostileFile {
  name: string;
  says: string;
  tensor?: string;
  field?: string;
}

for (const file of broken as BrokenFile[]) {
  Deno.test(`parseHeader refuses: ${file.name}`, () => {
    const bytes = hostileBytes(file);
    const error = assertThrows(() => parseHeader(bytes, bytes.byteLength, "x.safetensors"), EtherError);
    assertEquals(error.code, "bad_header");
    assertEquals(error.file, "x.safetensors");
    assertStringIncludes(error.message, file.says);
    assertEquals([error.tensor, error.field], [file.tensor, file.field]);
  });
}

for (const file of odd) {
  Deno.test(`parseHeader accepts: ${file.name}`, () => {
    const bytes = hostileBytes(file);
    const header = parseHeader(bytes, bytes.byteLength, "x.safetensors");
    assertEquals(header.headerLength, bytes.byteLength - file.data);
    assertEquals(
      header.tensors.map((tensor) => {
        const begin = tensor.offset - header.headerLength;
        return `${tensor.name} ${tensor.dtype} [${shapeText(tensor)}] ${begin}+${tensor.byteLength}`;
      }),
      file.tensors,
    );
    for (const tensor of header.tensors) assertEquals(header.byName.get(tensor.name), tensor);
    assertEquals(header.byName.size, header.tensors.length);
    assertEquals(header.metadata && [...header.metadata], file.metadata && Object.entries(file.metadata));
  });
}

for (const [dtype, bits] of Object.entries(DTYPE_BITS)) {
  Deno.test(`parseHeader counts 8 elements of ${dtype} as ${bits} bytes`, () => {
    const bytes = hostileBytes({
      header: `{"a":{"dtype":"${dtype}","shape":[2,4],"data_offsets":[0,${bits}]}}`,
      data: bits,
    });
    const header = parseHeader(bytes, bytes.byteLength, "x");
    assertEquals(header.tensors[0]?.byteLength, bits);
    assertEquals(header.tensors[0]?.dtype, dtype);
  });
}

Deno.test("parseHeader knows the 22 dtypes of the reference library", () => {
  assertEquals(Object.keys(DTYPE_BITS).length, 22);
});

Deno.test("parseHeader reports JSON at fault before a tensor at fault that stands earlier", () => {
  const bytes = hostileBytes({ header: '{"a":{"dtype":"F33"},"b":{},"b":{}}' });
  assertThrows(() => parseHeader(bytes, bytes.byteLength, "x"), EtherError, 'duplicate key "b"');
});

Deno.test("parseHeader cuts a hostile name in its errors", () => {
  const bytes = hostileBytes({ header: `{"${"n".repeat(10_000)}":null}` });
  const error = assertThrows(() => parseHeader(bytes, bytes.byteLength, "x"), EtherError);
  assert(error.toLine().length < 400);
});

Deno.test("parseHeader keeps exact dimensions only where a double does not", () => {
  const tensors = '{"a":{"dtype":"U8","shape":[0,9007199254740991],"data_offsets":[0,0]},' +
    '"b":{"dtype":"U8","shape":[0,9007199254740993],"data_offsets":[0,0]}}';
  const bytes = hostileBytes({ header: tensors });
  const { byName } = parseHeader(bytes, bytes.byteLength, "x");
  assertEquals(byName.get("a")?.exactShape, undefined);
  assertEquals(byName.get("b")?.exactShape, [0n, 9007199254740993n]);
});

Deno.test("parseHeader refuses a file that is longer or shorter than its header says, by any amount", () => {
  const bytes = hostileBytes({ header: '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', data: 4 });
  parseHeader(bytes, bytes.byteLength, "x");
  for (const off of [-4, -1, 1, 2 ** 32, 2 ** 52]) {
    const error = assertThrows(() => parseHeader(bytes, bytes.byteLength + off, "x"), EtherError);
    assertEquals(error.code, "bad_header");
  }
});

Deno.test("headerByteLength takes N up to its limit, and the storage's word for the size", () => {
  const start = new Uint8Array(8);
  new DataView(start.buffer).setBigUint64(0, BigInt(MAX_HEADER_LENGTH), true);
  assertEquals(headerByteLength(start, MAX_HEADER_LENGTH + 8, "x"), MAX_HEADER_LENGTH + 8);
  assertThrows(() => headerByteLength(start, MAX_HEADER_LENGTH + 7, "x"), EtherError, "only 99999999 bytes follow");
});

Deno.test("parseHeader answers any damage to a header with a header or an EtherError", () => {
  const header = '{"__metadata__":{"format":"pt"},"a.weight":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},' +
    '"\u00e9\\ud83d\\ude00":{"dtype":"F4","shape":[],"x":[{"y":-1.5e2}],"shape2":null,"data_offsets":[12,12]}} ';
  const valid = hostileBytes({ header: header.replace('"shape":[],', '"shape":[0],'), data: 12 });
  parseHeader(valid, valid.byteLength, "x");
  const damage = fc.tuple(
    fc.nat(valid.byteLength - 13),
    fc.oneof(fc.nat(255), fc.constantFrom(...new TextEncoder().encode('{}[]":,0123456789-+.eE\\u tfn'))),
    fc.constantFrom("replace", "insert", "remove"),
  );
  fc.assert(
    fc.property(damage, ([at, byte, how]) => {
      const bytes = [...valid];
      if (how === "replace") bytes[at] = byte;
      else if (how === "insert") bytes.splice(at, 0, byte);
      else bytes.splice(at, 1);
      try {
        const damaged = Uint8Array.from(bytes);
        const { tensors, headerLength } = parseHeader(damaged, damaged.byteLength, "x");
        const end = tensors.reduce((sum, tensor) => sum + tensor.byteLength, headerLength);
        assertEquals(end, damaged.byteLength);
      } catch (error) {
        assert(error instanceof EtherError, `${error}`);
        assertEquals(error.code, "bad_header");
      }
    }),
    { numRuns: 3000 },
  );
});
