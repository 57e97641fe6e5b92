/** A model in one large file, whose SHA-256 is known, and adapters for it. */
import { writeSidecar } from "../../runtime/deno/sidecar.ts";
import { writeAdapter, writeModel } from "../synthetic_model.ts";

/** What the server's benchmarks run on. */
export interface ServerFixture {
  readonly folder: string;
  /** The weight file's name. */
  readonly shard: string;
  /** Its bytes. */
  readonly size: number;
  /** Revisions, the lightest first. */
  readonly recipes: readonly string[];
}

/** Writes model and adapters below `folder`. */
export async function makeServerFixture(folder: string, byteLength: number): Promise<ServerFixture> {
  const base = `${folder}/models/base`;
  await writeModel(base, { byteLength, dtype: "BF16", shardByteLength: Number.MAX_SAFE_INTEGER });
  const shard = "model-00001-of-00001.safetensors";
  const { stdout } = await new Deno.Command("sha256sum", { args: [shard], cwd: base }).output();
  await writeSidecar(`${base}/${shard}`, new TextDecoder().decode(stdout).slice(0, 64));
  await writeAdapter(`${folder}/adapters/in32`, base, { variant: "ether", sides: ["in"], numBlocks: 32 });
  await writeAdapter(`${folder}/adapters/out1`, base, { variant: "ether", sides: ["out"], numBlocks: 1 });
  await writeAdapter(`${folder}/adapters/plus`, base, { variant: "etherplus", sides: ["in", "out"], numBlocks: 32 });
  return { folder, shard, size: (await Deno.stat(`${base}/${shard}`)).size, recipes: ["in32", "out1", "plus"] };
}
