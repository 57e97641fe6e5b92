/** Python's huggingface_hub, unmodified, against the server: what it loads, how often it asks, which errors it raises. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createApp } from "../../routes/app.ts";
import { openServer } from "../../runtime/deno/server.ts";
import { LLAMA, mergeFixture } from "../fixtures/merge_fixture.ts";
import { copyFolder, hubFolders, openRepositories, REPO, temporaryFolder } from "../routes/hub/small_hub.ts";
import { type Interpreter, pythonTest, runPython } from "./python.ts";

const SHARD = "model-00001-of-00003.safetensors";
const TOKEN = "hf_readers_of_the_tests";

/** What `hub_client.py` prints. */
interface Steps {
  readonly versions: { hub: string; xet: boolean };
  readonly cold: string;
  readonly warm: string;
  readonly commit: string;
  readonly pinned: string;
  readonly snapshot: Record<string, string>;
  readonly warm_snapshot: Record<string, string>;
  readonly second_revision: Record<string, string>;
  readonly base: Record<string, string>;
  readonly local: Record<string, string>;
  readonly local_again: Record<string, string>;
  readonly verify: { checked: number; mismatches: number; missing: number };
  readonly lists: {
    files: string[];
    tree: Record<string, number>;
    paths: string[];
    refs: Record<string, string>;
    commits: string[];
    siblings: Record<string, number>;
  };
  readonly questions: Record<string, [boolean, boolean]>;
  readonly safetensors: { sharded: boolean; files: number; parameters: Record<string, number> };
  readonly blocks: [number, number, string][];
  readonly errors: Record<string, string>;
  readonly token: string;
  readonly warming: string;
}

const interpreters: Record<string, Interpreter> = { "1.33.0": "all", "2.0.0": "hub" };

for (const [version, interpreter] of Object.entries(interpreters)) {
  pythonTest(
    `huggingface_hub ${version}: every call that loads or lists`,
    () => useHub(version, interpreter),
    interpreter,
  );
}

async function useHub(version: string, interpreter: Interpreter): Promise<void> {
  const folders = hubFolders();
  foreignAdapter(`${folders.adapters}/foreign`);
  const repositories = await openRepositories(folders);
  const open = listen(createApp({ repositories }));
  const guarded = listen(createApp({ repositories, readToken: TOKEN }));
  // Its identities are not known yet, and nothing but a request begins to compute them.
  const cold = await openServer({ models: hubFolders().models });
  const warming = listen(createApp({ repositories: cold.repositories }));
  const local = temporaryFolder();
  const home = temporaryFolder();
  try {
    const steps = await runPython<Steps>("hub_client.py", {
      ...{ repo: REPO, revision: "etherplus", other: "etherplus-reference", shard: SHARD },
      ...{ guarded: guarded.url, token: TOKEN, local, warming: warming.url },
    }, {
      interpreter,
      env: { HF_ENDPOINT: open.url, HF_HOME: home, HF_HUB_OFFLINE: "0", HF_HUB_DISABLE_TELEMETRY: "1" },
    });
    await check(steps, version, open.requests, warming.requests);
  } finally {
    for (const { close } of [open, guarded, warming]) await close();
    await repositories.close();
    await cold.repositories.close();
  }
}

async function check(steps: Steps, version: string, requests: readonly string[], warming: readonly string[]) {
  const merged = await digests(await mergeFixture("etherplus"));
  const other = await digests(await mergeFixture("etherplus-reference"));
  const base = await digests(`${LLAMA}/base`);
  assertEquals(steps.versions, { hub: version, xet: true });

  const during = requestsByStep(requests);
  const main = `/${REPO}/resolve/etherplus/${SHARD}`;
  const pinned = `/${REPO}/resolve/${steps.commit}/${SHARD}`;
  assertEquals([steps.cold, steps.warm, steps.pinned], [merged[SHARD], merged[SHARD], merged[SHARD]]);
  assertEquals(during.cold!.filter((one) => one.startsWith("GET /tiny/")).at(-1), `GET ${pinned} 200`);
  assertEquals(during.warm, [`HEAD ${main} 307`, `HEAD ${pinned} 200`]);
  assertEquals(during.pinned, []);

  assertEquals([steps.snapshot, steps.warm_snapshot], [merged, merged]);
  assertEquals(during.warm_snapshot!.map(methodAndKind), ["GET revision"]);
  // What the adapter does not change is in the cache already, by its entity tag.
  assertEquals(steps.second_revision, other);
  const loaded = during.second_revision!.filter((one) => one.startsWith("GET /tiny/")).map(nameOf).sort();
  assertEquals(loaded, Object.keys(other).filter((name) => other[name] !== merged[name]).sort());
  assertEquals(steps.base, base);

  assertEquals([steps.local, steps.local_again], [merged, merged]);
  assertEquals(during.local_again!.filter((one) => one.startsWith("GET /tiny/")), []);
  assertEquals(steps.verify, { checked: Object.keys(base).length, mismatches: 0, missing: 0 });

  const sizes = await sizesOf(`${LLAMA}/base`);
  const { lists } = steps;
  assertEquals([lists.files.sort(), lists.tree, lists.siblings], [Object.keys(merged), sizes, sizes]);
  assertEquals([lists.paths, lists.commits], [["config.json"], ["etherplus", "main"]]);
  // Nothing is said of the adapter that does not fit.
  assertEquals(Object.keys(lists.refs), ["main", "ether", "etherplus", "etherplus-reference"]);
  assertEquals(lists.refs.etherplus, steps.commit);
  for (const [question, answers] of Object.entries(steps.questions)) assertEquals(answers, [true, false], question);

  const index = JSON.parse(await Deno.readTextFile(`${LLAMA}/base/model.safetensors.index.json`));
  const parameters = { BF16: index.metadata.total_size / 2 };
  assertEquals(steps.safetensors, { sharded: true, files: 3, parameters });
  const bytes = await Deno.readFile(`${await mergeFixture("etherplus")}/${SHARD}`);
  for (const [at, length, digest] of steps.blocks) {
    assertEquals(digest, await sha256(bytes.slice(at, at + length)), `${length} bytes at ${at}`);
  }

  const { token, ...errors } = steps.errors;
  assertEquals(errors, {
    ...{ repo: "RepoNotFound", dataset: "RepoNotFound", entry: "EntryNotFound", folder: "EntryNotFound" },
    ...{
      revision: "RevisionNotFound",
      recipe: "RevisionNotFound",
      unfit: "RevisionNotFound",
      commit: "RevisionNotFound",
    },
    ...{ gated: "GatedRepo", unknown_gated: "GatedRepo" },
  });
  assertMatch(token!, /^401: /);
  assertStringIncludes(token!, "Invalid credentials");
  assertEquals(steps.token, "user");
  assertEquals(steps.warming, base["config.json"]);
  assert(warming.some((one) => one.endsWith(" 429")), "it was ready before it was asked");
}

interface Loaded {
  readonly missing: string[];
  readonly unexpected: string[];
  readonly digest: string;
  readonly sample: number[];
  readonly loss: number;
}

pythonTest("transformers: from_pretrained of a revision is the merged folder, and predicts as it should", async () => {
  const expected = JSON.parse(await Deno.readTextFile(`${LLAMA}/expected.json`));
  const repositories = await openRepositories(hubFolders());
  const server = listen(createApp({ repositories }));
  const load = async (folder: string, revision: string) => {
    const argument = {
      ...{ folders: [folder], revision, heldout: `${LLAMA}/heldout.safetensors`, text: "code", windows: 8 },
      sample: "def merge(base, adapter):\n    return base",
    };
    const env = { HF_ENDPOINT: server.url, HF_HOME: temporaryFolder(), HF_HUB_OFFLINE: "0" };
    return (await runPython<Loaded[]>("load_models.py", argument, { env }))[0]!;
  };
  try {
    for (const revision of ["main", "etherplus"]) {
      const folder = revision === "main" ? `${LLAMA}/base` : await mergeFixture(revision);
      const [served, local] = [await load(REPO, revision), await load(folder, "main")];
      assertEquals(served, local);
      assertEquals([served.missing, served.unexpected], [[], []]);
      const loss = (revision === "main" ? expected.base : expected[revision]).code_first_8;
      assert(Math.abs(served.loss - loss) <= 0.002, `${revision}: ${served.loss}, not ${loss}`);
    }
  } finally {
    await server.close();
    await repositories.close();
  }
});

/** Serves an app on this machine, and writes down what it is asked and how it answers. */
function listen(app: ReturnType<typeof createApp>) {
  const requests: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const path = new URL(request.url).pathname;
    const place = requests.push("") - 1;
    const response = await app.fetch(request);
    requests[place] = `${request.method} ${path} ${response.status}`;
    return response;
  });
  return { url: `http://127.0.0.1:${server.addr.port}`, requests, close: () => server.shutdown() };
}

/** `GET /step/<name>` begins a step. */
function requestsByStep(requests: readonly string[]): Record<string, string[]> {
  const steps: Record<string, string[]> = {};
  let current: string[] = [];
  for (const request of requests) {
    const name = /^GET \/step\/(\w+) /.exec(request)?.[1];
    if (name !== undefined) steps[name] = current = [];
    // Once in a process; nobody answers it.
    else if (!request.includes("/api/agent-harnesses")) current.push(request);
  }
  return steps;
}

/** `GET /api/models/x/y/revision/z 200` → `GET revision`. */
function methodAndKind(request: string): string {
  const [method, path] = request.split(" ") as [string, string];
  return `${method} ${path.split("/")[5]}`;
}

function nameOf(request: string): string {
  return request.split(" ")[1]!.split("/").at(-1)!;
}

/** An adapter of another base. */
function foreignAdapter(to: string): void {
  copyFolder(`${LLAMA}/../golden/ether/ether-in-paper-f32`, to);
  Deno.renameSync(`${to}/adapter.safetensors`, `${to}/adapter_model.safetensors`);
}

async function listedFiles(folder: string): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  return names.filter((name) => name !== "ether-merge.json" && !name.endsWith(".sha256")).sort();
}

async function digests(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await listedFiles(folder)) found[name] = await sha256(await Deno.readFile(`${folder}/${name}`));
  return found;
}

async function sizesOf(folder: string): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const name of await listedFiles(folder)) found[name] = (await Deno.stat(`${folder}/${name}`)).size;
  return found;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
