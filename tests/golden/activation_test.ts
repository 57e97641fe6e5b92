/** y = W'x + b, as a layer with the merged weight computes it: what a merge is for. */
import { assertEquals } from "@std/assert";
import { decodeFloat64 } from "../../fixtures/decode.ts";
import { readTensorFile } from "../../fixtures/tensor_file.ts";
import { linear, outputBeyondTolerance } from "./activation.ts";
import { applyToActivations, prepareCase } from "./apply_case.ts";
import { type GoldenActivation, type GoldenCase, goldenCases, readActivations, readGolden } from "./cases.ts";
import { mergeCase } from "./merge_case.ts";

/** A way to get from activations x `[in, tokenCount]` to y `[out, tokenCount]` with an adapter. */
interface ActivationPath {
  readonly name: string;
  /** The outputs of every target of a case, in f64. */
  run(golden: GoldenCase, inputs: ReadonlyMap<string, GoldenActivation>): Promise<Map<string, Float64Array>>;
}

/** Each way is held to the same bound. One that leaves the base alone and transforms activations goes here too. */
const paths: readonly ActivationPath[] = [
  { name: "merged weights", run: throughMergedWeights },
  { name: "the base, adapters applied", run: throughAppliedAdapters },
];

for (const golden of goldenCases) {
  const inputs = await readActivations(golden);
  if (inputs.size === 0) continue;
  for (const path of paths) {
    Deno.test(`golden ${golden.name}: activations through ${path.name}`, async () => {
      const outputs = await path.run(golden, inputs);
      const { targets } = await readGolden(golden);
      for (const [name, activation] of inputs) {
        assertEquals(outputBeyondTolerance(outputs.get(name)!, activation, targets.get(name)!), undefined, name);
      }
    });
  }
}

async function throughMergedWeights(
  golden: GoldenCase,
  inputs: ReadonlyMap<string, GoldenActivation>,
): Promise<Map<string, Float64Array>> {
  const parent = await Deno.makeTempDir({ prefix: "ether-golden-" });
  try {
    await mergeCase(golden.folder, `${parent}/merged`);
    const merged = await readTensorFile(`${parent}/merged/base.safetensors`);
    const outputs = new Map<string, Float64Array>();
    for (const [name, { x, tokenCount }] of inputs) {
      const weight = merged.get(name)!;
      const bias = merged.get(name.replace(/weight$/, "bias"));
      outputs.set(name, linear(decodeFloat64(weight), x, tokenCount, bias && decodeFloat64(bias)));
    }
    return outputs;
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}

async function throughAppliedAdapters(
  golden: GoldenCase,
  inputs: ReadonlyMap<string, GoldenActivation>,
): Promise<Map<string, Float64Array>> {
  await using apply = await prepareCase(golden);
  return await applyToActivations(apply, inputs);
}
