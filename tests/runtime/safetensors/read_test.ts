import { assertEquals, assertRejects } from "@std/assert";
import broken from "../../../fixtures/hostile/headers.json" with { type: "json" };
import { EtherError } from "../../../runtime/error.ts";
import type { ByteSource } from "../../../runtime/io/source.ts";
import { readHeader } from "../../../runtime/safetensors/read.ts";
import { hostileBytes, type HostileFile } from "./hostile_file.ts";

class RecordingSource implements ByteSource {
  readonly name = "x.safetensors";
  readonly reads: [number, number][] = [];
  constructor(readonly bytes: Uint8Array, readonly size: number = bytes.byteLength) {}
  read(offset: number, into: Uint8Array): void {
    this.reads.push([offset, into.byteLength]);
    into.set(this.bytes.subarray(offset, offset + into.byteLength));
  }
  close(): void {}
}

Deno.test("readHeader reads the length, then the header, and no data", async () => {
  const header = '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}';
  const source = new RecordingSource(hostileBytes({ header, data: 4 }));
  assertEquals((await readHeader(source)).tensors[0]?.offset, 8 + header.length);
  assertEquals(source.reads, [[0, 8], [0, 8 + header.length]]);
});

Deno.test("readHeader reads nothing more once the length is impossible", async () => {
  const source = new RecordingSource(Uint8Array.fromHex("ffffffffffffffff7b7d"), 2 ** 40);
  await assertRejects(() => readHeader(source), EtherError, "above the format's limit");
  assertEquals(source.reads, [[0, 8]]);
});

Deno.test("readHeader refuses every broken file with bad_header", async () => {
  for (const file of broken as HostileFile[]) {
    const error = await assertRejects(() => readHeader(new RecordingSource(hostileBytes(file))), EtherError);
    assertEquals([error.code, error.file], ["bad_header", "x.safetensors"]);
  }
});
