import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { elements, firstDifference, FREE, KERNELS, kinds, Random, seeds, write } from "./arbitrary.ts";
import { ulp, valuesOf } from "./reference.ts";

const shapes = fc.record({
  seed: seeds,
  kind: kinds,
  m: fc.integer({ min: 1, max: 9 }),
  k: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom(63, 64, 65, 130, 200)),
  n: fc.integer({ min: 1, max: 27 }),
  offsets: fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9)),
  gaps: fc.tuple(fc.constantFrom(0, 4, 7), fc.constantFrom(0, 4, 7), fc.constantFrom(0, 4, 7)),
});

Deno.test("matmul: WASM writes the bytes of the specification, and nothing beside C", () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const { m, k, n, offsets, gaps } = shape;
      const random = new Random(shape.seed);
      const a = FREE + offsets[0], b = FREE + 65536 + offsets[1], c = FREE + 131072 + offsets[2];
      const aStride = 4 * k + gaps[0], bStride = 4 * n + gaps[1], cStride = 4 * n + gaps[2];
      for (let i = 0; i < m; i++) write(a + i * aStride, elements(random, "F32", shape.kind, k));
      for (let i = 0; i < k; i++) write(b + i * bStride, elements(random, "F32", shape.kind, n));
      const around = 64;
      write(c - around, new Uint8Array(m * cStride + 2 * around).fill(0xaa));
      for (const kernel of KERNELS) kernel.matmul({ a, aStride, b, bStride, c, cStride, m, k, n });
      const at = firstDifference(c - around, c + m * cStride + around);
      assertEquals(at, -1, `${JSON.stringify(shape)}: byte ${at - c}`);
      const bytes = KERNELS[0]!.bytes;
      for (let position = -around; position < m * cStride + around; position++) {
        const inside = position >= 0 && position < m * cStride && position % cStride < 4 * n;
        if (!inside) assertEquals(bytes[c + position], 0xaa, `${JSON.stringify(shape)}: byte ${position}`);
      }
    }),
    { numRuns: 1000 },
  );
});

Deno.test("matmul: C is near the exact product", () => {
  const random = new Random(11);
  const [m, k, n] = [5, 300, 19];
  const a = Float32Array.from({ length: m * k }, () => random.normal());
  const b = Float32Array.from({ length: k * n }, () => random.normal());
  const address = FREE + 4 * a.length + 4 * b.length;
  write(FREE, a);
  write(FREE + 4 * a.length, b);
  for (const kernel of KERNELS) {
    kernel.matmul({
      a: FREE,
      aStride: 4 * k,
      b: FREE + 4 * a.length,
      bStride: 4 * n,
      c: address,
      cStride: 4 * n,
      m,
      k,
      n,
    });
    const c = new Float32Array(kernel.bytes.slice(address, address + 4 * m * n).buffer);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let exact = 0, size = 0;
        for (let l = 0; l < k; l++) {
          exact += a[i * k + l]! * b[l * n + j]!, size += Math.abs(a[i * k + l]! * b[l * n + j]!);
        }
        const error = Math.abs(c[i * n + j]! - exact);
        if (error > 8 * 2 ** -24 * size) throw new Error(`${kernel.name} [${i}, ${j}]: ${c[i * n + j]} for ${exact}`);
      }
    }
  }
});

Deno.test("matmul: tiny rows, columns and whole products are within 0.505 ulp and what the sums may lose", () => {
  const [m, k, n] = [6, 150, 19];
  const a = FREE, b = a + 4 * m * k, c = b + 4 * k * n;
  for (const [aScale, bScale] of [[-149, 0], [-140, 0], [-110, -2], [-60, -80], [0, -130], [-100, 0]] as const) {
    const random = new Random(-aScale + 1);
    const draw = (length: number, log2: number) =>
      Float32Array.from({ length }, () => random.normal() * 2 ** (random.below(3) === 0 ? -200 : log2));
    const x = draw(m * k, aScale), y = draw(k * n, bScale);
    // An ordinary row and an ordinary column among them, a row and a column of zeros.
    for (let l = 0; l < k; l++) {
      x[l] = random.normal(), x[k + l] = 0;
      y[l * n + 1] = random.normal(), y[l * n + 2] = 0;
    }
    write(a, x);
    write(b, y);
    for (const kernel of KERNELS) {
      kernel.matmul({ a, aStride: 4 * k, b, bStride: 4 * n, c, cStride: 4 * n, m, k, n });
      valuesOf(kernel, "F32", c, m * n).forEach((got, index) => {
        let exact = 0, xx = 0, yy = 0;
        for (let l = 0; l < k; l++) {
          const left = x[Math.floor(index / n) * k + l]!, right = y[l * n + index % n]!;
          exact += left * right, xx += left * left, yy += right * right;
        }
        const allowed = 0.505 * ulp("F32", exact) + 8 * 2 ** -24 * Math.sqrt(xx * yy);
        const error = Math.abs(got - exact);
        if (error > allowed) throw new Error(`${kernel.name} [${index}]: ${got} for ${exact}: ${error / allowed}`);
      });
    }
  }
});

Deno.test("matmul: a row that f32 cannot hold on the way is right all the same", () => {
  // 2e38 + 2e38 - 3e38 overflows in f32; the row beside it does not, and stays in f32.
  write(FREE, Float32Array.of(2e38, 2e38, -3e38, 1, 2, 3));
  write(FREE + 64, Float32Array.of(1, 1, 1));
  for (const kernel of KERNELS) {
    kernel.matmul({ a: FREE, aStride: 12, b: FREE + 64, bStride: 4, c: FREE + 128, cStride: 4, m: 2, k: 3, n: 1 });
    assertEquals([...new Float32Array(kernel.bytes.slice(FREE + 128, FREE + 136).buffer)], [
      Math.fround(Math.fround(2e38) * 2 - Math.fround(3e38)),
      6,
    ]);
  }
});
