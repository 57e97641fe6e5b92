import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { cayley } from "../../../../runtime/methods/ether/cayley.ts";
import { Random } from "../../kernel/arbitrary.ts";
import { denseBlock } from "../../execute/reference.ts";

function randomMatrix(seed: number, n: number, scale: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: n * n }, () => random.normal() * scale);
}

function product(a: ArrayLike<number>, b: ArrayLike<number>, n: number): Float64Array {
  const c = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < n; k++) {
      for (let j = 0; j < n; j++) c[i * n + j]! += a[i * n + k]! * b[k * n + j]!;
    }
  }
  return c;
}

const matrices = fc.record({
  seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  n: fc.integer({ min: 1, max: 24 }),
  scale: fc.constantFrom(1e-30, 1e-3, 0.1, 1, 10, 1e4, 1e6),
});

Deno.test("cayley: Q·Qᵀ is the identity, for R up to a million", () => {
  fc.assert(fc.property(matrices, ({ seed, n, scale }) => {
    const r = randomMatrix(seed, n, scale);
    const q = cayley(r, n, false);
    product(q, cayley(r, n, true), n).forEach((value, at) => {
      const expected = Number(at % (n + 1) === 0);
      assert(Math.abs(value - expected) < 1e-6, `${seed} ${n} ${scale}: ${value} instead of ${expected}`);
    });
  }));
});

Deno.test("cayley: transposed is the transpose, to a rounding", () => {
  fc.assert(fc.property(matrices, ({ seed, n, scale }) => {
    const r = randomMatrix(seed, n, scale);
    const q = cayley(r, n, false);
    cayley(r, n, true).forEach((value, at) => {
      assert(Math.abs(value - q[(at % n) * n + Math.floor(at / n)]!) < 1e-6);
    });
  }));
});

Deno.test("cayley: what another elimination in f64 gives, rounded once", () => {
  fc.assert(fc.property(matrices, ({ seed, n, scale }) => {
    if (scale > 100) return;
    const r = randomMatrix(seed, n, scale);
    const expected = denseBlock({ variant: "oft", strength: 1 }, { u: Float64Array.from(r), v: null }, 0, n);
    cayley(r, n, false).forEach((value, at) => {
      assert(Math.abs(value - expected[at]!) <= 2 ** -24, `${value} instead of ${expected[at]}`);
    });
  }));
});

Deno.test("cayley: zero, and any symmetric R, is the identity; a row of large numbers is pivoted", () => {
  assertEquals([...cayley(new Float32Array(9), 3, false)], [1, 0, 0, 0, 1, 0, 0, 0, 1]);
  assertEquals([...cayley(Float32Array.of(5, 7, 7, -2), 2, false)], [1, 0, 0, 1]);
  // S = [[0, s], [−s, 0]] gives a turn whose cosine is (1 − s²)/(1 + s²).
  const [cosine, sine] = cayley(Float32Array.of(0, 3, -3, 0), 2, false);
  assertEquals([cosine, sine], [Math.fround(-0.8), Math.fround(0.6)]);
});
