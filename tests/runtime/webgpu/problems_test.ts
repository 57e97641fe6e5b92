/** Any problem on the GPU: merged and applied within the promise, whatever the device does and what it leaves to the CPU. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { ApplyDevices } from "../../../runtime/apply/apply_device.ts";
import { prepareApply } from "../../../runtime/apply/prepare_apply.ts";
import type { PreparedApply } from "../../../runtime/apply/prepared_apply.ts";
import { loadKernel } from "../../../runtime/kernel/load.ts";
import { WebGpuKernel } from "../../../runtime/webgpu/kernel.ts";
import { assertWithinTolerance, compareTensor } from "../../golden/compare.ts";
import {
  applyProblem,
  boundOf,
  drawActivations,
  linearOf,
  matricesOf,
  MODULE,
  multiply,
  worstRatio,
} from "../apply/activations.ts";
import { problems } from "../execute/arbitrary.ts";
import {
  buildProblem,
  type BuiltProblem,
  computeTarget,
  type Problem,
  type ProblemAdapter,
  targetOf,
} from "../execute/problem.ts";
import { devicesTest, gpuTest } from "./adapter.ts";

/** A settled batch takes at least 10 ms on Deno, whatever the device. */
const MERGES = { numRuns: 30, seed: 240520271 };
const RUNS = { numRuns: 120, seed: 240520271 };

for (const [what, limits] of [["the device's limits", {}], ["small bindings", { bindingByteLength: 4096 }]] as const) {
  gpuTest(`merge of any problem, with ${what}: within the tolerance`, async (gpu) => {
    const kernel = new WebGpuKernel(gpu, loadKernel());
    const drawn = fc.record({ problem: problems, tileByteLength: fc.constantFrom(1 << 20, 700, 3000) });
    await fc.assert(
      fc.asyncProperty(drawn, async ({ problem: { castTo: _, ...problem }, tileByteLength }) => {
        const built = await buildProblem(problem);
        const got = await computeTarget(built, { kernel, tileByteLength });
        assertWithinTolerance(JSON.stringify(problem), compareTensor(got, targetOf(built)));
      }),
      MERGES,
    );
    const { device, here } = kernel.batches;
    assert(device > here, `${device} batches on the device, ${here} here`);
  }, { limits });
}

gpuTest(
  "merge with long dense blocks: within the tolerance",
  async (gpu) => {
    const kernel = new WebGpuKernel(gpu, loadKernel());
    const adapters: ProblemAdapter[] = [{ variant: "oft", sides: ["in"], layout: "paper", numBlocks: 1 }];
    const problem: Problem = { seed: 9, dtype: "F32", outer: 48, inner: 768, adapters };
    const built = await buildProblem(problem);
    assertWithinTolerance("long", compareTensor(await computeTarget(built, { kernel }), targetOf(built)));
    assertEquals(kernel.batches.here, 0);
  },
);

devicesTest("linear of any problem: within the tolerance, whatever the adapters", async (devices) => {
  let onDevice = 0;
  await fc.assert(
    fc.asyncProperty(problems, async ({ castTo: _, ...problem }) => {
      onDevice += await checkLinear(problem, devices) ? 1 : 0;
    }),
    RUNS,
  );
  assert(onDevice > RUNS.numRuns / 2, `only ${onDevice} of ${RUNS.numRuns} on the device`);
});

const MANY = 70;

for (const tokens of [1, 4, 5, 16, 17, MANY]) {
  devicesTest(`linear of ${tokens} tokens, every dtype and way of storing: within the tolerance`, async (devices) => {
    for (const dtype of ["F32", "BF16", "F16"] as const) {
      for (const fanInFanOut of [false, true]) {
        for (const [outer, inner] of [[66, 60], [130, 35], [7, 520]] as const) {
          const adapters: ProblemAdapter[] = [
            { variant: "etherplus", sides: ["in", "out"], layout: "reference", numBlocks: outer === 66 ? 6 : 1 },
          ];
          const problem = { seed: outer + tokens, dtype, outer, inner, fanInFanOut, adapters };
          assert(await checkLinear(problem, devices, tokens), `${JSON.stringify(problem)} is not for the device`);
        }
      }
    }
  });
}

const MIXED: readonly ProblemAdapter[] = [
  { variant: "ether", sides: ["in"], layout: "reference", numBlocks: 4 },
  { variant: "etherplus", sides: ["in", "out"], layout: "paper", numBlocks: 6 },
  { variant: "oft", sides: ["in", "out"], layout: "reference", numBlocks: 3 },
  { variant: "ether", sides: ["out"], layout: "paper", numBlocks: 1 },
];

devicesTest("mixed rows: each is what a call with its adapter alone makes of it", async (devices) => {
  const problem: Problem = { seed: 52, dtype: "BF16", outer: 54, inner: 60, adapters: MIXED };
  const built = await buildProblem(problem);
  const rows = Array.from({ length: 40 }, (_, token) => token % 5 - 1);
  const x = drawActivations(problem, rows.length, 60);
  await using onGpu = await applyOn(built, devices);
  const mixed = await onGpu.linear(MODULE, x, { rows });
  for (const index of [-1, 0, 1, 2, 3]) {
    const expected = await linearOf(built, x, { rows: rows.map(() => index) });
    for (const [token, own] of rows.entries()) {
      const part = (values: Float32Array) => values.subarray(token * 54, (token + 1) * 54);
      const largest = Math.max(...part(expected).map(Math.abs));
      const off = Math.max(...part(mixed).map((value, i) => Math.abs(value - part(expected)[i]!))) / largest;
      assertEquals(off < 1e-5, own === index, `token ${token} of adapter ${own}, held against ${index}: ${off}`);
    }
  }
});

devicesTest("in and out: what the CPU makes of them", async (devices) => {
  for (const [index, adapter] of MIXED.entries()) {
    const problem: Problem = { seed: 60 + index, dtype: "F32", outer: 54, inner: 60, adapters: [adapter] };
    const built = await buildProblem(problem);
    const one = built.problem.adapters[0]!;
    await using onGpu = await applyOn(built, devices);
    await using here = await applyProblem(built);
    for (const side of ["in", "out"] as const) {
      if (side === "in" && one.layout === "reference" && one.sides.includes("in")) continue;
      const x = drawActivations(problem, 9, side === "in" ? 60 : 54);
      const [got, expected] = [await onGpu[side](MODULE, x), await here[side](MODULE, x)];
      const largest = Math.max(...expected.map(Math.abs));
      got.forEach((value, i) => assert(Math.abs(value - expected[i]!) < 4e-6 * largest, `${side}[${i}]`));
    }
  }
});

devicesTest("a matrix that needs several slabs, and a pass for some tokens: the same as one", async (devices) => {
  const problem: Problem = { seed: 53, dtype: "BF16", outer: 156, inner: 60, adapters: MIXED.slice(1, 2) };
  assert(await checkLinear(problem, devices, 30));
  assert(await checkLinear({ ...problem, fanInFanOut: true, dtype: "F32" }, devices, 30));
}, { limits: { bindingByteLength: 16 << 10, workgroupCount: 40 } });

/** Against the f64 reference. True: the device did it. */
async function checkLinear(problem: Problem, devices: ApplyDevices, tokens = 5): Promise<boolean> {
  const built = await buildProblem(problem);
  const x = drawActivations(problem, tokens, problem.inner);
  await using apply = await applyOn(built, devices);
  const before = devices.productCount();
  const y = await apply.linear(MODULE, x);
  const ratio = worstRatio(y, multiply(matricesOf(built).merged, x), boundOf(built, x));
  assert(ratio <= 1, `${JSON.stringify(problem)}: off by ${ratio} times the bound`);
  return devices.productCount() > before;
}

/** A problem's adapters on a device that is there already. */
function applyOn({ problem, storage }: BuiltProblem, backend: ApplyDevices): Promise<PreparedApply> {
  const adapters = problem.adapters.map((_, index) => ({ place: storage.place(`adapter${index}`) }));
  return prepareApply({ base: storage.place("base"), adapters, backend }, storage);
}
