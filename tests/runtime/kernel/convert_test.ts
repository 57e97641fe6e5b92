import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { elementByteLength, FLOAT_DTYPES } from "../../../runtime/safetensors/dtype.ts";
import { dtypes, elements, firstDifference, FREE, KERNELS, kinds, Random, seeds, write } from "./arbitrary.ts";
import { round, valueOfCode, valuesOf } from "./reference.ts";

const CODES = Uint16Array.from({ length: 65536 }, (_, code) => code);
const TARGET = FREE + (1 << 18);

for (const dtype of ["BF16", "F16"] as const) {
  for (const kernel of KERNELS) {
    Deno.test(`decode: ${kernel.name} gives each ${dtype} code its value, and NaNs their bits`, () => {
      write(FREE, CODES);
      kernel.decode(dtype, FREE, CODES.length, TARGET);
      const bits = new Uint32Array(kernel.bytes.slice(TARGET, TARGET + 4 * CODES.length).buffer);
      const values = new Float32Array(bits.buffer);
      const shift = dtype === "BF16" ? 16 : 13;
      CODES.forEach((code) => {
        const expected = valueOfCode(dtype, code);
        if (!Object.is(values[code], expected)) throw new Error(`${code}: ${values[code]} instead of ${expected}`);
        if (!Number.isNaN(expected)) return;
        const mantissa = dtype === "BF16" ? code & 0x7f : code & 0x3ff;
        assertEquals(bits[code], ((code & 0x8000) * 65536 + 0x7f800000 + mantissa * 2 ** shift) >>> 0);
      });
    });

    Deno.test(`encode: ${kernel.name} rounds to the nearest ${dtype}, ties to even`, () => {
      // Each code's value, the tie above it, and what lies just beside them, with both signs; and values at random.
      const values: number[] = [];
      for (let code = 0; code < 0x7f80; code++) {
        const value = valueOfCode(dtype, code);
        if (!Number.isFinite(value)) break;
        const next = valueOfCode(dtype, code + 1);
        const tie = Number.isFinite(next) ? (value + next) / 2 : dtype === "F16" ? 65520 : 3.3961775292304601e38;
        for (const exact of [value, tie]) values.push(...neighbours(exact), ...neighbours(-exact));
      }
      const random = new Random(3);
      for (let index = 0; index < 20000; index++) values.push(fromBits(random.bits()));
      let overflows = 0;
      for (let start = 0; start < values.length; start += 65536) {
        const part = Float32Array.from(values.slice(start, start + 65536));
        write(TARGET, part);
        const returned = kernel.encode(dtype, TARGET, part.length, FREE);
        const got = valuesOf(kernel, dtype, FREE, part.length);
        let expectedOverflows = 0;
        part.forEach((value, index) => {
          const expected = round(dtype, value);
          if (Number.isFinite(value) && !Number.isFinite(expected)) expectedOverflows++;
          if (!Object.is(got[index], expected)) throw new Error(`${value}: ${got[index]} instead of ${expected}`);
        });
        assertEquals(returned, expectedOverflows);
        overflows += returned;
      }
      assertEquals(overflows > 0, true);
    });
  }
}

Deno.test("decode, encode: WASM writes the bytes of the specification, and nothing beside them", () => {
  fc.assert(
    fc.property(
      seeds,
      dtypes,
      kinds,
      fc.integer({ min: 0, max: 70 }),
      fc.nat(7),
      fc.nat(7),
      (seed, dtype, kind, n, a, b) => {
        const random = new Random(seed);
        write(FREE, elements(random, dtype, kind, n + 8));
        write(TARGET, new Uint8Array(1024).fill(0xaa));
        for (const kernel of KERNELS) kernel.decode(dtype, FREE + a, n, TARGET + 16 + b);
        assertEquals(firstDifference(TARGET, TARGET + 1024), -1, `decode ${dtype} ${kind} ${n}`);
        assertUntouched(TARGET + 16 + b, 4 * n);

        write(FREE, elements(random, "F32", kind, n + 8));
        write(TARGET, new Uint8Array(1024).fill(0xaa));
        const counts = KERNELS.map((kernel) => kernel.encode(dtype, FREE + a, n, TARGET + 16 + b));
        assertEquals(counts[0], counts[1], `encode ${dtype} ${kind} ${n}`);
        assertEquals(firstDifference(TARGET, TARGET + 1024), -1, `encode ${dtype} ${kind} ${n}`);
        assertUntouched(TARGET + 16 + b, elementByteLength(dtype) * n);
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("encode: every NaN becomes the canonical one", () => {
  const nans = Uint32Array.of(
    0x7f800001,
    0xff800001,
    0x7fffffff,
    0xffffffff,
    0x7fc00000,
    0xffc00000,
    0x7f80ffff,
    0x7fbfffff,
  );
  const canonical = { F32: [0, 0, 0xc0, 0x7f], BF16: [0xc0, 0x7f], F16: [0, 0x7e] };
  for (const dtype of FLOAT_DTYPES) {
    for (const count of [5, 8]) {
      write(FREE, nans);
      for (const kernel of KERNELS) {
        assertEquals(kernel.encode(dtype, FREE, count, TARGET), 0);
        const got = [...kernel.bytes.subarray(TARGET, TARGET + count * elementByteLength(dtype))];
        assertEquals(got, Array.from({ length: count }, () => canonical[dtype]).flat());
      }
    }
  }
});

Deno.test("decode, encode: F32 may stay in its place", () => {
  for (const kernel of KERNELS) {
    kernel.bytes.set([0, 0, 128, 63, 1, 0, 128, 127], FREE);
    kernel.decode("F32", FREE, 2, FREE);
    assertEquals([...kernel.bytes.subarray(FREE, FREE + 8)], [0, 0, 128, 63, 1, 0, 128, 127]);
    assertEquals(kernel.encode("F32", FREE, 2, FREE), 0);
    assertEquals([...kernel.bytes.subarray(FREE, FREE + 8)], [0, 0, 128, 63, 0, 0, 192, 127]);
  }
});

/** An f32 value and the ones just below and above it. */
function neighbours(value: number): number[] {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return [value, fromBits((bits + 1) >>> 0), fromBits(bits % 2 ** 31 === 0 ? bits : bits - 1)];
}

function fromBits(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
}

function assertUntouched(start: number, byteLength: number): void {
  for (const kernel of KERNELS) {
    const around = [
      ...kernel.bytes.subarray(start - 8, start),
      ...kernel.bytes.subarray(start + byteLength, start + byteLength + 8),
    ];
    assertEquals(around.every((byte) => byte === 0xaa), true, "bytes beside the target changed");
  }
}
