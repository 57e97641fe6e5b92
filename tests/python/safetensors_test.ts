/** The reference library opens every shard that the merge writes, and finds what the base has. */
import { assert, assertEquals } from "@std/assert";
import { readTensorFile } from "../../fixtures/tensor_file.ts";
import { LLAMA, LLAMA_ADAPTERS, mergeFixture } from "../fixtures/merge_fixture.ts";
import { pythonTest, runPython } from "./python.ts";

interface Shard {
  metadata: Record<string, string> | null;
  tensors: Record<string, { dtype: string; shape: number[]; sha256: string }>;
}

type Shards = Record<string, Shard>;

const describe = (folder: string): Promise<Shards> => runPython<Shards>("describe_shards.py", { folder });

for (const adapter of LLAMA_ADAPTERS) {
  pythonTest(
    `safetensors: the shards merged with ${adapter} hold the base's tensors, the untouched ones unchanged`,
    async () => {
      const base = await describe(`${LLAMA}/base`);
      const merged = await describe(await mergeFixture(adapter));
      const targets = await targetsOf(adapter);
      assertEquals(without(merged), without(base));
      for (const [file, { tensors }] of Object.entries(base)) {
        for (const [name, { sha256 }] of Object.entries(tensors)) {
          const equal = merged[file]!.tensors[name]!.sha256 === sha256;
          assert(equal !== targets.has(name), `${name} is ${equal ? "unchanged" : "changed"}`);
        }
      }
    },
  );
}

for (const [dtype, torchDtype] of [["f16", "torch.float16"], ["f32", "torch.float32"]] as const) {
  pythonTest(`safetensors: shards written with --dtype ${dtype} open, with every tensor ${torchDtype}`, async () => {
    const base = await describe(`${LLAMA}/base`);
    const merged = await describe(await mergeFixture("etherplus", "--dtype", dtype));
    assertEquals(Object.keys(merged), Object.keys(base));
    for (const [file, { metadata, tensors }] of Object.entries(merged)) {
      assertEquals(metadata, base[file]!.metadata, file);
      assertEquals(Object.keys(tensors).sort(), Object.keys(base[file]!.tensors).sort(), file);
      for (const [name, tensor] of Object.entries(tensors)) {
        assertEquals([tensor.dtype, tensor.shape], [torchDtype, base[file]!.tensors[name]!.shape], name);
      }
    }
  });
}

/** The tensors that an adapter of the fixtures changes. */
async function targetsOf(adapter: string): Promise<Set<string>> {
  const names = [...(await readTensorFile(`${LLAMA}/${adapter}/adapter_model.safetensors`)).keys()];
  return new Set(names.map((name) => name.replace(/^base_model\.model\.(.+)\.ether_.*$/, "$1.weight")));
}

/** The shards without their content. */
function without(shards: Shards): unknown {
  return Object.entries(shards).map(([file, { metadata, tensors }]) => ({
    file,
    metadata,
    tensors: Object.entries(tensors).map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
  }));
}
