/** Every golden case, also those that have no activations of their own: linear is the exact merged matrix times x. */
import { assert } from "@std/assert";
import { prepareApply } from "../../../runtime/apply/prepare_apply.ts";
import { openPlace } from "../../../runtime/deno/file_folder.ts";
import { fileStorage } from "../../../runtime/deno/merge_folder.ts";
import { readTensorFile } from "../../../fixtures/tensor_file.ts";
import { decodeFloat64 } from "../../../fixtures/decode.ts";
import { adapterPaths, goldenCases, readGolden } from "../../golden/cases.ts";
import type { Target } from "../../golden/compare.ts";
import { Random } from "../kernel/arbitrary.ts";
import { chunkNorms, multiply, transposed, worstRatio } from "./activations.ts";

const TOKENS = 3;

for (const golden of goldenCases.filter(({ error }) => error === undefined)) {
  Deno.test(`golden ${golden.name}: linear of every target`, async () => {
    const adapters = [];
    for (const path of await adapterPaths(golden.folder)) adapters.push({ place: await openPlace(path, path) });
    const base = await openPlace(`${golden.folder}/base.safetensors`);
    await using apply = await prepareApply({ base, adapters }, fileStorage);
    const stored = await readTensorFile(`${golden.folder}/base.safetensors`);
    for (const [name, target] of (await readGolden(golden)).targets) {
      const { merged, original } = asTorch(target);
      const random = new Random(merged.inner);
      for (let i = 0; i < 8; i++) random.bits();
      // Weights at the end of their range: the products must not leave f32's.
      const scale = target.base.some((w) => Math.abs(w) > 1e30) ? 2 ** -20 : 1;
      const x = Float32Array.from({ length: TOKENS * merged.inner }, () => random.normal() * scale);
      const y = await apply.linear(name.replace(/\.weight$/, ""), x);

      const bias = stored.get(name.replace(/weight$/, "bias"));
      const b = bias === undefined ? new Float64Array(merged.outer) : decodeFloat64(bias);
      const exact = multiply(merged, x).map((value, i) => value + b[i % merged.outer]!);
      const reached = multiply(
        { ...original, values: original.values.map(Math.abs) },
        chunkNorms(Float64Array.from(x, Math.abs), merged.inner, target.inputBlocks),
      );
      const amplitude = chunkNorms(reached, merged.outer, target.outputBlocks);
      const bound = amplitude.map((a, i) => 2 ** -24 * ((8 * target.stages + 8) * a + Math.abs(exact[i]!)));
      // Where a weight is not finite, what it reaches is not either, and nothing else is said.
      const reachable = exact.map((value, i) => Number.isFinite(value) && Number.isFinite(bound[i]!) ? value : 0);
      const got = y.map((value, i) => reachable[i] === exact[i] ? value : 0);
      const ratio = worstRatio(got, reachable, bound.map((value) => Number.isFinite(value) ? value : 1));
      assert(ratio <= 1, `${name}: off by ${ratio} times the bound`);
      assert(y.every((value, i) => Number.isFinite(exact[i]) || !Number.isFinite(value)), name);
    }
  });
}

function asTorch({ shape: [rows, columns], exact, base, fanInFanOut }: Target) {
  const [outer, inner] = fanInFanOut ? [columns, rows] : [rows, columns];
  const values = (stored: Float64Array) => fanInFanOut ? transposed(stored, rows, columns) : stored;
  return { merged: { outer, inner, values: values(exact) }, original: { outer, inner, values: values(base) } };
}
