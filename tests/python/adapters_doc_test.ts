/** The Python of docs/adapters.md writes adapters that merge. */
import { assertEquals } from "@std/assert";
import { openAdapter, prepareMerge } from "../../mod.ts";
import { LLAMA } from "../fixtures/merge_fixture.ts";
import { pythonTest, runPython } from "./python.ts";

const DOCUMENT = new URL("../../docs/adapters.md", import.meta.url);

for (
  const [variant, modules] of [
    ["ether", { "self_attn.q_proj": { u_in: 192 }, "mlp.down_proj": { u_in: 512 } }],
    ["ether", { "self_attn.q_proj": { u_out: 192 }, "mlp.down_proj": { u_in: 512 } }],
    ["etherplus", { "mlp.up_proj": { u_in: 192, v_in: 192, u_out: 512, v_out: 512 } }],
  ] as const
) {
  pythonTest(`the snippet of docs/adapters.md saves ${variant} of ${Object.keys(modules)}`, async () => {
    const snippet = /```python\n([\s\S]*?)```/.exec(await Deno.readTextFile(DOCUMENT))![1]!;
    const folder = `${await Deno.makeTempDir()}/adapter`;
    const saved = await runPython<string[]>("save_ether.py", { snippet, modules, variant, folder });
    assertEquals((await openAdapter(folder)).peftType, "ETHER");
    const { plan } = await prepareMerge({ base: `${LLAMA}/base`, adapters: [{ path: folder }] });
    assertEquals(plan.transformed.map(({ name }) => name).sort(), saved.map((module) => `${module}.weight`));
  });
}
