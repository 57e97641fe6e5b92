/** What the tests of the server have in common: folders to serve, and answers to look at. */
import { assertEquals } from "@std/assert";
import { REPOSITORY } from "./command_line.ts";
import { addFiles, listFiles, makeFolder } from "./made_files.ts";
import type { ServerProcess } from "./server_process.ts";

/** The shipped model and its adapters. */
export const LLAMA = `${REPOSITORY}fixtures/llama`;
/** One of its shards. */
export const SHARD = "model-00002-of-00003.safetensors";
/** A driver that no test's system has: WebGPU is there, and finds nothing. */
export const NO_ADAPTER = { DENO_WEBGPU_BACKEND: Deno.build.os === "windows" ? "metal" : "dx12" };

/** Folders with the shipped model as `org/llama` and its adapters, of which nothing is linked. */
export function makeFolders(): { models: string; adapters: string; args: string[] } {
  const models = makeFolder({}, "models");
  const adapters = makeFolder({}, "adapters");
  copy(`${LLAMA}/base`, `${models}/org/llama`);
  for (const name of ["ether", "etherplus"]) copy(`${LLAMA}/${name}`, `${adapters}/${name}`);
  return { models, adapters, args: ["--models", models, "--adapters", adapters] };
}

function copy(from: string, to: string): void {
  addFiles(to, Object.fromEntries(listFiles(from).map((path) => [path, Deno.readFileSync(`${from}/${path}`)])));
}

/** Waits until a server can answer for all of its models. */
export async function ready({ url }: ServerProcess): Promise<void> {
  while (!(await get(`${url}/readyz`)).ok) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** An answer with its body read. */
export async function get(
  url: string,
  init?: RequestInit,
): Promise<{ ok: boolean; status: number; headers: Headers; text: string }> {
  const response = await fetch(url, init);
  return { ok: response.ok, status: response.status, headers: response.headers, text: await response.text() };
}

/** The body of an answer that must be a success. */
export async function bytesOf(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  assertEquals(response.status, 200);
  return await response.bytes();
}

/** The commit of a revision, and the URL that it redirects to. */
export async function resolve({ url }: ServerProcess, revision: string): Promise<{ commit: string; pinned: string }> {
  const response = await fetch(`${url}/org/llama/resolve/${revision}/${SHARD}`, { method: "HEAD", redirect: "manual" });
  assertEquals(response.status, 307);
  return { commit: response.headers.get("x-repo-commit")!, pinned: response.headers.get("location")! };
}
