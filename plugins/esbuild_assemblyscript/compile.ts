/** The AssemblyScript compiler in this process, and what it read: enough to know when its answer still holds. */
import asc from "assemblyscript/asc";
import { readFile } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { type Diagnostic, messagesOf } from "./diagnostics.ts";
import type { Message } from "./esbuild.ts";

/** What came of a compilation. */
export interface Compiled {
  /** The module; undefined if there are errors. */
  readonly binary: Uint8Array | undefined;
  readonly errors: Message[];
  readonly warnings: Message[];
  /** Every file that was looked for, by absolute path: its text, or null where there is none. */
  readonly files: ReadonlyMap<string, string | null>;
}

/** Compilations by what they were asked, each good for as long as every file is what it was. */
export class Compiler {
  readonly #known = new Map<string, Promise<Compiled>>();
  /** How often the compiler itself ran. */
  runCount = 0;

  /**
   * Compiles, or gives what the same sources gave before.
   *
   * @param folder  what the arguments' paths are relative to, absolute
   * @param args    arguments of `asc`, without an output
   */
  async compile(folder: string, args: readonly string[]): Promise<Compiled> {
    const key = JSON.stringify([folder, ...args]);
    const known = this.#known.get(key);
    if (known !== undefined && await isCurrent(await known)) return known;
    // Who asks at the same time gets the same run.
    const newer = this.#known.get(key);
    if (newer !== undefined && newer !== known) return await newer;
    this.runCount++;
    const run = compile(folder, args);
    this.#known.set(key, run);
    run.catch(() => this.#known.delete(key));
    return await run;
  }
}

async function isCurrent({ files }: Compiled): Promise<boolean> {
  for (const [path, text] of files) if (await textOf(path) !== text) return false;
  return true;
}

async function compile(folder: string, args: readonly string[]): Promise<Compiled> {
  const files = new Map<string, string | null>();
  const diagnostics: Diagnostic[] = [];
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main([...args, "--outFile", "module.wasm"], {
    readFile: async (name) => {
      const path = resolve(folder, name);
      if (!files.has(path)) files.set(path, await textOf(path));
      return files.get(path)!;
    },
    writeFile: (_name, contents) => {
      binary = contents as Uint8Array;
    },
    listFiles: () => null,
    reportDiagnostic: (diagnostic) => void diagnostics.push(diagnostic as unknown as Diagnostic),
  });
  const said = stderr.toString().trim();
  // Disabled warnings are reported all the same; what the compiler prints goes by its arguments and configuration.
  const wanted = diagnostics.filter(({ message }) => said.includes(message));
  const { errors, warnings } = messagesOf(wanted, (normalizedPath) => {
    const path = resolve(folder, normalizedPath);
    const text = files.get(path);
    return text == null ? undefined : { file: relative(".", path), text };
  });
  // Wrong arguments, or an entry that is not there: the compiler has no place for them.
  if (errors.length === 0 && (error !== null || binary === undefined)) {
    errors.push({
      text: `asc ${args.join(" ")}: ${said === "" ? error?.message ?? "no output" : said}`,
      location: null,
    });
  }
  return { binary: errors.length === 0 ? binary : undefined, errors, warnings, files };
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ENOENT" || code === "EISDIR" || code === "ENOTDIR") return null;
    throw error;
  }
}
