/** The golden set through applied adapters on the GPU: its own activations, and drawn ones for every target. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { decodeFloat64 } from "../../../fixtures/decode.ts";
import { EtherError } from "../../../runtime/error.ts";
import type { ApplyDevice } from "../../../runtime/apply/apply_device.ts";
import { GpuDevices } from "../../../runtime/webgpu/apply_device.ts";
import type { Gpu } from "../../../runtime/webgpu/gpu.ts";
import type { WebGpuKernel } from "../../../runtime/webgpu/kernel.ts";
import { outputBeyondTolerance } from "../../golden/activation.ts";
import { applyToActivations, moduleOf, prepareCase } from "../../golden/apply_case.ts";
import { type GoldenCase, goldenCases, readActivations, readGolden } from "../../golden/cases.ts";
import type { Target } from "../../golden/compare.ts";
import { drawActivation, matricesOfTarget, outputBeyondBound } from "../../golden/drawn_activation.ts";
import { multiply } from "../apply/activations.ts";
import { gpuTest } from "./adapter.ts";

/** Cases whose values are not for the device, and why: the CPU does them, within the same bound. */
const NOT_ON_THE_DEVICE: Readonly<Record<string, string>> = {
  "ether-nonfinite-w-f32": "weights that are not finite",
  "ether-nonfinite-w-bf16": "weights that are not finite",
  "ether-w-sub-bf16": "subnormal weights",
};

/** For both shaders of a product: few columns, and many. */
const TOKEN_COUNTS = [3, 20];

/** As if they were asked for, with the kernels that they start. */
class WatchedDevices extends GpuDevices {
  readonly kernels: WebGpuKernel[] = [];

  constructor(gpu: Gpu) {
    super(gpu, "it was asked for", () => true, { backend: "webgpu" });
  }

  override start(): ApplyDevice | null {
    const device = super.start();
    if (device !== null) this.kernels.push(device.kernel as WebGpuKernel);
    return device;
  }

  /** Batches of all kernels. */
  batches(): { device: number; here: number } {
    const sum = (of: "device" | "here") => this.kernels.reduce((count, { batches }) => count + batches[of], 0);
    return { device: sum("device"), here: sum("here") };
  }
}

for (const golden of goldenCases.filter(({ error }) => error === undefined)) {
  const inputs = await readActivations(golden);
  if (inputs.size > 0) {
    caseTest(golden, "its own activations, as the merged layer has them", async (devices) => {
      await using apply = await prepareCase(golden, devices);
      const outputs = await applyToActivations(apply, inputs);
      const { targets } = await readGolden(golden);
      for (const [name, activation] of inputs) {
        assertEquals(outputBeyondTolerance(outputs.get(name)!, activation, targets.get(name)!), undefined, name);
      }
      assertEquals(devices.productCount(), inputs.size);
    });
  }

  caseTest(golden, "linear of every target", async (devices) => {
    await using apply = await prepareCase(golden, devices);
    const { base, targets } = await readGolden(golden);
    for (const [name, target] of targets) {
      const bias = base.get(name.replace(/weight$/, "bias"));
      for (const tokenCount of TOKEN_COUNTS) {
        const drawn = drawActivation(target, tokenCount, bias && decodeFloat64(bias));
        const y = await apply.linear(moduleOf(name), drawn.x);
        assertEquals(outputBeyondBound(y, drawn), undefined, `${name} of ${tokenCount} tokens`);
      }
    }
    const expected = golden.name in NOT_ON_THE_DEVICE ? 0 : targets.size * TOKEN_COUNTS.length;
    assertEquals(devices.productCount(), expected, NOT_ON_THE_DEVICE[golden.name]);
  });

  caseTest(golden, "in and out around the base's product", async (devices) => {
    await using apply = await prepareCase(golden, devices);
    let calls = 0;
    for (const [name, target] of (await readGolden(golden)).targets) {
      const drawn = drawActivation(target, TOKEN_COUNTS[0]!);
      const input = apply.in(moduleOf(name), drawn.x);
      if (hasSeveralInputs(golden, target)) {
        const error = await assertRejects(() => input, EtherError, "there is no one Hx");
        assertEquals(error.code, "unsupported");
        continue;
      }
      const product = multiply(matricesOfTarget(target).base, await input);
      const y = await apply.out(moduleOf(name), Float32Array.from(product));
      assertEquals(outputBeyondBound(y, drawn), undefined, name);
      calls += Number(target.inputBlocks > 0) + Number(target.outputBlocks > 0);
    }
    const { device, here } = devices.batches();
    assert(device >= calls && here === 0, `${device} batches on the device, ${here} here, in ${calls} calls`);
  });
}

/** In the reference layout each block of the input side has rows of its own, and so has each part of a fused matrix. */
function hasSeveralInputs({ folder }: GoldenCase, { inputBlocks }: Target): boolean {
  const config = JSON.parse(Deno.readTextFileSync(`${folder}/adapter_config.json`)) as Record<string, unknown>;
  return inputBlocks > 1 && config.layout === "reference" || inputBlocks > 0 && config.fused_qkv !== undefined;
}

function caseTest(golden: GoldenCase, what: string, run: (devices: WatchedDevices) => Promise<void>): void {
  gpuTest(`golden ${golden.name}: ${what}`, async (gpu) => {
    const devices = new WatchedDevices(gpu);
    try {
      await run(devices);
    } finally {
      devices.close();
    }
  });
}
