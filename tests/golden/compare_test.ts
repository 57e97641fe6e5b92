/** A comparison that cannot fail is worth nothing: what it must accept, and what it must catch. */
import { assert, assertEquals } from "@std/assert";
import type { FloatDtype } from "../../runtime/safetensors/dtype.ts";
import { decodeFloat64 } from "../../fixtures/decode.ts";
import { linear, outputBeyondTolerance } from "./activation.ts";
import { goldenCases, readActivations, readGolden } from "./cases.ts";
import { compareTensor, type Target, tolerance } from "./compare.ts";
import { amplitude } from "./amplitude.ts";
import { roundTo, ulp } from "./rounding.ts";

const merged = goldenCases.filter((golden) => golden.error === undefined);

Deno.test("cases: every golden folder is listed, and the refused ones expect nothing", async () => {
  assertEquals(goldenCases.length, 54);
  for (const golden of goldenCases) {
    const names = [...Deno.readDirSync(golden.folder)].map((entry) => entry.name);
    assertEquals(names.includes("expected.safetensors"), golden.error === undefined, golden.name);
  }
  let activationCount = 0;
  for (const golden of merged) activationCount += (await readActivations(golden)).size;
  assertEquals(activationCount, 13);
});

Deno.test("compareTensor: the correctly rounded tensors of every case pass and count as such", async () => {
  for (const golden of merged) {
    const { expected, base, targets } = await readGolden(golden);
    for (const [name, target] of targets) {
      const comparison = compareTensor(expected.get(name)!.bytes, target);
      assertEquals(comparison.failureCount, 0, `${golden.name}: ${name}`);
      assertEquals(comparison.correctlyRoundedCount, target.exact.length, `${golden.name}: ${name}`);
      assert(comparison.worstRatio <= 0.5 / 0.505 + 1e-9, `${golden.name}: ${name}: ${comparison.worstRatio}`);
    }
    for (const [name, tensor] of base) {
      if (!targets.has(name)) assertEquals(expected.get(name)!.bytes, tensor.bytes, `${golden.name}: ${name}`);
    }
  }
});

Deno.test("compareTensor: the base in place of the merged tensor fails in every case", async () => {
  for (const golden of merged) {
    // v = −u makes ETHER+ the identity: there the base is right.
    if (golden.name === "etherplus-identity-f32") continue;
    const { base, targets } = await readGolden(golden);
    for (const [name, target] of targets) {
      assert(compareTensor(base.get(name)!.bytes, target).failureCount > 0, `${golden.name}: ${name}`);
    }
  }
});

Deno.test("compareTensor: rounding toward zero fails in every case of 16 bits", async () => {
  for (const golden of merged) {
    const { targets } = await readGolden(golden);
    for (const [name, target] of targets) {
      if (target.dtype === "F32") continue;
      // A reflection along an axis, or in blocks of one, only flips signs: there is nothing to round.
      if (target.exact.every((exact) => exact === roundTo(target.dtype, exact))) continue;
      const truncated = encode(
        target,
        (exact) => Math.trunc(exact / ulp(target.dtype, exact)) * ulp(target.dtype, exact),
      );
      assert(compareTensor(truncated, target).failureCount > 0, `${golden.name}: ${name}`);
    }
  }
});

Deno.test("compareTensor: half the step of a reflection fails", async () => {
  for (const golden of merged) {
    if (golden.name === "etherplus-identity-f32") continue;
    const { targets } = await readGolden(golden);
    for (const [name, target] of targets) {
      const halfway = encode(target, (exact, i) => (exact + target.base[i]!) / 2);
      assert(compareTensor(halfway, target).failureCount > 0, `${golden.name}: ${name}`);
    }
  }
});

Deno.test("compareTensor: a transposed square matrix, a neighbour's row and a swapped pair fail", async () => {
  const { targets } = await readGolden(merged.find((golden) => golden.name === "ether-out-f32")!);
  const target = [...targets.values()][0]!;
  const [rows, columns] = target.shape;
  const transposed = encode(target, (_, i) => target.exact[(i % columns) * rows + Math.floor(i / columns)]!);
  assert(compareTensor(transposed, target).failureCount > target.exact.length / 2);
  const shifted = encode(target, (_, i) => target.exact[(i + columns) % target.exact.length]!);
  assert(compareTensor(shifted, target).failureCount > target.exact.length / 2);
  const swapped = encode(target, (exact, i) => i === 0 ? target.exact[1]! : i === 1 ? target.exact[0]! : exact);
  assertEquals(compareTensor(swapped, target).failureCount, 2);
});

Deno.test("compareTensor: one element beyond its bound is found and named", async () => {
  for (const golden of merged) {
    const { targets } = await readGolden(golden);
    for (const [name, target] of targets) {
      const at = target.exact.findIndex((exact) => Number.isFinite(roundTo(target.dtype, exact)));
      const bound = tolerance(target)[at]!;
      const off = encode(target, (exact, i) => i === at ? firstBeyond(target.dtype, exact, bound) : exact);
      const comparison = compareTensor(off, target);
      assertEquals(comparison.failureCount, 1, `${golden.name}: ${name}`);
      assertEquals(comparison.failures[0]!.row * target.shape[1] + comparison.failures[0]!.column, at);
    }
  }
});

Deno.test("compareTensor: an element just inside its bound passes, without counting as correctly rounded", () => {
  // The exact value lies 0.004 of a step beyond the tie: the other neighbour is 0.504 steps away.
  const exact = Float64Array.of(1 + 2 ** -7 * 0.504, 1 + 2 ** -7 * 0.506);
  const target: Target = { ...plain("BF16", exact), base: new Float64Array(2) };
  const comparison = compareTensor(encode(target, () => 1), target);
  assertEquals(comparison.failureCount, 1);
  assertEquals(comparison.failures[0]!.column, 1);
  assertEquals(comparison.correctlyRoundedCount, 0);
});

Deno.test("compareTensor: infinities must be where rounding puts them, NaNs only where the result is one", () => {
  const exact = Float64Array.of(65519.9, 65520, -70000, Infinity, NaN, 1);
  const target = plain("F16", exact);
  const right = encode(target, (value) => value);
  assertEquals(compareTensor(right, target).failureCount, 0);
  assertEquals(compareTensor(right, target).correctlyRoundedCount, 6);
  const nonfinite: [index: number, wrong: number][] = [[0, Infinity], [1, 65504], [2, Infinity], [3, NaN], [4, 0], [
    5,
    NaN,
  ]];
  for (const [index, wrong] of nonfinite) {
    const bytes = encode(target, (value, i) => i === index ? wrong : value);
    assertEquals(compareTensor(bytes, target).failureCount, 1, `element ${index} as ${wrong}`);
  }
  // Another NaN is as good as any.
  new Uint16Array(right.buffer)[4] = 0xfe01;
  assertEquals(compareTensor(right, target).failureCount, 0);
});

Deno.test("compareTensor: subnormals flushed to zero fail", () => {
  const target = plain("BF16", Float64Array.of(2 ** -130, -(2 ** -133)));
  assertEquals(compareTensor(encode(target, (value) => value), target).correctlyRoundedCount, 2);
  assertEquals(compareTensor(encode(target, () => 0), target).failureCount, 2);
});

Deno.test("amplitude: each side by its own chunks, and Conv1D with the axes swapped", () => {
  const base = Float64Array.of(3, -4, 0, 1, 0, 0, 5, -12); // [2, 4]
  const shape = [2, 4] as const;
  const input = amplitude(base, { shape, inputBlocks: 2, outputBlocks: 0, fanInFanOut: false });
  assertEquals([...input], [5, 5, 1, 1, 0, 0, 13, 13]);
  const output = amplitude(base, { shape, inputBlocks: 0, outputBlocks: 1, fanInFanOut: false });
  assertEquals([...output], [3, 4, 5, Math.sqrt(145), 3, 4, 5, Math.sqrt(145)]);
  const both = amplitude(base, { shape, inputBlocks: 2, outputBlocks: 1, fanInFanOut: false });
  assertEquals(both[0], 5);
  assertEquals(both[6], Math.sqrt(170));
  const conv1d = amplitude(base, { shape, inputBlocks: 2, outputBlocks: 1, fanInFanOut: true });
  assertEquals(conv1d[0], Math.sqrt(9 + 16 + 0 + 1));
  assertEquals(conv1d[7], 13);
});

Deno.test("roundTo: agrees with the engine's own rounding to f32 and f16", () => {
  const words = new Uint32Array(2);
  const value = new Float64Array(words.buffer);
  let state = 12345;
  const next = () => (state = Math.imul(state, 1664525) + 1013904223) >>> 0;
  for (let i = 0; i < 200_000; i++) {
    words[0] = i % 3 === 0 ? 0 : next();
    // Exponents from far below f16's subnormals, or f32's, to beyond the largest.
    const exponent = i % 2 === 0 ? 1023 - 30 + next() % 48 : 1023 - 155 + next() % 290;
    words[1] = ((next() & 0x800fffff) | (exponent << 20)) >>> 0;
    if (i % 3 === 0) words[1] &= 0xfffffc00; // many ties
    assertEquals(roundTo("F32", value[0]!), Math.fround(value[0]!), `${value[0]}`);
    assertEquals(roundTo("F16", value[0]!), Math.f16round(value[0]!), `${value[0]}`);
  }
});

Deno.test("roundTo: BF16 ties go to even, and the last half step below 2^128 becomes infinite", () => {
  assertEquals(roundTo("BF16", 1 + 2 ** -8), 1);
  assertEquals(roundTo("BF16", 1 + 3 * 2 ** -8), 1 + 2 ** -6);
  assertEquals(roundTo("BF16", 2 ** -134), 0);
  assertEquals(roundTo("BF16", 3 * 2 ** -134), 2 ** -132);
  const largest = (2 - 2 ** -7) * 2 ** 127;
  assertEquals(roundTo("BF16", largest + 2 ** 118), largest);
  assertEquals(roundTo("BF16", largest + 2 ** 119), Infinity);
  assert(Object.is(roundTo("BF16", -(2 ** -140)), -0));
});

Deno.test("outputBeyondTolerance: correctly rounded weights pass, those of the base and a lost bias fail", async () => {
  for (const golden of merged) {
    const { base, expected, targets } = await readGolden(golden);
    for (const [name, activation] of await readActivations(golden)) {
      const target = targets.get(name)!;
      const stored = base.get(name.replace(/weight$/, "bias"));
      const bias = stored && decodeFloat64(stored);
      const through = (weight: Float64Array, withBias = bias) =>
        outputBeyondTolerance(linear(weight, activation.x, activation.tokenCount, withBias), activation, target);
      assertEquals(through(target.exact), undefined, `${golden.name}: ${name}`);
      assertEquals(through(decodeFloat64(expected.get(name)!)), undefined, `${golden.name}: ${name}`);
      assert(through(target.base) !== undefined, `${golden.name}: ${name}`);
      if (bias !== undefined) assert(through(target.exact, new Float64Array(bias.length)) !== undefined);
    }
  }
});

/** A target of one row that nothing was lost in. */
function plain(dtype: FloatDtype, exact: Float64Array): Target {
  return {
    dtype,
    exact,
    base: new Float64Array(exact.length),
    shape: [1, exact.length],
    inputBlocks: 0,
    outputBlocks: 0,
    fanInFanOut: false,
    stages: 1,
  };
}

/** The bytes of a tensor whose elements are made from the exact ones, rounded to nearest even. */
function encode(target: Target, element: (exact: number, index: number) => number): Uint8Array<ArrayBuffer> {
  const values = target.exact.map((exact, i) => roundTo(target.dtype, element(exact, i)));
  if (target.dtype === "F32") return new Uint8Array(Float32Array.from(values).buffer);
  if (target.dtype === "F16") return new Uint8Array(Float16Array.from(values).buffer);
  const words = new Uint32Array(Float32Array.from(values).buffer);
  return new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer);
}

/** The first value of `dtype` above `exact` that is farther from it than `bound`. */
function firstBeyond(dtype: FloatDtype, exact: number, bound: number): number {
  let value = roundTo(dtype, exact + bound);
  while (!(value - exact > bound)) value = roundTo(dtype, value + ulp(dtype, value));
  return value;
}
