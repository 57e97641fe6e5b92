/** Adapters that are sent: what is stored, what is refused, and who sees it when. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { Repositories, type RepositoriesOptions } from "../../../runtime/repositories/repositories.ts";
import { sha256Hex } from "../../../runtime/io/digest.ts";
import { structureFingerprint } from "../../../runtime/adapters/fingerprint.ts";
import { adapterFiles, baseFiles } from "./made_adapter.ts";
import { type Files, MemoryAdapters, MemoryModels } from "./memory_stores.ts";

async function open(options: Partial<RepositoriesOptions> = {}) {
  const models = new MemoryModels();
  const adapters = new MemoryAdapters();
  models.models.set("base", baseFiles());
  const repositories = new Repositories({ models, adapters, storage: models.storage, ...options });
  await repositories.start();
  return { models, adapters, repositories, base: (await repositories.base("base"))! };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => promise, EtherError)).code;
}

Deno.test("put stores an adapter that fits, and it is there at once; again, it is replaced", async () => {
  const { repositories, base, adapters } = await open();
  const created = await repositories.put("a", base, adapterFiles());
  assertEquals([created.outcome, created.fingerprint], ["created", "none"]);
  const { id, base: of, peftType, parameters, digest } = created.summary;
  assertEquals([id, of, peftType, parameters], ["a", "base", "ETHER", 8]);
  assertEquals(await repositories.adapters(), [created.summary]);
  const first = (await repositories.revision(base, "a"))!;
  const replaced = await repositories.put("a", base, adapterFiles({ strength: 0.5 }));
  assertEquals(replaced.outcome, "replaced");
  assert(replaced.summary.digest !== digest);
  assert((await repositories.revision(base, "a"))!.commit !== first.commit);
  assertEquals(adapters.adapters.size, 1);

  const opened = (await repositories.adapter("a"))!;
  assertEquals(opened.summary, replaced.summary);
  assertEquals([...opened.files], [...adapterFiles({ strength: 0.5 })]);
  const source = await opened.openSource(opened.adapter.locator);
  assertEquals(source.size, opened.files.get("adapter_model.safetensors")!.byteLength);

  assertEquals([await repositories.remove("a"), await repositories.remove("a")], [true, false]);
  assertEquals([await repositories.adapter("a"), await repositories.revision(base, "a")], [null, null]);
});

Deno.test("put refuses what a merge would refuse, and nothing is stored", async () => {
  const { repositories, base, adapters } = await open({ limits: { maxAdapterBytes: 2000 } });
  const config = adapterFiles().get("adapter_config.json")!;
  const tensors = adapterFiles().get("adapter_model.safetensors")!;
  const u = "base_model.model.model.layers.0.mlp.up_proj.ether_u_in";
  const nan = { dtype: "F32", shape: [2, 4], bytes: new Uint8Array(new Float32Array(8).fill(NaN).buffer) } as const;
  const cases: readonly (readonly [code: string, files: Files])[] = [
    ["unknown_target", adapterFiles({}, { "base_model.model.x.ether_u_in": { dtype: "F32", shape: [2, 4] } })],
    ["nonfinite_vector", adapterFiles({}, { [u]: nan })],
    ["bad_blocks", adapterFiles({ num_blocks: 3 })],
    ["base_mismatch", adapterFiles({ base_fingerprint: { structure: "0".repeat(64) } })],
    ["unsupported", adapterFiles({ peft_type: "LORAX" })],
    ["bad_config", new Map([...adapterFiles(), ["adapter_config.json", new TextEncoder().encode("{")]])],
    ["bad_header", new Map([...adapterFiles(), ["adapter_model.safetensors", new Uint8Array(10)]])],
    ["too_large", new Map([...adapterFiles(), ["adapter_model.safetensors", new Uint8Array(2000)]])],
    ["usage", new Map([["adapter_config.json", config]])],
    ["usage", new Map()],
    ["usage", new Map([...adapterFiles(), ["README.md", config]])],
    ["usage", new Map([...adapterFiles(), ["../x", config]])],
    ["unsupported_format", new Map([["lit_model_ether_finetuned.pth", tensors], ["lit_config.json", config]])],
  ];
  for (const [code, files] of cases) assertEquals(await codeOf(repositories.put("a", base, files)), code);
  for (const id of ["main", "HEAD", "a/b", "..", "", "0".repeat(40), "a".repeat(65)]) {
    assertEquals(await codeOf(repositories.put(id, base, adapterFiles())), "usage", id);
  }
  assertEquals(adapters.adapters.size, 0);
});

Deno.test("put says how much of the fingerprint it compared, and refuses other bytes of a target", async () => {
  const { repositories, base, models } = await open();
  const structure = await structureFingerprint(base.model);
  const name = "model.layers.0.mlp.up_proj.weight";
  const { info, file } = base.model.tensors.get(name)![0]!;
  const bytes = models.models.get("base")!.get(file.path)!.slice(info.offset, info.offset + info.byteLength);
  const put = async (targets: Record<string, string> | undefined) => {
    const fingerprint = targets === undefined ? { structure } : { structure, targets };
    return (await repositories.put("a", base, adapterFiles({ base_fingerprint: fingerprint }))).fingerprint;
  };
  assertEquals(await put(undefined), "structure");
  assertEquals(await put({ [name]: await sha256Hex(bytes) }), "targets");
  const error = await assertRejects(() => put({ [name]: "f".repeat(64) }), EtherError);
  assertEquals([error.code, error.tensor], ["base_mismatch", name]);

  // Far away, the bytes are left alone.
  models.local = false;
  models.touch("base");
  await repositories.start();
  const far = (await repositories.base("base"))!;
  const files = adapterFiles({ base_fingerprint: { structure, targets: { [name]: "f".repeat(64) } } });
  assertEquals((await repositories.put("b", far, files)).fingerprint, "structure");
});

Deno.test("put tells of an adapter that is the identity", async () => {
  const { repositories, base } = await open();
  const prefix = "base_model.model.model.layers.0.mlp.up_proj.ether_";
  const bytes = new Uint8Array(new Float32Array(8).fill(1).buffer);
  const tensor = { dtype: "F32", shape: [2, 4], bytes } as const;
  const files = adapterFiles({ variant: "etherplus" }, { [`${prefix}u_in`]: tensor, [`${prefix}v_in`]: tensor });
  const { warnings } = await repositories.put("a", base, files);
  assertEquals(warnings.length, 1);
  assert(/the adapter is the identity/.test(warnings[0]!), warnings[0]);
});

Deno.test("changes of one adapter come one after the other, those of others at the same time", async () => {
  const { repositories, base, adapters } = await open();
  const gates = [1, 2].map(() => Promise.withResolvers<void>());
  let running = 0;
  let most = 0;
  let puts = 0;
  adapters.beforePut = async () => {
    most = Math.max(most, ++running);
    await gates[puts++ < 2 ? 0 : 1]!.promise;
    running--;
  };
  const same = [0.5, 0.25, 0.125].map((strength) => repositories.put("a", base, adapterFiles({ strength })));
  const other = repositories.put("b", base, adapterFiles());
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals([running, most], [2, 2]);
  gates[0]!.resolve();
  await other;
  gates[1]!.resolve();
  assertEquals((await Promise.all(same)).map(({ outcome }) => outcome), ["created", "replaced", "replaced"]);
  assertEquals(most, 2);
  // The last one counts.
  const last = await sha256Hex(adapters.adapters.get("a")!.files.get("adapter_config.json")!);
  assertEquals(last, await sha256Hex(adapterFiles({ strength: 0.125 }).get("adapter_config.json")!));
});

Deno.test("a put that is refused or stopped does not stand in the next one's way", async () => {
  const { repositories, base } = await open();
  const stopped = AbortSignal.abort(new Error("the client left"));
  const refused = repositories.put("a", base, adapterFiles({ num_blocks: 3 }));
  const left = repositories.put("a", base, adapterFiles(), stopped);
  const good = repositories.put("a", base, adapterFiles());
  assertEquals(await codeOf(refused), "bad_blocks");
  await assertRejects(() => left, Error, "the client left");
  assertEquals((await good).outcome, "created");
});

Deno.test("where nothing can be written, put and remove are forbidden", async () => {
  const models = new MemoryModels();
  models.models.set("base", baseFiles());
  const { list, read } = new MemoryAdapters();
  const store = new MemoryAdapters();
  const adapters = { list: list.bind(store), read: read.bind(store) };
  const repositories = new Repositories({ models, adapters, storage: models.storage });
  await repositories.start();
  const base = (await repositories.base("base"))!;
  assertEquals(await codeOf(repositories.put("a", base, adapterFiles())), "forbidden");
  assertEquals(await codeOf(repositories.remove("a")), "forbidden");
});
