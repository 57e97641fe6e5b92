/** Recipes and commits over bases: names, what is listed, who may see it. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { Repositories, type RepositoriesOptions } from "../../../runtime/repositories/repositories.ts";
import type { Repository } from "../../../runtime/repositories/repository.ts";
import { decodeCommit } from "../../../runtime/recipes/commit.ts";
import { adapterFiles, baseFiles } from "./made_adapter.ts";
import { llamaStores, MemoryAdapters, MemoryModels } from "./memory_stores.ts";

const only = (...ids: string[]) => (id: string) => ids.includes(id);

/** A base `base` and adapters `a`, `b`, `c`, each another. */
function madeStores() {
  const models = new MemoryModels();
  const adapters = new MemoryAdapters();
  models.models.set("base", baseFiles());
  for (const [i, id] of ["a", "b", "c"].entries()) adapters.set(id, adapterFiles({ strength: 1 - i / 4 }));
  return { models, adapters };
}

async function open(
  { models, adapters }: { models: MemoryModels; adapters: MemoryAdapters },
  options: Partial<RepositoriesOptions> = {},
) {
  const repositories = new Repositories({ models, adapters, storage: models.storage, ...options });
  await repositories.start();
  const [id] = await models.list();
  return { repositories, base: (await repositories.base(id!))! };
}

const tagsOf = ({ files }: Repository) => files.map(({ path, etag, oid, size }) => [path, etag, oid, size]);

Deno.test("two nodes over the same files name everything alike, and one resolves what the other issued", async () => {
  const stores = llamaStores();
  const [one, other] = [await open(stores), await open(stores)];
  for (const text of ["main", "poet", "poet@0.5", "brief+poet@-0.25", "poet@0"]) {
    const issued = (await one.repositories.revision(one.base, text))!;
    assertMatch(issued.commit, /^[0-9a-f]{40}$/);
    const found = (await other.repositories.revision(other.base, issued.commit))!;
    assertEquals(found.revision, text);
    assertEquals([found.commit, tagsOf(found)], [issued.commit, tagsOf(issued)]);
  }
});

Deno.test("a commit is found after a restart by reading each adapter once", async () => {
  const stores = llamaStores();
  const { commit } = await (async () => {
    const { repositories, base } = await open(stores);
    return (await repositories.revision(base, "brief+poet"))!;
  })();
  stores.adapters.reads.clear();
  const { repositories, base } = await open(stores);
  for (let i = 0; i < 3; i++) assertEquals((await repositories.revision(base, commit))!.commit, commit);
  assertEquals(Object.fromEntries(stores.adapters.reads), { brief: 1, poet: 1 });
});

Deno.test("the same recipe in other words is the same revision; another order or strength is another", async () => {
  const { repositories, base } = await open(llamaStores());
  const commitOf = async (text: string) => (await repositories.revision(base, text))!.commit;
  for (const text of ["poet@1", "poet@1.0", "poet@01"]) assertEquals(await commitOf(text), await commitOf("poet"));
  assertEquals(await commitOf("HEAD"), await commitOf("main"));
  const others = ["main", "poet", "poet@0.9999", "poet@-1", "poet@0", "brief", "poet+brief", "brief+poet", "poet+poet"];
  assertEquals(new Set(await Promise.all(others.map(commitOf))).size, others.length);
});

Deno.test("what nobody has is null, what breaks the grammar is bad_recipe", async () => {
  const { repositories, base } = await open(llamaStores());
  const known = (await repositories.revision(base, "poet"))!.commit;
  const wrong = known.slice(0, -1) + (known.endsWith("0") ? "1" : "0");
  for (const text of ["nobody", "poet+nobody", "Poet", "0".repeat(40), wrong]) {
    assertEquals(await repositories.revision(base, text), null, text);
  }
  const long = await assertRejects(() => repositories.revision(base, "1f".padEnd(40, "0")), EtherError);
  assertEquals(long.code, "not_found");
  for (const text of ["refs/pr/1", "poet@1e3", known.toUpperCase(), "../poet"]) {
    assertEquals((await assertRejects(() => repositories.revision(base, text), EtherError)).code, "bad_recipe");
  }
  assertEquals(await repositories.base("nobody"), null);
});

Deno.test("an adapter that the caller may not see is as if it were not there, by name and by commit", async () => {
  const { repositories, base } = await open(llamaStores());
  const both = (await repositories.revision(base, "poet+brief"))!.commit;
  const poet = (await repositories.revision(base, "poet"))!.commit;
  for (const revision of [poet, "poet", both, "poet+brief"]) {
    assertEquals(await repositories.revision(base, revision, only("brief")), null, revision);
    assertEquals((await repositories.revision(base, revision, only("brief", "poet")))!.id, "llama");
  }
  assertEquals(await repositories.adapter("poet", only("brief")), null);
  assertEquals((await repositories.adapters(only("brief"))).map(({ id }) => id), ["brief"]);
  assertEquals(await repositories.apply(base, [{ name: "poet", tenThousandths: 1 }], only("brief")), null);
});

/** Two adapters whose digests share their first 24 bits: of some thousand that differ in nothing but a name. */
async function collidingAdapters(): Promise<[string, string]> {
  const models = new MemoryModels();
  const adapters = new MemoryAdapters();
  for (let i = 0; i < 20_000; i++) adapters.set(`n${i}`, adapterFiles({ base_model_name_or_path: `base${i}` }));
  const repositories = new Repositories({ models, adapters, storage: models.storage });
  const seen = new Map<string, string>();
  for (const summary of await repositories.adapters()) {
    assert(summary.error === null);
    const prefix = summary.digest.slice(0, 6);
    const other = seen.get(prefix);
    if (other !== undefined) return [other, summary.id];
    seen.set(prefix, summary.id);
  }
  throw new Error("no two of 20,000 share 24 bits");
}

Deno.test("two adapters whose digests begin alike are told apart by the commit's check, in chains too", async () => {
  const pair = await collidingAdapters();
  const [first, second] = pair.map((id) => adapterFiles({ base_model_name_or_path: `base${id.slice(1)}` }));
  for (const [x, y] of [[first, second], [second, first]]) {
    const models = new MemoryModels();
    const adapters = new MemoryAdapters();
    models.models.set("base", baseFiles());
    adapters.set("x", x!);
    adapters.set("y", y!);
    const { repositories, base } = await open({ models, adapters });
    const commits = new Set<string>();
    for (const text of ["x", "y", "x+y", "y+x", "x+x", "y+y", "x@0.5+y@0.5"]) {
      const { commit } = (await repositories.revision(base, text))!;
      commits.add(commit);
      assertEquals((await repositories.revision(base, commit))!.revision, text);
    }
    assertEquals(commits.size, 7);
    const { commit } = (await repositories.revision(base, "y"))!;
    assertEquals(await repositories.revision(base, commit, only("x")), null);
    const decoded = decodeCommit(commit);
    const ofX = decodeCommit((await repositories.revision(base, "x"))!.commit);
    assertEquals(decoded, ofX, "they do share the prefix");
  }
});

Deno.test("adapters of one content are one: either name resolves the commit that the other was issued for", async () => {
  const stores = madeStores();
  stores.adapters.set("copy", adapterFiles({ strength: 1 }));
  const { repositories, base } = await open(stores);
  const { commit } = (await repositories.revision(base, "copy"))!;
  assertEquals((await repositories.revision(base, "a"))!.commit, commit);
  assertEquals((await repositories.revision(base, commit))!.revision, "a");
  assertEquals((await repositories.revision(base, commit, only("copy")))!.revision, "copy");
});

Deno.test("a chain of three takes a table: its issuer resolves it, another node says that it does not", async () => {
  const stores = madeStores();
  const [one, other] = [await open(stores), await open(stores)];
  const issued = (await one.repositories.revision(one.base, "a+b+c@0.5"))!;
  assertEquals(decodeCommit(issued.commit), { kind: "table" });
  assertEquals((await one.repositories.revision(one.base, issued.commit))!.revision, "a+b+c@0.5");
  const unknown = async ({ repositories, base }: typeof one, visible?: (id: string) => boolean) => {
    const error = await assertRejects(() => repositories.revision(base, issued.commit, visible), EtherError);
    assertEquals([error.code, error.hint], ["not_found", "ask by recipe"]);
  };
  await unknown(one, only("a", "b"));
  await unknown(other);
  assertEquals((await other.repositories.revision(other.base, "a+b+c@0.5"))!.commit, issued.commit);
  // A name that means another adapter by now does not stand in for it.
  stores.adapters.set("b", adapterFiles({ strength: 0.125 }));
  await unknown(one);
});

Deno.test("a shard without a target keeps the base's name; the others get one that is no digest", async () => {
  const { repositories, base } = await open(madeStores());
  const merged = (await repositories.revision(base, "a"))!;
  const [touched, untouched] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  assertEquals(merged.file(untouched!), base.file(untouched!));
  const file = merged.file(touched!)!;
  assertMatch(file.etag, /^eth1-[0-9a-f]{40}$/);
  assertEquals([file.oid, file.sha256, file.size], [file.etag.slice(5), null, base.file(touched!)!.size]);
  // Strength 0 leaves every tensor as it is, and is a recipe all the same.
  const still = (await repositories.revision(base, "a@0"))!;
  assertEquals(still.files, base.files);
  assertNotEquals(still.commit, base.commit);
});

Deno.test("a base shows all of its files, a merged revision only those that a merge would write", async () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const stores = madeStores();
  stores.models.models.set(
    "base",
    baseFiles({
      ...{ "README.md": bytes("# base"), "sub dir/ü.txt": bytes("x"), "pytorch_model.bin": bytes("weights") },
      ...{ "pytorch_model.bin.index.json": bytes("{}"), "original/consolidated.00.pth": bytes("weights") },
      ...{
        "adapter_config.json": bytes("{}"),
        "model.safetensors.sha256": bytes("x"),
        "ether-merge.json": bytes("{}"),
      },
    }),
  );
  const { repositories, base } = await open(stores);
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const merged = ["README.md", "config.json", ...shards, "model.safetensors.index.json", "sub dir/ü.txt"];
  const others = ["original/consolidated.00.pth", "pytorch_model.bin", "pytorch_model.bin.index.json"];
  assertEquals(base.files.map(({ path }) => path), [...merged, ...others].sort());
  const repository = (await repositories.revision(base, "a"))!;
  assertEquals(repository.files.map(({ path }) => path), merged);
  for (const path of [...others, "adapter_config.json", "ether-merge.json"]) {
    assertEquals(repository.file(path), undefined);
  }
});

Deno.test("a recipe that does not fit is refused from headers alone, and checked once", async () => {
  const stores = madeStores();
  stores.adapters.set("other", adapterFiles({ num_blocks: 3 }));
  stores.adapters.set("mismatch", adapterFiles({ base_fingerprint: { structure: "0".repeat(64) } }));
  const tensors = { "base_model.model.model.layers.9.up.ether_u_in": { dtype: "F32", shape: [2, 4] } } as const;
  stores.adapters.set("stranger", adapterFiles({}, tensors));
  const { repositories, base } = await open(stores);
  const before = structuredClone(stores.models.reads);
  for (
    const [text, code] of [["other", "bad_blocks"], ["mismatch", "base_mismatch"], ["a+stranger", "unknown_target"]]
  ) {
    const errors = [];
    for (let i = 0; i < 2; i++) errors.push(await assertRejects(() => repositories.revision(base, text!), EtherError));
    assertEquals(errors.map((error) => error.code), [code, code]);
    assert(errors[0] === errors[1], `${text} was checked again`);
  }
  assertEquals(stores.models.reads, before, "the base was read");
});

Deno.test("a broken adapter says what is wrong with it, and stands in nobody's way", async () => {
  const stores = madeStores();
  stores.adapters.set("broken", new Map([["adapter_config.json", new TextEncoder().encode("{")]]));
  stores.adapters.set("worse", adapterFiles({ num_blocks: 0 }));
  stores.adapters.set("large", new Map([...adapterFiles(), ["adapter_model.safetensors", new Uint8Array(5000)]]));
  const { repositories, base } = await open(stores, { limits: { maxAdapterBytes: 4000 } });
  const listed = await repositories.adapters();
  assertEquals(listed.map(({ id, error }) => [id, error?.code ?? null]), [
    ...[["a", null], ["b", null], ["broken", "not_found"], ["c", null], ["large", "too_large"], [
      "worse",
      "bad_config",
    ]],
  ]);
  const { commit } = (await repositories.revision(base, "a+b"))!;
  assertEquals((await repositories.revision(base, commit))!.revision, "a+b");
  assertEquals((await assertRejects(() => repositories.revision(base, "worse"), EtherError)).code, "bad_config");
  assertEquals((await assertRejects(() => repositories.adapter("large"), EtherError)).code, "too_large");
});

Deno.test("an adapter that is replaced is another revision, and the old commit is gone", async () => {
  const stores = madeStores();
  const { repositories, base } = await open(stores);
  const before = (await repositories.revision(base, "a"))!;
  stores.adapters.set("a", adapterFiles({ strength: 0.5 }));
  const after = (await repositories.revision(base, "a"))!;
  assertNotEquals(after.commit, before.commit);
  assertNotEquals(after.files[1]!.etag, before.files[1]!.etag);
  assertEquals(await repositories.revision(base, before.commit), null);
  assertEquals((await repositories.revision(base, after.commit))!.revision, "a");
});

Deno.test("a tensor that takes more memory than an engine may have is too_large", async () => {
  const { repositories, base } = await open(madeStores(), { limits: { engineBytes: 100 } });
  const error = await assertRejects(() => repositories.revision(base, "a"), EtherError);
  assertEquals([error.code, error.tensor], ["too_large", "model.layers.0.mlp.up_proj.weight"]);
});
