/** The core gives the same bytes on every host; the sources, as Deno runs them, say which. */
import { assert, assertEquals } from "../../testing/assert.ts";
import * as core from "../../tasks/bundle/core.ts";
import { findChromium } from "../browser/chromium.ts";
import { buildInto, readFixtures } from "./built_core.ts";
import { askWorker, evaluateInPage, runProcess, type WorkerModule } from "./hosts.ts";
import { executableOf } from "./packages.ts";
import { conformance, type Results } from "./suite.ts";

/** A host's answer: the results, and whether the kernel was WebAssembly. */
interface Answer {
  readonly wasm: boolean;
  readonly results: Results;
}

const folder = Deno.makeTempDirSync({ prefix: "ether-edge-runtimes-" });
Deno.test.afterAll(() => Deno.removeSync(folder, { recursive: true }));
const fixtures = await readFixtures();
await buildInto(folder, fixtures);
const expected = await conformance(core, fixtures);

const RUN = `import * as core from "./core.js";
import { conformance, unpackFixtures } from "./suite.js";
const run = async (packed) => {
  const results = await conformance(core, unpackFixtures(packed));
  return { wasm: core.kernelModule() !== null, results };
};`;

Deno.test("conformance: the suite looks at merges, ranges, headers, refusals and activations", () => {
  const names = Object.keys(expected);
  const count = (start: string) => names.filter((name) => name.startsWith(start)).length;
  assert(count("golden ") > 40 && count("llama ") > 8 && count("header: ") > 40 && count("apply ") === 4, names.join());
  const values = Object.values(expected);
  assert(values.filter((value) => /^[0-9a-f]{64}$/.test(value)).length > 45);
  assert(values.includes("layout_required") && values.some((value) => value.includes("bad_header")));
});

Deno.test("conformance: dist/core.js on Deno", async () => {
  Deno.writeTextFileSync(
    `${folder}/deno.js`,
    `${RUN}
    console.log(JSON.stringify(await run((await Deno.readFile("fixtures.bin")).buffer)));`,
  );
  check(await runProcess(Deno.execPath(), ["run", "--no-config", "--allow-read=.", "deno.js"], folder));
});

hostTest("Node", "node", async (node) => {
  Deno.writeTextFileSync(
    `${folder}/node.js`,
    `import { readFile } from "node:fs/promises";
    ${RUN}
    const { buffer, byteOffset, byteLength } = await readFile("fixtures.bin");
    console.log(JSON.stringify(await run(buffer.slice(byteOffset, byteOffset + byteLength))));`,
  );
  check(await runProcess(node, ["node.js"], folder));
});

hostTest("Bun", await executableOf("bun"), async (bun) => {
  Deno.writeTextFileSync(
    `${folder}/bun.js`,
    `${RUN}
    console.log(JSON.stringify(await run(await Bun.file("fixtures.bin").arrayBuffer())));`,
  );
  check(await runProcess(bun, ["bun.js"], folder));
});

const workerd = await executableOf("workerd");
const MODULES = { "core.js": "esModule", "suite.js": "esModule", "fixtures.bin": "data" } as const;
const ANSWER = `import packed from "fixtures.bin";
  export default { fetch: async () => Response.json(await run(packed)) };`;

hostTest("workerd, given kernel.wasm", workerd, async (workerd) => {
  Deno.writeTextFileSync(
    `${folder}/given.js`,
    `${RUN}
    import kernel from "./kernel.wasm";
    core.useKernelModule(kernel);
    ${ANSWER}`,
  );
  const modules = { "given.js": "esModule", ...MODULES, "kernel.wasm": "wasm" } as const;
  check(await askWithin128(workerd, modules));
});

hostTest("workerd, the kernel compiled at top level", workerd, async (workerd) => {
  Deno.writeTextFileSync(
    `${folder}/top.js`,
    `${RUN}
    core.kernelModule();
    ${ANSWER}`,
  );
  check(await askWithin128(workerd, { "top.js": "esModule", ...MODULES }));
});

hostTest("workerd, which refuses to compile within a request: plain TypeScript", workerd, async (workerd) => {
  Deno.writeTextFileSync(
    `${folder}/late.js`,
    `${RUN}
    ${ANSWER}`,
  );
  check(await askWithin128(workerd, { "late.js": "esModule", ...MODULES }), false);
});

hostTest("Chromium", await findChromium(), async (chromium) => {
  Deno.writeTextFileSync(
    `${folder}/page.js`,
    `${RUN}
    export const answer = async () => await run(await (await fetch("fixtures.bin")).arrayBuffer());`,
  );
  check(await evaluateInPage(chromium, folder, `import("/page.js").then(({ answer }) => answer())`));
});

/** The answer of a worker, whose isolate has the memory that edge platforms give: an idle process does not count. */
async function askWithin128(workerd: string, modules: Readonly<Record<string, WorkerModule>>): Promise<unknown> {
  Deno.writeTextFileSync(`${folder}/idle.js`, `export default { fetch: () => new Response("idle") };`);
  const idle = await askWorker(workerd, folder, { "idle.js": "esModule" });
  const { response, peakBytes } = await askWorker(workerd, folder, modules);
  if (peakBytes !== null && idle.peakBytes !== null) {
    const megabytes = (peakBytes - idle.peakBytes) / 2 ** 20;
    assert(megabytes < 128, `${megabytes} MiB more than an idle worker`);
  }
  return await response.json();
}

function check(answer: unknown, wasm = true): void {
  const { wasm: found, results } = answer as Answer;
  assertEquals(results, expected);
  assertEquals(found, wasm);
}

function hostTest(host: string, executable: string | null, run: (executable: string) => Promise<void>): void {
  if (executable === null) console.log(`${host} is skipped: there is none here`);
  Deno.test({
    name: `conformance: dist/core.js on ${host}`,
    ignore: executable === null,
    fn: () => run(executable!),
  });
}
