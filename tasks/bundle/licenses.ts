/** The licences of the packages whose code stands in a bundle. */
import type { Metafile } from "esbuild";

/** Their texts, package by package, in the order of their names. @throws {Error} for a package without one */
export async function licensesOf({ inputs }: Metafile, root: string): Promise<string> {
  const folders = new Map<string, string>();
  for (const path of Object.keys(inputs)) {
    const match = /^(.*\/node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(path);
    if (match !== null) folders.set(match[2]!, `${root}/${match[1]}`);
  }
  const texts: string[] = [];
  for (const [name, folder] of [...folders].sort(([a], [b]) => a < b ? -1 : 1)) {
    const { version } = JSON.parse(await Deno.readTextFile(`${folder}/package.json`));
    texts.push(`${name} ${version}\n\n${await licenseIn(folder)}`);
  }
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

async function licenseIn(folder: string): Promise<string> {
  for await (const { name } of Deno.readDir(folder)) {
    if (/^licen[cs]e(\.\w+)?$/i.test(name)) return await Deno.readTextFile(`${folder}/${name}`);
  }
  throw new Error(`${folder} has no licence`);
}
