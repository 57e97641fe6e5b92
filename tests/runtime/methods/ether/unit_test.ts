import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { cancelOut, checkVectors, toUnitVectors } from "../../../../runtime/methods/ether/unit.ts";

const SMALLEST = 2 ** -149;
const LARGEST = (2 - 2 ** -23) * 2 ** 127;

/** û by scaling with a power of two, which is exact, and f64, whose range is wide enough. */
function exactUnit(vector: readonly number[]): number[] {
  const norm = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  return vector.map((x) => x / norm);
}

const floats = fc.float({ noNaN: true, noDefaultInfinity: true });

Deno.test("toUnitVectors: each vector over its norm, to one rounding, whatever its size", () => {
  const vectors = fc.integer({ min: 1, max: 20 }).chain((length) =>
    fc.array(fc.array(floats, { minLength: length, maxLength: length }), { minLength: 1, maxLength: 4 })
  );
  fc.assert(fc.property(vectors, (drawn) => {
    fc.pre(drawn.every((vector) => vector.some((x) => x !== 0)));
    const length = drawn[0]!.length;
    const values = Float32Array.from(drawn.flat());
    toUnitVectors(values, length);
    drawn.flatMap(exactUnit).forEach((expected, at) => {
      const got = values[at]!;
      const room = Math.max(2 ** -24 * Math.abs(expected) * 1.001, SMALLEST / 2);
      assert(Math.abs(got - expected) <= room, `${got} instead of ${expected}`);
    });
  }));
});

for (const size of [1e-30, 1e30, 1e-42, SMALLEST, LARGEST]) {
  Deno.test(`toUnitVectors: vectors of size ${size.toPrecision(3)} have norm 1`, () => {
    const values = Float32Array.of(3 * Math.min(size, LARGEST / 4), 0, -4 * Math.min(size, LARGEST / 4), size, size, 0);
    const before = [...values];
    toUnitVectors(values, 3);
    for (const start of [0, 3]) {
      const expected = exactUnit(before.slice(start, start + 3));
      [...values.subarray(start, start + 3)].forEach((x, i) => assert(Math.abs(x - expected[i]!) < 1e-7));
    }
  });
}

Deno.test("toUnitVectors: direction alone counts: a scaled vector gives the same", () => {
  for (const scale of [2 ** -100, -1, 2 ** 90]) {
    const one = Float32Array.of(0.3, -0.7, 0.1, 2);
    const other = one.map((x) => x * scale);
    toUnitVectors(one, 4);
    toUnitVectors(other, 4);
    assertEquals([...other], [...one].map((x) => x * Math.sign(scale)));
  }
});

Deno.test("checkVectors: finds the first vector without a direction, and says which", () => {
  assertEquals(checkVectors(Float32Array.of(1, 0, 0, SMALLEST), 2), null);
  assertEquals(checkVectors(Float32Array.of(1, 0, 0, -0), 2), { code: "zero_vector", block: 1 });
  assertEquals(checkVectors(Float32Array.of(1, NaN, 0, 0), 2), { code: "nonfinite_vector", block: 0 });
  assertEquals(checkVectors(Float32Array.of(1, 2, 0, -Infinity), 2), { code: "nonfinite_vector", block: 1 });
});

Deno.test("cancelOut: v is u or −u in every block", () => {
  const u = Float32Array.of(1, 2, 3, 4);
  assertEquals(cancelOut(u, Float32Array.of(1, 2, -3, -4), 2), true);
  assertEquals(cancelOut(u, Float32Array.of(-1, -2, 3, 4), 2), true);
  assertEquals(cancelOut(u, Float32Array.of(1, -2, 3, 4), 2), false);
  assertEquals(cancelOut(u, Float32Array.of(1, 2, 3, 5), 2), false);
});
