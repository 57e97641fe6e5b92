/** Whole checkpoints of any tensors: what is in the output, where, and what it was before. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { MergePlan } from "../../../runtime/plans/plan.ts";
import { prepareMerge } from "../../../runtime/plans/prepare_merge.ts";
import { type Dtype, DTYPE_BITS, type FloatDtype, isFloatDtype } from "../../../runtime/safetensors/dtype.ts";
import { parseHeader } from "../../../runtime/safetensors/header.ts";
import { encodeHeader } from "../../../runtime/safetensors/write.ts";
import { decodeFloat64 } from "../../../fixtures/decode.ts";
import { roundTo } from "../../golden/rounding.ts";
import { Random } from "../kernel/arbitrary.ts";
import { MemoryStorage } from "../execute/memory_storage.ts";
import { computeFile, encodeValues, tensorFile } from "../execute/problem.ts";

interface StoredTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const TARGET_SHAPE = [6, 8] as const;

/** Tensors of any dtype and rank, some empty, and a target for an adapter among them. */
const checkpoints = fc.record({
  seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  others: fc.array(
    fc.record({
      dtype: fc.constantFrom<Dtype>("F32", "F16", "BF16", "U8", "BOOL", "I64", "F64", "F8_E4M3", "I16"),
      shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
    }),
    { maxLength: 7 },
  ),
  at: fc.nat({ max: 7 }),
  targetDtype: fc.constantFrom<FloatDtype>("F32", "F16", "BF16"),
  padding: fc.nat({ max: 20 }),
}).map(({ seed, others, at, targetDtype, padding }) => {
  const random = new Random(seed);
  const tensors = others.map(({ dtype, shape }, i): StoredTensor => {
    const length = shape.reduce((product, size) => product * size, 1);
    const bytes = isFloatDtype(dtype)
      ? encodeValues(dtype, Float64Array.from({ length }, () => random.normal()))
      : Uint8Array.from({ length: length * DTYPE_BITS[dtype] / 8 }, () => random.bits());
    return { name: `other.${i}.bias`, dtype, shape, bytes };
  });
  const values = Float64Array.from({ length: 48 }, () => random.normal());
  const target = {
    name: "target.weight",
    dtype: targetDtype,
    shape: TARGET_SHAPE,
    bytes: encodeValues(targetDtype, values),
  };
  tensors.splice(Math.min(at, tensors.length), 0, target);
  return { tensors, padding };
});

/** A file whose header ends anywhere, as other writers' may. */
function fileOf(tensors: readonly StoredTensor[], padding: number): Uint8Array<ArrayBuffer> {
  const infos = tensors.map(({ bytes, ...tensor }) => ({ ...tensor, byteLength: bytes.byteLength }));
  const header = encodeHeader(infos, new Map([["format", "pt"]]));
  const file = new Uint8Array(tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, header.byteLength + padding));
  file.set(header);
  file.fill(0x20, header.byteLength, header.byteLength + padding);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.byteLength + padding - 8), true);
  let offset = header.byteLength + padding;
  for (const { bytes } of tensors) {
    file.set(bytes, offset);
    offset += bytes.byteLength;
  }
  return file;
}

async function merge(tensors: readonly StoredTensor[], padding: number, dtype?: FloatDtype, untie = false) {
  const storage = new MemoryStorage();
  const base = fileOf(tensors, padding);
  storage.set("base/model.safetensors", base);
  if (untie) storage.set("base/config.json", JSON.stringify({ model_type: "llama", tie_word_embeddings: true }));
  const u = encodeValues("F32", Float64Array.of(1, 2, 3, 4, -1, 0.5, 2, 1));
  storage.set(
    "adapter/adapter_model.safetensors",
    tensorFile([["base_model.model.target.ether_u_in", "F32", [2, 4], u]]),
  );
  const config = { peft_type: "ETHER", variant: "ether", sides: ["in"], num_blocks: 2, layout: "paper" };
  storage.set("adapter/adapter_config.json", JSON.stringify(config));
  const adapters = [{ place: storage.place("adapter") }];
  const { plan } = await prepareMerge({ base: storage.place("base"), adapters, dtype, untie }, storage);
  return { base, plan, file: await computeFile({ plan, storage }) };
}

function tensorsOf(file: Uint8Array<ArrayBuffer>): Map<string, StoredTensor> {
  const { tensors } = parseHeader(file, file.byteLength, "merged");
  return new Map(tensors.map(({ name, dtype, shape, offset, byteLength }) => {
    return [name, { name, dtype, shape, bytes: file.slice(offset, offset + byteLength) }];
  }));
}

function assertSpansCover({ files }: MergePlan): void {
  for (const { size, spans } of files) {
    let offset = 0;
    for (const span of spans) {
      assertEquals(span.offset, offset);
      assert(span.byteLength > 0, "an empty span has no place");
      offset += span.byteLength;
    }
    assertEquals(offset, size);
  }
}

Deno.test("planMerge: the header and every tensor but the target come out byte for byte, at their old places", async () => {
  await fc.assert(
    fc.asyncProperty(checkpoints, async ({ tensors, padding }) => {
      const { base, plan, file } = await merge(tensors, padding);
      assertSpansCover(plan);
      assertEquals(file.byteLength, base.byteLength);
      const { offset, byteLength } = parseHeader(base, base.byteLength, "base").byName.get("target.weight")!;
      assertEquals(file.subarray(0, offset), base.subarray(0, offset));
      assertEquals(file.subarray(offset + byteLength), base.subarray(offset + byteLength));
      assert(file.subarray(offset, offset + byteLength).some((byte, i) => byte !== base[offset + i]));
      assertEquals([plan.copiedCount, plan.castCount, plan.transformed.length], [tensors.length - 1, 0, 1]);
    }),
    { numRuns: 150 },
  );
});

Deno.test("planMerge with untie: the head is the embedding's copy, after the last tensor, and the config says so", async () => {
  const embedding = encodeValues("F32", Float64Array.from({ length: 12 }, (_, i) => i));
  const tensors: StoredTensor[] = [
    {
      name: "target.weight",
      dtype: "F32",
      shape: TARGET_SHAPE,
      bytes: encodeValues("F32", new Float64Array(48).fill(1)),
    },
    { name: "model.embed_tokens.weight", dtype: "F32", shape: [3, 4], bytes: embedding },
    { name: "model.norm.weight", dtype: "F32", shape: [4], bytes: new Uint8Array(16).fill(3) },
  ];
  const { plan, file } = await merge(tensors, 0, undefined, true);
  assertSpansCover(plan);
  const merged = tensorsOf(file);
  assertEquals([...merged.keys()], [...tensors.map(({ name }) => name), "lm_head.weight"]);
  assertEquals(merged.get("lm_head.weight"), { ...tensors[1]!, name: "lm_head.weight" });
  for (const { name, bytes } of tensors.slice(1)) assertEquals(merged.get(name)!.bytes, bytes);
  const config = plan.smallFiles.find(({ path }) => path === "config.json")!.content;
  const { tie_word_embeddings } = JSON.parse(new TextDecoder().decode("bytes" in config ? config.bytes : undefined));
  assertEquals(tie_word_embeddings, false);
});

Deno.test("planMerge with a cast: every F32, F16 and BF16 tensor has the new dtype, everything else its bytes", async () => {
  await fc.assert(
    fc.asyncProperty(
      checkpoints,
      fc.constantFrom<FloatDtype>("F32", "F16", "BF16"),
      async ({ tensors, padding }, dtype) => {
        const { plan, file } = await merge(tensors, padding, dtype);
        assertSpansCover(plan);
        const merged = tensorsOf(file);
        assertEquals([...merged.keys()].sort(), tensors.map(({ name }) => name).sort());
        for (const { name, dtype: before, shape, bytes } of tensors) {
          const after = merged.get(name)!;
          assertEquals(after.shape, shape);
          assertEquals(after.dtype, isFloatDtype(before) ? dtype : before);
          if (name === "target.weight") continue;
          if (after.dtype === before) assertEquals(after.bytes, bytes);
          else {
            const expected = decodeFloat64({ dtype: before, shape, bytes }).map((x) => roundTo(dtype, x));
            assertEquals([...decodeFloat64(after)], [...expected]);
          }
        }
        const { metadata } = parseHeader(file, file.byteLength, "merged");
        assertEquals(metadata?.get("format"), "pt");
      },
    ),
    { numRuns: 150 },
  );
});
