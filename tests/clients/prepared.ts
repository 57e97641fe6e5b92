/** What the clients' tests serve and compare with: the model of `fixtures/llama`, and merges by the command line. */
import type { ServedFolders } from "../routes/server_process.ts";
import { REPOSITORY } from "../routes/server_process.ts";

/** The repository's id. */
export const REPO = "tiny/llama";

/** Clients refuse tokens that do not begin so. */
export const READ_TOKEN = "hf_readers_of_the_tests";

/** Folders of a server, and where to put what a test makes. */
export interface HubFolders extends ServedFolders {
  readonly root: string;
}

/** Copies the fixtures; removed when the tests of the file have run. */
export function hubFolders(): HubFolders {
  const root = Deno.makeTempDirSync({ prefix: "ether-clients-" });
  Deno.test.afterAll(() => Deno.removeSync(root, { recursive: true }));
  const folders = {
    root,
    models: `${root}/models`,
    adapters: `${root}/adapters`,
  };
  copyFolder("base", `${folders.models}/${REPO}`);
  // Repositories have such files, and clients probe each for its first byte.
  Deno.writeTextFileSync(`${folders.models}/${REPO}/empty.txt`, "");
  for (const name of ["ether", "etherplus", "etherplus-reference"]) {
    copyFolder(name, `${folders.adapters}/${name}`);
  }
  return folders;
}

/** Merges by the command line; the folder. */
export async function mergedFolder(
  { root, models, adapters }: HubFolders,
  names: readonly string[],
  strengths: readonly string[] = [],
): Promise<string> {
  const output = await Deno.makeTempDir({ dir: root });
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...[
        "run",
        "-A",
        "cli.ts",
        "merge",
        "--force",
        "--base",
        `${models}/${REPO}`,
        "--output",
        output,
      ],
      ...names.flatMap((name) => ["--adapter", `${adapters}/${name}`]),
      ...strengths.flatMap((strength) => ["--strength", strength]),
    ],
    cwd: REPOSITORY,
    stdin: "null",
  }).output();
  if (!success) {
    throw new Error(`the merge failed: ${new TextDecoder().decode(stderr)}`);
  }
  return output;
}

/** The files of a checkpoint as a repository lists them, sorted by path. */
export async function listFolder(
  folder: string,
): Promise<{ path: string; bytes: Uint8Array<ArrayBuffer> }[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  const listed = names.filter((name) => name !== "ether-merge.json" && !name.endsWith(".sha256")).sort();
  return await Promise.all(
    listed.map(async (path) => ({
      path,
      bytes: await Deno.readFile(`${folder}/${path}`),
    })),
  );
}

function copyFolder(name: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  const from = `${REPOSITORY}fixtures/llama/${name}`;
  for (const { name: file } of Deno.readDirSync(from)) {
    Deno.copyFileSync(`${from}/${file}`, `${to}/${file}`);
  }
}
