/** A token's bytes depend on the token and its adapters, whatever else is in the call. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { problems } from "../execute/arbitrary.ts";
import { buildProblem, type Problem, type ProblemAdapter } from "../execute/problem.ts";
import { applyProblem, drawActivations, linearOf, MODULE } from "./activations.ts";

const ADAPTERS: readonly ProblemAdapter[] = [
  { variant: "ether", sides: ["in"], layout: "reference", numBlocks: 4 },
  { variant: "etherplus", sides: ["in", "out"], layout: "paper", numBlocks: 6 },
  { variant: "oft", sides: ["in", "out"], layout: "reference", numBlocks: 3 },
  { variant: "ether", sides: ["out"], layout: "paper", numBlocks: 1 },
];
const ROWS = [2, -1, 0, 0, 3, 1, -1, 2, 1, 0, 3, 3, 1];

function row(values: Float32Array, token: number, tokenCount: number): Float32Array {
  const length = values.length / tokenCount;
  return values.slice(token * length, (token + 1) * length);
}

/** Every bit: −0 is not 0, and a NaN is itself. */
function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.slice().buffer);
}

for (const fanInFanOut of [false, true]) {
  for (const weights of ["normal", "large"] as const) {
    const what = `${weights} weights${fanInFanOut ? ", stored [in, out]" : ""}`;
    Deno.test(`mixed rows of ${what}: in, out and linear are each row alone, bit for bit`, async () => {
      const problem: Problem = {
        ...{ seed: 51, dtype: "BF16", outer: 54, inner: 60, fanInFanOut, weights },
        adapters: ADAPTERS,
      };
      const built = await buildProblem(problem);
      await using apply = await applyProblem(built);
      for (const op of ["in", "out", "linear"] as const) {
        // Of these adapters two have blocks that differ between output features.
        const rows = ROWS.map((index) => op === "in" && (index === 0 || index === 2) ? 3 : index);
        const x = drawActivations(problem, ROWS.length, op === "out" ? 54 : 60);
        // Tokens that f32 cannot hold everywhere, nothing but zeros, and what is no number.
        if (weights === "large") {
          x.fill(3e38, 0, 20);
          x.fill(0, x.length - 60);
          x[4 * 60] = NaN;
          x[5 * 60 + 1] = -Infinity;
        }
        const mixed = await apply[op](MODULE, x, { rows: Int32Array.from(rows) });
        for (const [token, index] of rows.entries()) {
          const alone = await apply[op](MODULE, row(x, token, rows.length), { rows: [index] });
          assertEquals(bits(row(mixed, token, rows.length)), bits(alone), `${op}: token ${token} of adapter ${index}`);
        }
        assert(bits(mixed).some((value, i) => value !== bits(mixed)[0] && i > 0));
      }
    });
  }
}

Deno.test("mixed rows: each is what a call with its adapter alone makes of it", async () => {
  const problem: Problem = { seed: 52, dtype: "F32", outer: 54, inner: 60, adapters: ADAPTERS };
  const built = await buildProblem(problem);
  const x = drawActivations(problem, ROWS.length, 60);
  const mixed = await linearOf(built, x, { rows: ROWS });
  for (const [index] of ADAPTERS.entries()) {
    // The other adapters stand by, with nothing to do.
    await using apply = await applyProblem(built);
    const own = await apply.linear(MODULE, x, { rows: ROWS.map(() => index) });
    for (const [token, other] of ROWS.entries()) {
      const same = bits(row(mixed, token, ROWS.length)).every((value, i) => value === bits(row(own, token, 13))[i]);
      assertEquals(same, other === index, `token ${token}`);
    }
  }
});

Deno.test("linear of any problem: however tokens are split into calls and passes, the same bytes", async () => {
  const splits = fc.record({ problem: problems, cut: fc.integer({ min: 0, max: 7 }), pass: fc.nat(20_000) });
  await fc.assert(
    fc.asyncProperty(splits, async ({ problem: { castTo: _, ...problem }, cut, pass }) => {
      const built = await buildProblem(problem);
      const x = drawActivations(problem, 7, problem.inner);
      await using apply = await applyProblem(built);
      const whole = await apply.linear(MODULE, x);
      const first = await apply.linear(MODULE, x.subarray(0, cut * problem.inner));
      const second = await apply.linear(MODULE, x.subarray(cut * problem.inner));
      assertEquals(bits(Float32Array.of(...first, ...second)), bits(whole));
      assertEquals(bits(await linearOf(built, x, { passByteLength: pass })), bits(whole));
      // Every token through the first adapter, or none, is a chain of that one.
      const rows = Array.from({ length: 7 }, (_, token) => token % 2 - 1);
      const mixed = await apply.linear(MODULE, x, { rows });
      const some = (part: number) => rows.flatMap((index, token) => index === part ? [token] : []);
      for (const part of [-1, 0]) {
        const tokens = some(part);
        const own = Float32Array.from(tokens.flatMap((token) => [...row(x, token, 7)]));
        const got = await apply.linear(MODULE, own, { rows: tokens.map(() => part) });
        tokens.forEach((token, i) => assertEquals(bits(row(mixed, token, 7)), bits(row(got, i, tokens.length))));
      }
    }),
    { numRuns: 250, seed: 240520271 },
  );
});

Deno.test("a Conv1D and the same matrix as a Linear: the same bytes", async () => {
  const adapters = ADAPTERS.slice(1, 2);
  const inOut = await buildProblem({ seed: 53, dtype: "F16", outer: 54, inner: 60, fanInFanOut: true, adapters });
  const codes = new Uint16Array(inOut.base.buffer);
  const outIn = codes.map((_, at) => codes[(at % 60) * 54 + Math.floor(at / 60)]!);
  const linear = await buildProblem(
    { seed: 53, dtype: "F16", outer: 54, inner: 60, adapters },
    new Uint8Array(outIn.buffer),
  );
  const x = drawActivations(linear.problem, 4, 60);
  assertEquals(bits(await linearOf(linear, x)), bits(await linearOf(inOut, x)));
});
