/**
 * Sums of so many terms that one chain of additions would lose more than the tolerance allows: shaders cut their chains.
 *
 * Every term is 1 + 31·2⁻¹⁸. Above 2048 an f32 has steps of 2⁻¹², so that each addition loses nearly half a step, always
 * to the same side: after 4096 terms in one chain the sum is off by about 1000·2⁻²⁴ of itself.
 */
import { assert, assertEquals } from "@std/assert";
import { codeOf } from "../../../runtime/kernel/element.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import { prepareApply } from "../../../runtime/apply/prepare_apply.ts";
import { WebGpuKernel } from "../../../runtime/webgpu/kernel.ts";
import { MODULE } from "../apply/activations.ts";
import { buildProblem, encodeValues, type Problem } from "../execute/problem.ts";
import { devicesTest, gpuTest } from "./adapter.ts";
import { noteProduct, noteReflection } from "./noted_job.ts";

const TERM = 1 + 31 * 2 ** -18;
const LENGTH = 4096;

gpuTest("matmul: a product of long rows is within 8·2⁻²⁴ of its norms", async (gpu) => {
  const kernel = new WebGpuKernel(gpu, loadKernel());
  const read = noteProduct(kernel, new Float32Array(LENGTH).fill(1), new Float32Array(LENGTH).fill(TERM));
  assertEquals(await kernel.tryDevice(), true);
  assertNear(read(), LENGTH * TERM, 8);
});

for (const tokenCount of [1, 4, 17]) {
  devicesTest(
    `linear of ${tokenCount} tokens: a product of long rows is within 8·2⁻²⁴ of its norms`,
    async (devices) => {
      const problem: Problem = { seed: 1, dtype: "F32", outer: 5, inner: LENGTH, adapters: [] };
      const terms = new Float32Array(problem.outer * LENGTH).fill(TERM);
      const { storage } = await buildProblem(problem, encodeValues("F32", terms));
      await using apply = await prepareApply({ base: storage.place("base"), adapters: [], backend: devices }, storage);
      const y = await apply.linear(MODULE, new Float32Array(tokenCount * LENGTH).fill(1));
      assertEquals(devices.productCount(), 1);
      for (const value of y) assertNear(value, LENGTH * TERM, 8);
    },
  );
}

gpuTest("row_dots: a long row is reflected within the tolerance", async (gpu) => {
  const kernel = new WebGpuKernel(gpu, loadKernel());
  // 64 lanes share a row. Of û one value is large: it shows what the sum has lost.
  const length = 64 * LENGTH;
  const small = 2 ** -10;
  const unit = new Float32Array(length).fill(small);
  unit[0] = Math.sqrt(1 - (length - 1) * small ** 2);
  const read = noteReflection(kernel, "F32", new Uint32Array(length).fill(codeOf("F32", TERM)), unit, 2);
  assertEquals(await kernel.tryDevice(), true);
  const got = new Float32Array(Uint32Array.from(read()).buffer);
  const dot = TERM * (unit[0]! + (length - 1) * small);
  // 8·2⁻²⁴·A, A the norm of the row.
  const allowed = 8 * 2 ** -24 * TERM * Math.sqrt(length);
  for (const i of [0, 1, length - 1]) {
    const error = Math.abs(got[i]! - (TERM - 2 * dot * unit[i]!));
    assert(error <= allowed, `[${i}] is off by ${error}, ${error / allowed} times the bound`);
  }
});

/** Within `units`·2⁻²⁴ of it. */
function assertNear(got: number, exact: number, units: number): void {
  const error = Math.abs(got - exact) / (2 ** -24 * exact);
  assert(error <= units, `${got} is ${error}·2⁻²⁴ off ${exact}`);
}
