/** torch reads the same tensors from a .pth as we do: from files it wrote just now, from older ones, and from our own. */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { openFileSource } from "../../runtime/deno/file_source.ts";
import { sha256Hex } from "../../runtime/io/digest.ts";
import { gatherElements } from "../../runtime/safetensors/strided.ts";
import { readStateDict } from "../../runtime/torch/state_dict.ts";
import { torchFile } from "../runtime/torch/torch_file.ts";
import { pythonTest, runPython } from "./python.ts";

type Described = Record<string, { dtype: string; shape: number[]; sha256: string }>;

const DTYPES = { F32: "torch.float32", F16: "torch.float16", BF16: "torch.bfloat16" };

pythonTest("torch: readStateDict reads what torch.load does, bit for bit, whichever wrote the file", async () => {
  const folder = await Deno.makeTempDir({ prefix: "ether-torch-" });
  try {
    const bytes = Uint8Array.from({ length: 48 }, (_, i) => i);
    const ours = torchFile({
      "a.ether_R": { dtype: "F32", shape: [3, 4], bytes },
      "b": { dtype: "BF16", shape: [1, 2, 12], bytes },
      "c": { dtype: "F16", shape: [24], bytes },
    });
    await Deno.writeFile(`${folder}/ours.pth`, ours);
    const files = [
      `${folder}/ours.pth`,
      ...findTorchFiles("../../fixtures/torch"),
      ...findTorchFiles("../../fixtures/golden"),
    ];
    const described = await runPython<Record<string, Described>>("describe_torch.py", { files, folder });
    assert(Object.keys(described).length >= files.length + 8);
    for (const [path, expected] of Object.entries(described)) assertEquals(await describe(path), expected, path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

async function describe(path: string): Promise<Described> {
  const source = openFileSource(path);
  const described: Described = {};
  try {
    for (const [name, { dtype, shape, strides, offset, byteLength }] of await readStateDict(source)) {
      const bytes = new Uint8Array(byteLength);
      if (strides === null) await source.read(offset, bytes);
      else await gatherElements(source, { dtype, shape, strides, offset }, bytes);
      described[name] = { dtype: DTYPES[dtype], shape: [...shape], sha256: await sha256Hex(bytes) };
    }
  } finally {
    source.close();
  }
  return described;
}

function findTorchFiles(folder: string): string[] {
  const root = fileURLToPath(new URL(folder, import.meta.url));
  return [...Deno.readDirSync(root)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return findTorchFiles(`${folder}/${name}`);
    return name.endsWith(".pth") ? [`${root}/${name}`] : [];
  });
}
