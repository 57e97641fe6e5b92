/** The package's declarations, by the TypeScript compiler in a copy of the sources: one `.d.ts` for each module. */
import { ROOT } from "../build.ts";

const OPTIONS = {
  ...{ target: "esnext", module: "esnext", moduleResolution: "bundler", types: ["node"] },
  ...{ lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"], allowImportingTsExtensions: true },
  ...{ strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, skipLibCheck: true },
  ...{ declaration: true, emitDeclarationOnly: true, stripInternal: true, outDir: "out", rootDir: "." },
};

/** Files that are imported as texts, and constants of WebGPU that the compiler's own library leaves out. */
const AMBIENT = [
  ...["css", "js", "wgsl"].map((end) => `declare module "*.${end}" { const text: string; export default text; }`),
  ...["BufferUsage", "MapMode", "ShaderStage"].map((name) => `declare const GPU${name}: any;`),
];

/** Writes them into `folder`; the entries lie at its top. @throws {Error} with what the compiler says */
export async function writeTypes(entries: readonly string[], folder: string): Promise<void> {
  const stage = await Deno.makeTempDir({ prefix: "ether-edge-types-" });
  try {
    for (const room of ["runtime", "routes"]) await copySources(`${ROOT}/${room}`, `${stage}/${room}`);
    for (const entry of entries) {
      const text = await Deno.readTextFile(`${ROOT}/tasks/bundle/npm/${entry}.ts`);
      await Deno.writeTextFile(`${stage}/${entry}.ts`, text.replaceAll(`"../../../`, `"./`));
    }
    await Deno.symlink(`${ROOT}/tasks/bundle/node_modules`, `${stage}/node_modules`);
    await Deno.writeTextFile(`${stage}/ambient.d.ts`, AMBIENT.join("\n"));
    const files = [...entries.map((entry) => `${entry}.ts`), "ambient.d.ts"];
    await Deno.writeTextFile(`${stage}/tsconfig.json`, JSON.stringify({ compilerOptions: OPTIONS, files }));
    await compile(stage);
    await copyTypes(`${stage}/out`, folder);
  } finally {
    await Deno.remove(stage, { recursive: true });
  }
}

async function compile(stage: string): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--allow-all", "--config", `${ROOT}/tasks/bundle/deno.json`],
      ...["npm:typescript@6.0.3/tsc", "--project", stage],
    ],
    env: { NO_COLOR: "1" },
  }).output();
  if (success) return;
  throw new Error([stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("").slice(0, 4000));
}

async function copySources(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copySources(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

/** A declaration is found by the name of the module that it is for, which would be `.js`. */
async function copyTypes(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyTypes(`${from}/${name}`, `${to}/${name}`);
    else {
      const text = await Deno.readTextFile(`${from}/${name}`);
      const pattern = /(\bfrom |\bimport\()"(\.[^"]*)\.ts"/g;
      await Deno.writeTextFile(`${to}/${name}`, text.replace(pattern, `$1"$2.js"`));
    }
  }
}
