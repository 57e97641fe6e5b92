import fc from "fast-check";
import { assertAlmostEquals, assertEquals } from "@std/assert";
import { startTally } from "../../../runtime/analysis/element_tally.ts";
import { type Dtype, DTYPE_BITS } from "../../../runtime/safetensors/dtype.ts";
import { decodeFloat64 } from "../../../fixtures/decode.ts";

function tallyOf(
  dtypes: readonly [Dtype, Dtype],
  a: Uint8Array<ArrayBuffer>,
  b: Uint8Array<ArrayBuffer>,
  count: number,
) {
  const tally = startTally(dtypes, [a, b]);
  tally.add(count);
  return tally.finish();
}

const bytesOf = (values: ArrayBufferView<ArrayBuffer>) => new Uint8Array(values.buffer);

/** Every value that a 16-bit dtype has, in order: a step from one to the next is one ulp. */
function lineOf(dtype: "F16" | "BF16"): Map<number, number> {
  const codes = Uint16Array.from({ length: 65536 }, (_, code) => code);
  const values = [...decodeFloat64({ dtype, shape: [65536], bytes: bytesOf(codes) })].filter((x) => !Number.isNaN(x));
  const sorted = [...new Set(values.map((x) => x === 0 ? 0 : x))].sort((a, b) => a - b);
  return new Map(sorted.map((value, place) => [value, place]));
}

for (const dtype of ["F16", "BF16"] as const) {
  const line = lineOf(dtype);
  Deno.test(`tally: ${dtype} codes of any kind against a walk along all values`, () => {
    const codes = fc.uint16Array({ minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(codes, fc.infiniteStream(fc.nat(65535)), fc.infiniteStream(fc.boolean()), (a, others, change) => {
        const b = a.map((code) => change.next().value ? others.next().value! : code);
        const found = tallyOf([dtype, dtype], bytesOf(a), bytesOf(b), a.length);
        const decode = (codes: Uint16Array<ArrayBuffer>) =>
          decodeFloat64({ dtype, shape: [codes.length], bytes: bytesOf(codes) });
        const [x, y] = [decode(a), decode(b)];
        const changed = [...a.keys()].filter((i) => a[i] !== b[i]);
        const steps = changed.filter((i) => !Number.isNaN(x[i]) && !Number.isNaN(y[i]))
          .map((i) => Math.abs(line.get(x[i]! + 0)! - line.get(y[i]! + 0)!));
        const finite = [...a.keys()].filter((i) => Number.isFinite(x[i]) && Number.isFinite(y[i]));
        const norm = Math.sqrt(finite.reduce((sum, i) => sum + x[i]! ** 2, 0));
        const difference = Math.sqrt(finite.reduce((sum, i) => sum + (y[i]! - x[i]!) ** 2, 0));
        assertEquals([found.elementCount, found.changedCount], [a.length, changed.length]);
        assertEquals(found.nanCount, changed.length - steps.length);
        assertEquals(found.ulp!.max, Math.max(0, ...steps));
        assertAlmostEquals(found.ulp!.mean, steps.reduce((a, b) => a + b, 0) / Math.max(1, steps.length), 1e-6);
        const relative = difference === 0 ? 0 : difference / norm;
        if (relative < Infinity) assertAlmostEquals(found.relativeNorm!, relative, 1e-12 * (1 + relative));
        else assertEquals(found.relativeNorm, Infinity);
      }),
      { numRuns: 300 },
    );
  });
}

interface WideCase {
  readonly name: string;
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly expected: { readonly changed: number; readonly nan?: number; readonly max: number; readonly mean: number };
}

const WIDE: Readonly<Record<"F32" | "F64", readonly WideCase[]>> = {
  F32: [
    { name: "neighbours", a: [1, 2, 3], b: [1 + 2 ** -23, 2, 3], expected: { changed: 1, max: 1, mean: 1 } },
    { name: "a sign", a: [1], b: [-1], expected: { changed: 1, max: 2 * 0x3f800000, mean: 2 * 0x3f800000 } },
    { name: "the zeros", a: [0, 1], b: [-0, 1], expected: { changed: 1, max: 0, mean: 0 } },
    { name: "across zero", a: [2 ** -149], b: [-(2 ** -149)], expected: { changed: 1, max: 2, mean: 2 } },
    { name: "an infinity", a: [3.4028234663852886e38, 1], b: [Infinity, 1], expected: { changed: 1, max: 1, mean: 1 } },
    { name: "a NaN", a: [1, 1], b: [NaN, 1 + 2 ** -22], expected: { changed: 2, nan: 1, max: 2, mean: 2 } },
  ],
  F64: [
    { name: "neighbours", a: [1, 2], b: [1 + 2 ** -52, 2 + 2 ** -50], expected: { changed: 2, max: 2, mean: 1.5 } },
    { name: "the zeros", a: [0], b: [-0], expected: { changed: 1, max: 0, mean: 0 } },
    { name: "across zero", a: [5e-324], b: [-5e-324], expected: { changed: 1, max: 2, mean: 2 } },
    { name: "a NaN", a: [NaN], b: [1], expected: { changed: 1, nan: 1, max: 0, mean: 0 } },
  ],
};

for (const dtype of ["F32", "F64"] as const) {
  for (const { name, a, b, expected } of WIDE[dtype]) {
    Deno.test(`tally: ${dtype}, ${name}`, () => {
      const of = (values: readonly number[]) =>
        bytesOf(dtype === "F32" ? Float32Array.from(values) : Float64Array.from(values));
      const found = tallyOf([dtype, dtype], of(a), of(b), a.length);
      assertEquals(
        { changed: found.changedCount, nan: found.nanCount, ulp: found.ulp },
        { changed: expected.changed, nan: expected.nan ?? 0, ulp: { max: expected.max, mean: expected.mean } },
      );
    });
  }
}

Deno.test("tally: the relative norm leaves out what is not finite, and is infinite where A is zero", () => {
  const of = (...values: number[]) => bytesOf(Float32Array.from(values));
  assertEquals(tallyOf(["F32", "F32"], of(3, 4, 1, NaN), of(3, 4 + 1, Infinity, 1), 4).relativeNorm, 1 / 5);
  assertEquals(tallyOf(["F32", "F32"], of(0), of(1), 1).relativeNorm, Infinity);
});

Deno.test("tally: two dtypes are compared by value, and have no ulp", () => {
  const a = bytesOf(Float32Array.of(1, 2, NaN, 1.00390625));
  const b = bytesOf(Uint16Array.of(0x3f80, 0x4000, 0x7fc0, 0x3f80));
  const found = tallyOf(["F32", "BF16"], a, b, 4);
  assertEquals([found.changedCount, found.nanCount, found.ulp], [1, 0, null]);
  assertAlmostEquals(found.relativeNorm!, 0.00390625 / Math.sqrt(5 + 1.00390625 ** 2), 1e-12);
});

for (const dtype of ["F4", "F6_E2M3", "BOOL", "I8", "F8_E4M3", "I16", "I32", "I64", "C64"] as const) {
  Deno.test(`tally: ${dtype} elements are compared by their bits`, () => {
    const bits = BigInt(DTYPE_BITS[dtype]);
    const bytes = fc.uint8Array({ minLength: 24, maxLength: 24 });
    fc.assert(fc.property(bytes, fc.array(fc.tuple(fc.nat(23), fc.nat(255)), { maxLength: 5 }), (a, edits) => {
      const b = a.slice();
      for (const [place, value] of edits) b[place] = value;
      const whole = (bytes: Uint8Array) => bytes.reduceRight((sum, byte) => sum << 8n | BigInt(byte), 0n);
      const [wholeA, wholeB] = [whole(a), whole(b)];
      const count = 24 * 8 / Number(bits);
      const elements = (from: bigint) =>
        Array.from({ length: count }, (_, i) => from >> (bits * BigInt(i)) & (1n << bits) - 1n);
      const expected = elements(wholeA).filter((element, i) => element !== elements(wholeB)[i]).length;
      const found = tallyOf([dtype, dtype], a, b, count);
      assertEquals([found.changedCount, found.ulp, found.relativeNorm], [expected, null, null]);
    }));
  });
}
