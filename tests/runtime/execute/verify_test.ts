/** `--verify`: an output that does not read as it was written is refused. */
import { assertEquals, assertRejects } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { mergeTo } from "../../../runtime/execute/merge_to.ts";
import { prepareMerge, type Storage } from "../../../runtime/plans/prepare_merge.ts";
import { MemoryOutput } from "./memory_output.ts";
import { buildProblem, type Problem } from "./problem.ts";

const PROBLEM: Problem = {
  ...{ seed: 3, dtype: "BF16", outer: 12, inner: 16 },
  adapters: [{ variant: "ether", sides: ["in"], layout: "paper", numBlocks: 2 }],
};

/** Reads one file with its last byte flipped, as from a disk that lies. */
function lying(storage: Storage, path: string): Storage {
  return {
    ...storage,
    startDigest: storage.startDigest,
    openSource: async (locator) => {
      const source = await storage.openSource(locator);
      if (locator !== path) return source;
      return {
        ...source,
        read: async (offset, into) => {
          await source.read(offset, into);
          if (offset + into.byteLength === source.size) into[into.byteLength - 1]! ^= 1;
        },
      };
    },
  };
}

for (const file of ["model.safetensors", "config.json"]) {
  Deno.test(`verify: ${file} with a flipped byte is verify_failed; without verify nobody looks`, async () => {
    const merge = async (verify: boolean, path: string) => {
      const { storage } = await buildProblem(PROBLEM);
      storage.set("base/config.json", '{"model_type":"llama"}');
      const adapters = [{ place: storage.place("adapter0") }];
      const { plan } = await prepareMerge({ base: storage.place("base"), adapters }, storage);
      return await mergeTo(plan, new MemoryOutput(storage), lying(storage, path), { verify });
    };
    const error = await assertRejects(() => merge(true, `out/${file}`), EtherError);
    assertEquals([error.code, error.file], ["verify_failed", file]);
    await merge(false, `out/${file}`);
    await merge(true, "out/other");
  });
}
