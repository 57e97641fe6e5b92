/** A server over the model of `fixtures/llama` and its adapters, in this process. */
import { type AppOptions, createApp } from "../../../routes/app.ts";
import { openServer } from "../../../runtime/deno/server.ts";
import type { Repositories } from "../../../runtime/repositories/repositories.ts";
import { LLAMA, LLAMA_ADAPTERS } from "../../fixtures/merge_fixture.ts";

/** The repository's id. */
export const REPO = "tiny/llama";

/** Folders of a server. */
export interface HubFolders {
  readonly models: string;
  readonly adapters: string;
}

const roots: string[] = [];

Deno.test.afterAll(() => {
  for (const root of roots.splice(0)) Deno.removeSync(root, { recursive: true });
});

/** An empty folder, removed when the tests of the file have run. */
export function temporaryFolder(): string {
  const root = Deno.makeTempDirSync({ prefix: "ether-hub-" });
  roots.push(root);
  return root;
}

/** Copies the fixtures: one model, `tiny/llama`, and its three adapters. */
export function hubFolders(): HubFolders {
  const root = temporaryFolder();
  const folders = { models: `${root}/models`, adapters: `${root}/adapters` };
  copyFolder(`${LLAMA}/base`, `${folders.models}/${REPO}`);
  for (const name of LLAMA_ADAPTERS) copyFolder(`${LLAMA}/${name}`, `${folders.adapters}/${name}`);
  return folders;
}

/** Copies the files of a folder, but none that tells the digest of another. */
export function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name } of Deno.readDirSync(from)) {
    if (!name.endsWith(".sha256")) Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

/** Opens folders as a server does, and waits until it is ready. */
export async function openRepositories(folders: HubFolders): Promise<Repositories> {
  const { repositories } = await openServer(folders);
  await repositories.start();
  return repositories;
}

/** An app over {@link hubFolders}. */
export async function smallHub(options: Omit<AppOptions, "repositories"> = {}) {
  const repositories = await openRepositories(hubFolders());
  return { repositories, app: createApp({ ...options, repositories }) };
}

/** A request to an app, at a host that is none. */
export function ask(app: { fetch: (request: Request) => Response | Promise<Response> }) {
  return async (path: string, init?: RequestInit) => await app.fetch(new Request(`http://hub.example${path}`, init));
}
