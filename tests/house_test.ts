/** The house stands: imports run down it, the runtime is Web standards, and no file is a drawer for odds and ends. */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url)).replace(/\/$/, "");

/** What each room may import besides itself; the longest matching name of a room counts. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  "assembly/": [],
  "runtime/": [],
  "runtime/deno/": ["runtime/"],
  "runtime/node/": ["runtime/"],
  "routes/": ["runtime/"],
  "fixtures/": ["runtime/"],
  // The demo shows what the fixtures hold.
  "commands/": ["runtime/", "runtime/deno/", "routes/", "fixtures/"],
  // The Python tests bring the environment that their task makes.
  "tasks/": ["tests/"],
  "tasks/bundle/": ["runtime/", "runtime/node/", "routes/", "plugins/", "deno.json"],
  "plugins/": [],
  "testing/": [],
  "mod.ts": ["runtime/", "runtime/deno/", "routes/"],
  "main.ts": ["runtime/", "runtime/deno/", "routes/"],
  "cli.ts": ["runtime/", "runtime/deno/", "routes/", "commands/", "deno.json"],
  "deno.json": [],
};

/** These look at everything. */
const ABOVE = ["tests/", "bench/"];

/** Packages of the import map, by room: the runtime has one, which is JavaScript and nothing else. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "runtime/": ["re2js"],
  // zod/mini checks what comes in, and describes it for the OpenAPI document.
  "routes/": ["hono", "zod"],
};

/** Folders of the repository that hold no source of ours. */
const SKIPPED = ["node_modules", "dist", "cov"];

interface SourceFile {
  /** Relative to the repository. */
  readonly path: string;
  readonly text: string;
}

const files = await sources();

Deno.test("house: every TypeScript file is in a room that this test knows", () => {
  assertEquals(files.filter(({ path }) => roomOf(path) === null).map(({ path }) => path), []);
  assert(files.length > 80, `only ${files.length} files were found`);
});

Deno.test("house: imports run only down", () => {
  const offences: string[] = [];
  for (const { path, text } of files) {
    const room = roomOf(path);
    if (room === null || ABOVE.includes(room)) continue;
    for (const specifier of importsOf(text)) {
      const target = resolve(path, specifier);
      if (target === null) continue;
      const targetRoom = roomOf(target);
      const allowed = targetRoom === room || (targetRoom !== null && ROOMS[room]!.includes(targetRoom));
      if (!allowed) offences.push(`${path} imports ${target}`);
    }
  }
  assertEquals(offences, []);
});

Deno.test("house: runtime/ and routes/ import no package but their own few", () => {
  const offences: string[] = [];
  for (const { path, text } of files) {
    const room = roomOf(path);
    if (room === null || !(room in PACKAGES)) continue;
    for (const specifier of importsOf(text)) {
      if (resolve(path, specifier) !== null) continue;
      const known = PACKAGES[room]!.some((name) => specifier === name || specifier.startsWith(`${name}/`));
      if (!known) offences.push(`${path} imports ${specifier}`);
    }
  }
  assertEquals(offences, []);
});

Deno.test("house: outside its Deno folder the runtime names neither Deno. nor node:", () => {
  const offences: string[] = [];
  for (const { path, text } of files) {
    if (roomOf(path) !== "runtime/") continue;
    for (const [index, line] of codeOf(text).split("\n").entries()) {
      if (/\bDeno\s*(\.|\?\.|\[)|["'`]node:/.test(line)) offences.push(`${path}:${index + 1}: ${line.trim()}`);
    }
  }
  assertEquals(offences, []);
});

Deno.test("house: the runtime's Node folder and the plugins name no Deno.", () => {
  const elsewhere = files.filter(({ path }) => ["runtime/node/", "plugins/"].includes(roomOf(path) ?? ""));
  assert(elsewhere.length > 6);
  assertEquals(elsewhere.filter(({ text }) => /\bDeno\s*(\.|\?\.|\[)/.test(codeOf(text))).map(({ path }) => path), []);
});

Deno.test("house: no folder and no file is called utils, helpers, common or misc", () => {
  const names = /^(utils?|helpers?|common|misc)(\.|_|$)/;
  assertEquals(files.map(({ path }) => path).filter((path) => path.split("/").some((part) => names.test(part))), []);
});

Deno.test("house: no file knows where it lies on the machine that wrote it", async () => {
  // Written in two parts, as this file is looked at too.
  const absolute = ["/wo" + "rk/", "/ho" + "me/", "/Us" + "ers/"];
  const texts = [...files, ...await documents()];
  const found = texts.filter(({ text }) => absolute.some((prefix) => text.includes(prefix)));
  assertEquals(found.map(({ path }) => path), []);
});

Deno.test("house: these checks find what they look for", () => {
  const text = `
    import type { A } from "./a.ts"; import "./b.ts";
    export * from '../c.ts';
    export { d } from "d";
    const e = await import("./e.ts"); const url = new URL("./f.ts", import.meta.url);
    // import "./comment.ts"; Deno.exit()
    /* import "./block.ts"; */
    const s = "// not a comment"; Deno.exit();
  `;
  assertEquals(importsOf(text), ["./a.ts", "./b.ts", "../c.ts", "d", "./e.ts", "./f.ts"]);
  const code = codeOf(text);
  assertEquals(code.match(/Deno\./g)?.length, 1);
  assertEquals(code.split("\n").length, text.split("\n").length);
  assertEquals(resolve("runtime/execute/x.ts", "../deno/y.ts"), "runtime/deno/y.ts");
  assertEquals([roomOf("runtime/deno/y.ts"), roomOf("runtime/y.ts"), roomOf("z.ts")], [
    "runtime/deno/",
    "runtime/",
    null,
  ]);
});

/** What a file imports or exports from, statically, dynamically, or as the module of a worker. */
function importsOf(text: string): string[] {
  const code = codeOf(text);
  const pattern =
    /(?:^|[;\s])(?:import|export)\s(?:[^"'`;]*?\sfrom\s*)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']|\bnew URL\(\s*["'](\.[^"']*\.ts)["']\s*,\s*import\.meta\.url/gm;
  return [...code.matchAll(pattern)].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

/** A file without its comments, line for line. */
function codeOf(text: string): string {
  const token = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(
    token,
    (found) => found.startsWith("//") || found.startsWith("/*") ? found.replace(/[^\n]/g, "") : found,
  );
}

/** A relative specifier as a path of the repository; null for a package. */
function resolve(from: string, specifier: string): string | null {
  if (!specifier.startsWith(".")) return null;
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

function roomOf(path: string): string | null {
  const rooms = [...Object.keys(ROOMS), ...ABOVE].filter((room) =>
    room.endsWith("/") ? path.startsWith(room) : path === room
  );
  return rooms.sort((a, b) => b.length - a.length)[0] ?? null;
}

async function* walk(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory, isFile } of Deno.readDir(`${ROOT}/${folder}`)) {
    if (name.startsWith(".") || SKIPPED.includes(name)) continue;
    if (isDirectory) yield* walk(`${folder}${name}/`);
    else if (isFile) yield folder + name;
  }
}

async function readMatching(matches: (path: string) => boolean): Promise<SourceFile[]> {
  const found: SourceFile[] = [];
  for await (const path of walk("")) {
    if (matches(path)) found.push({ path, text: await Deno.readTextFile(`${ROOT}/${path}`) });
  }
  return found.sort((a, b) => a.path < b.path ? -1 : 1);
}

function sources(): Promise<SourceFile[]> {
  return readMatching((path) => /\.(ts|mts|tsx|js|mjs)$/.test(path));
}

function documents(): Promise<SourceFile[]> {
  return readMatching((path) => /\.(json|md|py|txt|lock|sh|yml)$/.test(path) && !path.startsWith("fixtures/golden/"));
}
