import { assertEquals, assertThrows } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { type Frame, planFrames } from "../../../runtime/apply/frames.ts";
import type { ActivationPart } from "../../../runtime/methods/activation.ts";
import type { OpSpec } from "../../../runtime/methods/op.ts";

const OP = { region: { columnCount: 1 } } as OpSpec;

/** Of 12 features: an input for each `inputRun` of them, an output side that mixes groups of `outputGroup`. */
function part(inputRun: number | null, outputGroup: number | null, count = 12): ActivationPart {
  return {
    ...{ features: [{ start: 0, count }], featureCount: count, matrixFeatureCount: count, storedInOut: false },
    input: inputRun === null ? null : OP,
    output: outputGroup === null ? null : OP,
    outputGroup: outputGroup ?? 1,
    inputVaries: inputRun !== null && inputRun < count,
    inputRunEnd: (feature) => inputRun === null ? Infinity : (Math.floor(feature / inputRun) + 1) * inputRun,
  };
}

/** Rows of W that a frame multiplies, counted as often as it does. */
function multiplied(frame: Frame): number {
  const own = frame.products.flatMap(({ rows }) => rows).reduce((sum, { count }) => sum + count, 0);
  return frame.children.reduce((sum, child) => sum + multiplied(child.frame), own);
}

/** [the chain, rows of W that are multiplied, frames beside the first, inputs of the first frame, what it is]. */
const CASES: readonly (readonly [readonly ActivationPart[], number, number, number, string])[] = [
  [[], 12, 0, 1, "no adapter"],
  [[part(12, null)], 12, 0, 1, "one input for all"],
  [[part(3, null)], 12, 0, 4, "an input for each group"],
  [[part(3, 3)], 12, 0, 4, "both sides in the same groups"],
  [[part(3, null), part(null, 12)], 12, 0, 4, "an output side after the inputs"],
  [[part(null, 3), part(6, null)], 12, 0, 2, "an output side within what the inputs keep together"],
  [[part(null, 12), part(12, null)], 12, 0, 1, "an output side before one input for all"],
  [[part(null, 12), part(3, null)], 48, 4, 0, "an output side across the inputs: all rows for each of four"],
  [[part(null, 4), part(6, null)], 16, 2, 0, "an output side across a border: a group twice"],
  [[part(3, null), part(null, 12), part(6, null)], 24, 2, 0, "inputs, an output side across, inputs"],
];

for (const [chain, rows, children, products, what] of CASES) {
  Deno.test(`planFrames: ${what}`, () => {
    const frame = planFrames(chain.map((one) => [one]), 12);
    assertEquals([multiplied(frame), frame.children.length, frame.products.length], [rows, children, products]);
    assertEquals(frame.rows, [{ start: 0, count: 12 }]);
  });
}

Deno.test("planFrames: parts of a fused matrix have inputs of their own, the rest has none", () => {
  const q: ActivationPart = { ...part(12, null), features: [{ start: 0, count: 2 }, { start: 6, count: 2 }] };
  const v: ActivationPart = { ...part(12, null), features: [{ start: 4, count: 2 }, { start: 10, count: 2 }] };
  const { products } = planFrames([[q, v]], 12);
  assertEquals(products.map(({ rows }) => rows), [
    [{ start: 0, count: 2 }, { start: 6, count: 2 }],
    [{ start: 4, count: 2 }, { start: 10, count: 2 }],
    [{ start: 2, count: 2 }, { start: 8, count: 2 }],
  ]);
  assertEquals(products.map(({ steps }) => steps.length), [1, 1, 0]);
});

Deno.test("planFrames: a chain that needs the matrix thousands of times is refused", () => {
  const chain = [[part(null, 2000, 2000)], [part(1, null, 2000)]];
  assertEquals(assertThrows(() => planFrames(chain, 2000), EtherError).code, "unsupported");
});
