/** What shaders leave to the other kernel, with the memory as it was, and what lies just inside and is done. */
import { assertEquals } from "@std/assert";
import { codeOf } from "../../../runtime/kernel/element.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import type { FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import { WebGpuKernel } from "../../../runtime/webgpu/kernel.ts";
import { gpuTest } from "./adapter.ts";
import { noteAddition, noteSums } from "./noted_job.ts";

const LARGEST_F32 = (2 - 2 ** -23) * 2 ** 127;
const LARGEST_BF16 = (2 - 2 ** -7) * 2 ** 127;

/** w + s as the device has it, or null: it is not for the device. */
const ADDITIONS: readonly (readonly [FloatDtype, number, number, number | null])[] = [
  ["F32", LARGEST_F32, 2 ** 102, LARGEST_F32],
  ["F32", LARGEST_F32, 2 ** 103, null],
  ["F32", -LARGEST_F32, -(2 ** 124), null],
  // Rounded to BF16 it is infinite, and yet f32 holds it.
  ["BF16", LARGEST_BF16, 2 ** 119, Infinity],
  ["BF16", LARGEST_BF16, 2 ** 120, null],
  ["F16", 65504, 16, Infinity],
  ...(["F32", "BF16", "F16"] as const).flatMap((dtype) => [
    ...[[dtype, Infinity, 1, null] as const, [dtype, -Infinity, 0, null] as const],
    ...[[dtype, NaN, 1, null] as const, [dtype, NaN, 0, null] as const],
  ]),
];

for (const [dtype, w, s, expected] of ADDITIONS) {
  gpuTest(`${dtype}: ${w} + ${s} is ${expected ?? "refused"}`, async (gpu) => {
    const kernel = new WebGpuKernel(gpu, loadKernel());
    const code = codeOf(dtype, w);
    // Among neighbours that are for the device.
    const read = noteAddition(kernel, dtype, [0, code, 0], Float32Array.of(0, s, 0));
    assertEquals(await kernel.tryDevice(), expected !== null);
    assertEquals(read(), [0, expected === null ? code : codeOf(dtype, expected), 0]);
  });
}

/** Rows of one column, the coefficients, and whether the sums are for the device. */
interface Sums {
  readonly what: string;
  readonly w: readonly number[];
  readonly p: readonly number[];
  readonly q?: readonly number[];
  readonly done: boolean;
}

/** Sums below 2^-100 may have lost digits, or all of a subnormal weight; a sum of no terms but 0 is 0. */
const SUMS: Readonly<Record<FloatDtype, readonly Sums[]>> = {
  F32: [
    { what: "of 2^-100", w: [2 ** -100], p: [1], done: true },
    { what: "below 2^-100", w: [2 ** -101], p: [1], done: false },
    { what: "of subnormal weights", w: [2 ** -130, 2 ** -149], p: [1, 1], done: false },
    { what: "that cancel", w: [1, 1], p: [1, -1], done: false },
    { what: "for q below 2^-100", w: [2 ** -100], p: [1], q: [-0.5], done: false },
    { what: "for p below 2^-100", w: [2 ** -100], p: [-0.5], q: [1], done: false },
    { what: "for q of 2^-100", w: [2 ** -100], p: [1], q: [-1], done: true },
    { what: "of weights that are 0", w: [0, -0], p: [1, 0.5], q: [0.5, 1], done: true },
    { what: "of coefficients that are 0", w: [1, -2], p: [0, -0], q: [0, 1], done: true },
    { what: "beyond f32 with their scale", w: [2 ** 68], p: [1], done: false },
    { what: "within f32 with their scale", w: [2 ** 67], p: [1], done: true },
    { what: "for q beyond f32 with their scale", w: [2 ** 68], p: [0.5], q: [1], done: false },
  ],
  BF16: [
    { what: "of 2^-100", w: [2 ** -100], p: [-1], done: true },
    { what: "below 2^-100", w: [2 ** -101], p: [1], done: false },
    { what: "of subnormal weights", w: [2 ** -130, 2 ** -133], p: [1, 1], done: false },
  ],
  F16: [
    { what: "of 2^-100", w: [2 ** -24], p: [2 ** -76], done: true },
    { what: "below 2^-100", w: [2 ** -24], p: [2 ** -77], done: false },
    { what: "for q below 2^-100", w: [2 ** -24], p: [1], q: [2 ** -77], done: false },
  ],
};

for (const [dtype, cases] of Object.entries(SUMS) as [FloatDtype, readonly Sums[]][]) {
  for (const { what, w, p, q, done } of cases) {
    gpuTest(`${dtype}: sums ${what} are ${done ? "done" : "refused"}`, async (gpu) => {
      const kernel = new WebGpuKernel(gpu, loadKernel());
      const codes = w.map((value) => codeOf(dtype, value));
      const read = noteSums(kernel, dtype, codes, Float32Array.from(p), q === undefined ? null : Float32Array.from(q));
      assertEquals(await kernel.tryDevice(), done);
      const sum = (of: readonly number[]) => done ? of.reduce((total, one, i) => total + one * w[i]!, 0) : 0;
      assertEquals(read(), q === undefined ? [sum(p)] : [sum(p), sum(q)]);
    });
  }
}
