/** The plugin with the real esbuild and the real compiler, in folders made for each test. */
import { assert, assertEquals } from "../../../testing/assert.ts";
import * as esbuild from "esbuild";
import { Compiler } from "../../../plugins/esbuild_assemblyscript/compile.ts";
import { assemblyScript, type AssemblyScriptOptions } from "../../../plugins/esbuild_assemblyscript/plugin.ts";

const parent = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "ether-edge-plugin-" }));
Deno.test.afterAll(() => Deno.removeSync(parent, { recursive: true }));

const CONFIG = new URL("../../../tasks/bundle/deno.json", import.meta.url).pathname;

/** Beyond this a build that should come will not come. */
const WATCH_MILLISECONDS = 60_000;

const MAIN = `import bytes from "./kernel.ts?wasm";
export const { twice } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;`;
const KERNEL = `import { factor } from "./factor";
export function twice(x: i32): i32 { return x * factor(); }`;
const FACTOR = `export function factor(): i32 { return 2; }`;

Deno.test("assemblyScript: the bundle of a ?wasm import computes by itself, plain and deflated", async () => {
  for (const compress of [false, true]) {
    const folder = project({ "main.ts": MAIN, "kernel.ts": KERNEL, "factor.ts": FACTOR });
    const { outputFiles, errors, warnings } = await esbuild.build(options(folder, { compress }));
    assertEquals([errors, warnings], [[], []]);
    assertEquals((await run(outputFiles[0]!.text)).twice(21), 42);
  }
  await esbuild.stop();
});

Deno.test("assemblyScript: an error has its file, line, column in bytes, and the line itself", async () => {
  const kernel = `// first line\nexport function wrong(): i32 { /* é */ return nowhere; }\n`;
  const folder = project({ "main.ts": MAIN, "kernel.ts": kernel });
  const failure = await esbuild.build(options(folder)).catch((error) => error as esbuild.BuildFailure) as
    & esbuild.BuildFailure
    & { errors: esbuild.Message[] };
  assertEquals(failure.errors.length, 1);
  const { text, location } = failure.errors[0]!;
  assertEquals(text, "ERROR TS2304: Cannot find name 'nowhere'.");
  const lineText = kernel.split("\n")[1]!;
  // Two bytes of é, one character.
  const column = lineText.indexOf("nowhere") + 1;
  const { file, line, length } = location!;
  assert(file.endsWith("kernel.ts"), file);
  assertEquals({ line, column: location!.column, length, lineText: location!.lineText }, {
    ...{ line: 2, column, length: 7, lineText },
  });
  await esbuild.stop();
});

Deno.test("assemblyScript: arguments that the compiler refuses, and files that are not there, are errors", async () => {
  const folder = project({ "main.ts": MAIN, "kernel.ts": FACTOR });
  for (
    const [changes, pattern] of [
      [{ args: ["--enable", "nothing-of-the-kind"] }, /nothing-of-the-kind/],
      [{ modules: [{ filter: /main\.ts$/, args: ["absent.ts"] }] }, /absent\.ts/],
    ] as const
  ) {
    const failure = await esbuild.build(options(folder, changes)).then(() => null, (error) => error);
    assert(failure !== null, "no error");
    assert(pattern.test(failure.message), failure.message);
  }
  const elsewhere = project({ "main.ts": MAIN });
  const failure = await esbuild.build(options(elsewhere)).then(() => null, (error) => error);
  assert(/Could not resolve "\.\/kernel\.ts"/.test(failure?.message), failure?.message);
  await esbuild.stop();
});

Deno.test("assemblyScript: warnings come through, but for those that asconfig.json disables", async () => {
  const kernel = `export function exchange(v: v128): v128 { return v; }`;
  const main = `import bytes from "./generated.ts"; console.log(bytes);`;
  for (const disableWarning of [undefined, [112]]) {
    const folder = project({
      ...{ "main.ts": main, "generated.ts": "export default new Uint8Array(0);", "kernel.ts": kernel },
      "asconfig.json": JSON.stringify({
        entries: ["kernel.ts"],
        options: { enable: ["simd"], runtime: "stub", disableWarning },
      }),
    });
    const modules = [{ filter: /generated\.ts$/, args: ["--config", "asconfig.json"] }];
    const { warnings } = await esbuild.build(options(folder, { modules }));
    assertEquals(warnings.some(({ text }) => text.includes("AS112")), disableWarning === undefined);
  }
  await esbuild.stop();
});

Deno.test("assemblyScript: a replaced module has the function that the source has, with fresh bytes", async () => {
  const folder = project({
    "main.ts": `import { bytes } from "./generated.ts";
      export const { twice } = new WebAssembly.Instance(new WebAssembly.Module(bytes())).exports;
      export const fresh = bytes() !== bytes();`,
    "generated.ts": "export function bytes() { throw new Error('not replaced'); }",
    "kernel.ts": KERNEL,
    "factor.ts": FACTOR,
  });
  const modules = [{
    ...{ filter: /\/generated\.ts$/, functionName: "bytes" },
    args: ["kernel.ts", "--runtime", "stub", "--noAssert"],
  }];
  const { outputFiles } = await esbuild.build(options(folder, { modules }));
  const { twice, fresh } = await run(outputFiles[0]!.text);
  assertEquals([twice(4), fresh], [8, true]);
  await esbuild.stop();
});

Deno.test("assemblyScript: a rebuild compiles again only what has changed, and recovers from an error", async () => {
  const folder = project({ "main.ts": MAIN, "kernel.ts": KERNEL, "factor.ts": FACTOR });
  const compiler = new Compiler();
  const context = await esbuild.context(options(folder, { compiler }));
  const twiceOf = async () => (await run((await context.rebuild()).outputFiles![0]!.text)).twice(10);
  try {
    assertEquals([await twiceOf(), compiler.runCount], [20, 1]);
    assertEquals([await twiceOf(), compiler.runCount], [20, 1]);
    // The same text under a new date.
    Deno.writeTextFileSync(`${folder}/factor.ts`, FACTOR);
    assertEquals([await twiceOf(), compiler.runCount], [20, 1]);
    Deno.writeTextFileSync(`${folder}/factor.ts`, FACTOR.replace("return 2", "return 3"));
    assertEquals([await twiceOf(), compiler.runCount], [30, 2]);
    Deno.removeSync(`${folder}/factor.ts`);
    const failure = await context.rebuild().then(() => null, (error) => error);
    assert(/factor/.test(failure?.message), failure?.message);
    Deno.writeTextFileSync(`${folder}/factor.ts`, FACTOR);
    assertEquals([await twiceOf(), compiler.runCount], [20, 4]);
  } finally {
    await context.dispose();
    await esbuild.stop();
  }
});

Deno.test("assemblyScript: a watching build follows files that the entry imports, also one that appears", async () => {
  const folder = project({ "main.ts": MAIN, "kernel.ts": KERNEL });
  const ends: esbuild.BuildResult[] = [];
  let wake = () => {};
  const listener: esbuild.Plugin = {
    name: "listener",
    setup: (build) =>
      build.onEnd((result) => {
        ends.push(result);
        wake();
      }),
  };
  const plain = options(folder);
  const context = await esbuild.context({ ...plain, plugins: [...plain.plugins!, listener] });
  const until = async (holds: (result: esbuild.BuildResult | undefined) => boolean) => {
    while (!holds(ends.at(-1))) {
      await new Promise<void>((resolve, reject) => {
        const limit = setTimeout(() => reject(new Error("the watching build did not build again")), WATCH_MILLISECONDS);
        wake = () => {
          clearTimeout(limit);
          resolve();
        };
      });
    }
  };
  try {
    await context.watch();
    await until((result) => result !== undefined && result.errors.length > 0);
    Deno.writeTextFileSync(`${folder}/factor.ts`, FACTOR);
    await until((result) => result!.errors.length === 0);
    assertEquals((await run(ends.at(-1)!.outputFiles![0]!.text)).twice(10), 20);
    const count = ends.length;
    Deno.writeTextFileSync(`${folder}/factor.ts`, FACTOR.replace("return 2", "return 30"));
    await until(() => ends.length > count);
    assertEquals((await run(ends.at(-1)!.outputFiles![0]!.text)).twice(10), 300);
  } finally {
    await context.dispose();
    await esbuild.stop();
  }
});

Deno.test("wasm_modules.d.ts: a type check knows what a ?wasm import is", async () => {
  const folder = project({ "kernel.ts": KERNEL, "factor.ts": FACTOR });
  const types = new URL("../../../plugins/esbuild_assemblyscript/wasm_modules.d.ts", import.meta.url).pathname;
  const check = async (type: string) => {
    Deno.writeTextFileSync(
      `${folder}/typed.ts`,
      `/// <reference path="${types}" />
       import bytes from "./virtual.ts?wasm";
       export const typed: ${type} = bytes;`,
    );
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--config",
        CONFIG,
        "npm:typescript@6.0.3/tsc",
        "--noEmit",
        "--target",
        "es2022",
        "--module",
        "esnext",
      ].concat(
        ...["--moduleResolution", "bundler", "--allowImportingTsExtensions", `${folder}/typed.ts`],
      ),
    }).output();
    return { success, said: new TextDecoder().decode(stdout) + (success ? "" : new TextDecoder().decode(stderr)) };
  };
  const right = await check("Uint8Array<ArrayBuffer>");
  assertEquals(right, { success: true, said: "" });
  const wrong = await check("string");
  assert(wrong.said.includes("TS2322"), wrong.said);
});

function options(folder: string, plugin: AssemblyScriptOptions = {}): esbuild.BuildOptions & { write: false } {
  return {
    ...{ absWorkingDir: folder, entryPoints: ["main.ts"], bundle: true, write: false, format: "esm" },
    ...{ logLevel: "silent" },
    nodePaths: [new URL("../../../tasks/bundle/node_modules", import.meta.url).pathname],
    plugins: [assemblyScript(plugin)],
  };
}

// deno-lint-ignore no-explicit-any -- whatever the bundle exports
async function run(text: string): Promise<any> {
  return await import(`data:text/javascript;base64,${new TextEncoder().encode(text).toBase64()}`);
}

function project(files: Readonly<Record<string, string>>): string {
  const folder = Deno.makeTempDirSync({ dir: parent });
  for (const [name, text] of Object.entries(files)) Deno.writeTextFileSync(`${folder}/${name}`, text);
  return folder;
}
