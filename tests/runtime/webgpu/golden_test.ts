/** The golden set on the GPU, within the promise that every backend keeps, and what of it the GPU leaves to the CPU. */
import { assert, assertEquals } from "@std/assert";
import { readTensorFile } from "../../../fixtures/tensor_file.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import type { Gpu } from "../../../runtime/webgpu/gpu.ts";
import { WebGpuKernel } from "../../../runtime/webgpu/kernel.ts";
import { type GoldenCase, goldenCases, readGolden } from "../../golden/cases.ts";
import { assertWithinTolerance, compareTensor } from "../../golden/compare.ts";
import { mergeCase } from "../../golden/merge_case.ts";
import { gpuTest } from "./adapter.ts";

/**
 * Cases of which a part is done by the other kernel, and why: the device may flush what is subnormal, and may assume that
 * nothing is infinite. They keep the promise all the same.
 */
const NOT_ALL_ON_THE_DEVICE: Readonly<Record<string, string>> = {
  "ether-nonfinite-w-f32": "weights that are not finite",
  "ether-nonfinite-w-bf16": "weights that are not finite",
  "ether-w-sub-bf16": "subnormal weights",
  "ether-w-big-bf16": "sums beyond f32",
};

const cases = goldenCases.filter(({ error }) => error === undefined);

for (const golden of cases) gpuTest(`golden ${golden.name}: merged within the tolerance`, (gpu) => check(gpu, golden));

for (const name of ["etherplus-both-reference-bf16", "oft-out-f32", "etherplus-concat-qkv-f32", "ether-rows-f16"]) {
  const golden = cases.find((one) => one.name === name)!;
  const limits = { bindingByteLength: 16 << 10, workgroupCount: 7 };
  gpuTest(`golden ${name}: with bindings of 16 KiB`, (gpu) => check(gpu, golden), { limits });
}

async function check(gpu: Gpu, golden: GoldenCase): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "ether-golden-" });
  try {
    const kernel = new WebGpuKernel(gpu, loadKernel());
    await mergeCase(golden.folder, `${parent}/merged`, kernel);
    const { base, targets } = await readGolden(golden);
    for (const [name, tensor] of await readTensorFile(`${parent}/merged/base.safetensors`)) {
      const target = targets.get(name);
      if (target === undefined) assertEquals(tensor.bytes, base.get(name)!.bytes, `${name} is not a target`);
      else assertWithinTolerance(`${golden.name}: ${name}`, compareTensor(tensor.bytes, target));
    }
    const { device, here } = kernel.batches;
    if (golden.name in NOT_ALL_ON_THE_DEVICE) assert(here > 0, `${device} batches on the device, ${here} here`);
    else assert(device > 0 && here === 0, `${device} batches on the device, ${here} here`);
    const manifest = JSON.parse(await Deno.readTextFile(`${parent}/merged/ether-merge.json`)) as { backend?: string };
    assertEquals(manifest.backend, "webgpu");
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}
