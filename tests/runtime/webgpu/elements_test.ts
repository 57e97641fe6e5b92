/** What shaders make of stored elements: each code its value, each value the nearest code. */
import { assertEquals } from "@std/assert";
import { bitsOfCode, codeOf, valueOf } from "../../../runtime/kernel/element.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import type { FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import type { Gpu } from "../../../runtime/webgpu/gpu.ts";
import { WebGpuKernel } from "../../../runtime/webgpu/kernel.ts";
import { Random } from "../kernel/arbitrary.ts";
import { gpuTest } from "./adapter.ts";
import { noteAddition } from "./noted_job.ts";

/** w ← w + s on the device, for a row w of codes. */
async function added(gpu: Gpu, dtype: FloatDtype, codes: ArrayLike<number>, s: Float32Array): Promise<number[]> {
  const kernel = new WebGpuKernel(gpu, loadKernel());
  const read = noteAddition(kernel, dtype, codes, s);
  assertEquals(await kernel.tryDevice(), true);
  return read();
}

function differences(got: readonly number[], expected: readonly number[]): string[] {
  const wrong = got.flatMap((code, i) => code === expected[i] ? [] : [`[${i}] ${code} instead of ${expected[i]}`]);
  return wrong.slice(0, 3);
}

/** Where the result is not finite the device leaves it to the other kernel. */
const isOrdinary = (value: number) => Number.isFinite(value) && (value === 0 || Math.abs(value) >= 2 ** -126);

for (const dtype of ["BF16", "F16"] as const) {
  gpuTest(`${dtype}: values round to nearest, ties to even`, async (gpu) => {
    const values: number[] = [];
    // Every code's value, the middle between it and the next one, and their neighbours in f32.
    for (let code = 0; code < 0x7f7f; code++) {
      const [low, high] = [bitsOfCode(dtype, code), bitsOfCode(dtype, code + 1)].map(valueOf) as [number, number];
      const middle = Math.fround((low + high) / 2);
      const bits = new Uint32Array(Float32Array.of(middle).buffer)[0]!;
      for (const value of [low, valueOf(bits - 1), middle, valueOf(bits + 1)]) values.push(value, -value);
    }
    const random = new Random(17);
    for (let i = 0; i < 50_000; i++) values.push(random.normal() * 2 ** (random.below(60) - 40));
    const s = Float32Array.from(values.filter(isOrdinary));
    const got = await added(gpu, dtype, new Uint16Array(s.length), s);
    // Nothing is taken from an element where s is 0.
    const expected = [...s].map((value) => value === 0 ? 0 : codeOf(dtype, value));
    assertEquals(differences(got, expected), []);
  });

  gpuTest(`${dtype}: every finite code has its value`, async (gpu) => {
    const codes = Array.from({ length: 65536 }, (_, code) => code)
      .filter((code) => isOrdinary(valueOf(bitsOfCode(dtype, code))));
    for (const step of [2 ** -24, -(2 ** -14), 1, -300]) {
      const s = new Float32Array(codes.length).fill(step);
      const expected = codes.map((code) => codeOf(dtype, Math.fround(valueOf(bitsOfCode(dtype, code)) + step)));
      assertEquals(differences(await added(gpu, dtype, codes, s), expected), [], `plus ${step}`);
    }
  });
}

gpuTest("F32: what nothing is taken from keeps its bits, subnormal ones and the sign of 0 too", async (gpu) => {
  const bits = [0x80000000, 1, 0x807fffff, 0x3f800000, 0];
  assertEquals(await added(gpu, "F32", bits, new Float32Array(bits.length)), bits);
});
