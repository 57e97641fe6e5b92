/** Every golden case through a whole merge: each element within the promise, everything else byte for byte. */
import { assert, assertEquals } from "@std/assert";
import { readTensorFile } from "../../fixtures/tensor_file.ts";
import { type GoldenCase, goldenCases, readGolden } from "./cases.ts";
import { assertWithinTolerance, compareTensor } from "./compare.ts";
import { mergeCase } from "./merge_case.ts";

/** How many target elements of each dtype were compared, and how many of them were the best possible ones. */
const tally = new Map<string, { elements: number; correct: number; worst: number }>();

for (const golden of goldenCases) {
  if (golden.error === undefined) {
    Deno.test(`golden ${golden.name}: merged within the tolerance`, () => inTemporaryFolder(golden, checkMerged));
  } else {
    Deno.test(`golden ${golden.name}: refused with ${golden.error}`, () => inTemporaryFolder(golden, checkRefused));
  }
}

Deno.test.afterAll(() => {
  for (const [dtype, { elements, correct, worst }] of tally) {
    const share = (100 * correct / elements).toFixed(3);
    console.log(
      `golden ${dtype}: ${share} % of ${elements} elements correctly rounded, the worst at ${
        worst.toFixed(4)
      } of its bound`,
    );
  }
});

async function checkMerged(golden: GoldenCase, parent: string): Promise<void> {
  const out = `${parent}/merged`;
  await mergeCase(golden.folder, out);
  const { base, expected, targets } = await readGolden(golden);
  const merged = await readTensorFile(`${out}/base.safetensors`);
  assertEquals(
    await readHeader(`${out}/base.safetensors`),
    await readHeader(`${golden.folder}/base.safetensors`),
    "the header is the base's, byte for byte",
  );
  for (const [name, tensor] of merged) {
    const target = targets.get(name);
    if (target === undefined) {
      assertEquals(tensor.bytes, base.get(name)!.bytes, `${name} is not a target`);
      assertEquals(tensor.bytes, expected.get(name)!.bytes, name);
      continue;
    }
    const comparison = compareTensor(tensor.bytes, target);
    const sum = tally.get(target.dtype) ?? { elements: 0, correct: 0, worst: 0 };
    sum.elements += comparison.elementCount;
    sum.correct += comparison.correctlyRoundedCount;
    sum.worst = Math.max(sum.worst, comparison.worstRatio);
    tally.set(target.dtype, sum);
    assertWithinTolerance(`${golden.name}: ${name}`, comparison);
  }
}

async function checkRefused(golden: GoldenCase, parent: string): Promise<void> {
  const refusal = await mergeCase(golden.folder, `${parent}/merged`).then(() => undefined, (error: unknown) => error);
  assert(refusal !== undefined, `must be refused with ${golden.error}`);
  assertEquals((refusal as { code?: unknown }).code, golden.error, String(refusal));
  const left = [...Deno.readDirSync(parent)].map((entry) => entry.name);
  assertEquals(left, [], "a refused merge leaves nothing behind");
}

/** The length field and the header of a safetensors file. */
async function readHeader(path: string): Promise<string> {
  const bytes = await Deno.readFile(path);
  return new TextDecoder().decode(bytes.subarray(8, 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))));
}

async function inTemporaryFolder(
  golden: GoldenCase,
  check: (golden: GoldenCase, parent: string) => Promise<void>,
): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "ether-golden-" });
  try {
    await check(golden, parent);
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}
