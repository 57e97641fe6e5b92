/** The real app on a port of this machine, over the shipped model and its adapters, with hostile ones beside them. */
import { Hono } from "hono";
import { createApp } from "../../routes/app.ts";
import { openServer } from "../../runtime/deno/server.ts";
import { addFiles, type MadeTensor, makeFolder, tensorFile } from "../commands/made_files.ts";

const LLAMA = new URL("../../fixtures/llama/", import.meta.url);

/** Sets `globalThis.harmed` if it is ever taken for markup or script. */
export const HOSTILE = `"'><img src=x onerror="globalThis.harmed=1"><script>globalThis.harmed=1</script>`;

/** Adapters of the fixtures, by the id that they are served under. */
const ADAPTERS = { plus: "etherplus", reflect: "ether", official: "etherplus-reference" };

export interface ServeOptions {
  /** Path of a parent app at which the app is mounted; empty: the app itself is served. */
  readonly prefix?: string;
  readonly readToken?: string;
}

export interface ServedPages extends AsyncDisposable {
  /** Of the page for people, without a slash at its end. */
  readonly url: string;
}

/** Serves them. */
export async function servePages({ prefix = "", readToken }: ServeOptions = {}): Promise<ServedPages> {
  const folder = makeFolder({ "models/tiny/.keep": "", "models/org/other/.keep": "" });
  await copyFolder("base", `${folder}/models/tiny`);
  await copyFolder("base", `${folder}/models/org/other`);
  for (const [id, name] of Object.entries(ADAPTERS)) await copyFolder(name, `${folder}/adapters/${id}`);
  addHostile(`${folder}/adapters`);
  const { repositories } = await openServer({ models: `${folder}/models`, adapters: `${folder}/adapters` });
  await repositories.start();
  const app = createApp({ repositories, readToken });
  const served = prefix === "" ? app : new Hono().route(prefix, app);
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, served.fetch);
  return {
    url: `http://127.0.0.1:${server.addr.port}${prefix}`,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await repositories.close();
    },
  };
}

/** One with a module that is called like markup, one that is broken and says so with it. */
function addHostile(adapters: string): void {
  const tensors: Record<string, MadeTensor> = {
    [`base_model.model.model.layers.0.${HOSTILE}.ether_u_in`]: { dtype: "F32", shape: [2, 4] },
  };
  const config = { peft_type: "ETHER", variant: "ether", sides: ["in"], num_blocks: 2, layout: "paper" };
  addFiles(adapters, {
    "hostile/adapter_config.json": { ...config, [HOSTILE]: HOSTILE, description: HOSTILE },
    "hostile/adapter_model.safetensors": tensorFile(tensors),
    "broken/adapter_config.json": { ...config, peft_type: HOSTILE },
    "broken/adapter_model.safetensors": tensorFile(tensors),
  });
}

async function copyFolder(name: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const entry of Deno.readDir(new URL(name, LLAMA))) {
    await Deno.copyFile(new URL(`${name}/${entry.name}`, LLAMA), `${to}/${entry.name}`);
  }
}
