/** NaN and infinities: what is not computed keeps its bits, what is computed has one NaN, and neither spreads. */
import { assert, assertEquals } from "@std/assert";
import { FLOAT_DTYPES, type FloatDtype } from "../../../runtime/safetensors/dtype.ts";
import {
  buildProblem,
  type BuiltProblem,
  computeTarget,
  partRows,
  type Problem,
  type ProblemAdapter,
  targetOf,
} from "./problem.ts";

const OUTER = 24;
const INNER = 40;
const CANONICAL = { F32: 0x7fc00000, F16: 0x7e00, BF16: 0x7fc0 } as const;
/** A negative NaN with a payload, quiet or signalling. */
const STRANGE = { F32: [0xffc12345, 0xff812345], F16: [0xfe55, 0xfc55], BF16: [0xffd5, 0xff95] } as const;
const INFINITY = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 } as const;

/** The drawn weights with some codes put in their places. */
async function withCodes(problem: Problem, codes: ReadonlyMap<number, number>): Promise<BuiltProblem> {
  const { base } = await buildProblem(problem);
  const elements = codesOf(problem.dtype, base);
  for (const [at, code] of codes) elements[at] = code;
  return await buildProblem(problem, base);
}

/** A view of a tensor's codes. */
function codesOf(dtype: FloatDtype, bytes: Uint8Array<ArrayBuffer>): Uint32Array | Uint16Array {
  return dtype === "F32" ? new Uint32Array(bytes.buffer) : new Uint16Array(bytes.buffer);
}

function isNaNCode(dtype: FloatDtype, code: number): boolean {
  return (code & (dtype === "F32" ? 0x7fffffff : 0x7fff)) > INFINITY[dtype];
}

const CASES: (ProblemAdapter & { name: string })[] = [];
for (const variant of ["ether", "etherplus", "oft"] as const) {
  for (const sides of [["in"], ["out"], ["in", "out"]] as const) {
    for (const layout of ["paper", "reference"] as const) {
      CASES.push({ name: `${variant} ${sides.join("+")} ${layout}`, variant, sides, layout, numBlocks: 4 });
    }
  }
}

Deno.test("computed NaN: one code for each dtype, on every path, where the exact result is NaN and nowhere else", async () => {
  for (const adapter of CASES) {
    for (const dtype of FLOAT_DTYPES) {
      for (const castTo of [undefined, ...FLOAT_DTYPES]) {
        for (const chained of [false, true]) {
          const adapters = chained ? [adapter, { ...adapter, numBlocks: 2 }] : [adapter];
          const problem: Problem = {
            ...{ seed: 31, dtype, outer: OUTER, inner: INNER, adapters },
            ...castTo === undefined ? {} : { castTo },
          };
          const codes = new Map([[3 * INNER + 7, STRANGE[dtype][0]], [13 * INNER + 33, STRANGE[dtype][1]]]);
          const built = await withCodes(problem, codes);
          const out = castTo ?? dtype;
          const got = codesOf(out, await computeTarget(built));
          const { exact } = targetOf(built);
          for (const [at, code] of got.entries()) {
            const what = `${adapter.name} ${dtype} to ${out}${chained ? ", chained" : ""}: element ${at}`;
            assertEquals(isNaNCode(out, code), Number.isNaN(exact[at]!), what);
            if (isNaNCode(out, code)) assertEquals(code, CANONICAL[out], what);
          }
        }
      }
    }
  }
});

Deno.test("an infinity: only the blocks that it stands in feel it, and they as IEEE says", async () => {
  for (const adapter of CASES) {
    for (const dtype of FLOAT_DTYPES) {
      const problem: Problem = { seed: 32, dtype, outer: OUTER, inner: INNER, adapters: [adapter] };
      const at = 9 * INNER + 21;
      const clean = targetOf(await buildProblem(problem)).exact;
      const built = await withCodes(problem, new Map([[at, INFINITY[dtype]]]));
      const target = targetOf(built);
      const got = codesOf(dtype, await computeTarget(built));
      let touched = 0;
      for (const [i, code] of got.entries()) {
        const nonfinite = (code & INFINITY[dtype]) === INFINITY[dtype];
        assertEquals(nonfinite, !Number.isFinite(target.exact[i]!), `${adapter.name} ${dtype}: element ${i}`);
        if (nonfinite) touched++;
        else assertEquals(target.exact[i], clean[i]);
      }
      assert(touched > 0 && touched <= (OUTER / 4) * (INNER / 4), `${adapter.name}: ${touched} elements`);
    }
  }
});

Deno.test("rows of a fused matrix that no part means keep their bits, NaNs included", async () => {
  const fused = { numHeads: 4, numQueryGroups: 2, headSize: 3, order: "grouped" } as const;
  for (const variant of ["ether", "etherplus", "oft"] as const) {
    for (const sides of [["in"], ["out"], ["in", "out"]] as const) {
      for (const dtype of FLOAT_DTYPES) {
        for (const parts of [["q"], ["k"], ["q", "v"]] as const) {
          for (const chained of [false, true]) {
            const adapter: ProblemAdapter = { variant, sides, layout: "reference", numBlocks: 2, parts };
            const adapters = chained ? [adapter, { ...adapter, numBlocks: 1 }] : [adapter];
            const problem: Problem = { seed: 33, dtype, outer: OUTER, inner: INNER, fused, adapters };
            const strange = Array.from(
              { length: OUTER },
              (_, row) => [row * INNER + row, STRANGE[dtype][row % 2]!] as const,
            );
            const built = await withCodes(problem, new Map(strange));
            const before = codesOf(dtype, built.base);
            for (const tileByteLength of [1, 300, 1 << 20]) {
              const got = codesOf(dtype, await computeTarget(built, { tileByteLength }));
              const meant = new Set(parts.flatMap((part) => partRows(fused, part)));
              for (let row = 0; row < OUTER; row++) {
                const own = [row * INNER, (row + 1) * INNER] as const;
                if (meant.has(row)) {
                  assertEquals(got[row * INNER + row], CANONICAL[dtype], `row ${row}`);
                } else {
                  assertEquals(got.slice(...own), before.slice(...own), `${variant} ${sides} ${parts}: row ${row}`);
                }
              }
            }
          }
        }
      }
    }
  }
});

Deno.test("a cast alone: every NaN becomes the new dtype's one NaN, an infinity stays", async () => {
  const adapters: ProblemAdapter[] = [{ ...CASES[0]!, strength: 0 }];
  for (const dtype of FLOAT_DTYPES) {
    for (const castTo of FLOAT_DTYPES) {
      if (dtype === castTo) continue;
      const problem: Problem = { seed: 34, dtype, castTo, outer: OUTER, inner: INNER, adapters };
      const codes = new Map([[5, STRANGE[dtype][0]], [6, INFINITY[dtype]], [7, STRANGE[dtype][1]]]);
      const built = await withCodes(problem, codes);
      const got = codesOf(castTo, await computeTarget(built));
      assertEquals([...got.subarray(5, 8)], [CANONICAL[castTo], INFINITY[castTo], CANONICAL[castTo]]);
    }
  }
});
