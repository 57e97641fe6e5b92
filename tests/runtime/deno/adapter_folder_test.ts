import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { AdapterFolder, type AdapterFolderOptions } from "../../../runtime/deno/adapter_folder.ts";
import { EtherError } from "../../../runtime/error.ts";
import type { NewAdapter } from "../../../runtime/repositories/stores.ts";
import {
  ADAPTER_TENSORS,
  addFiles,
  etherConfig,
  listFiles,
  makeFolder,
  tensorFile,
} from "../../commands/made_files.ts";

const ADAPTER = { "adapter_config.json": etherConfig(), "adapter_model.safetensors": tensorFile(ADAPTER_TENSORS) };
const PLAIN = {
  "poet/adapter_config.json": etherConfig(),
  "poet/adapter_model.safetensors": tensorFile(ADAPTER_TENSORS),
};

function storeOf(root: string, options: AdapterFolderOptions = {}): { store: AdapterFolder; notices: string[] } {
  const notices: string[] = [];
  const onNotice = (message: string) => void notices.push(message);
  return { store: new AdapterFolder(root, { rescanMilliseconds: 0, onNotice, ...options }), notices };
}

/** An adapter as a PUT brings it; `letter` tells its content. */
function newAdapter(letter: string, base = "tiny"): NewAdapter {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const files = new Map([["adapter_config.json", bytes(letter)], [
    "adapter_model.safetensors",
    bytes(letter.repeat(9)),
  ]]);
  return { base, digest: letter.repeat(64), files };
}

async function contentOf(store: AdapterFolder, id: string): Promise<string[] | null> {
  const read = await store.read(id);
  return read === null ? null : [...read.files.values()].map((bytes) => new TextDecoder().decode(bytes));
}

async function ids(store: AdapterFolder): Promise<string[]> {
  return (await store.list()).map(({ id }) => id);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => work, EtherError)).code;
}

Deno.test("adapters: a folder with both files is one, as it is on the disk", async () => {
  const root = makeFolder(PLAIN, "adapters");
  const { store, notices } = storeOf(root);
  const [listing] = await store.list();
  const read = (await store.read("poet"))!;
  assertEquals([...read.files.keys()], ["adapter_config.json", "adapter_model.safetensors"]);
  assertEquals(read.files.get("adapter_model.safetensors"), PLAIN["poet/adapter_model.safetensors"]);
  assertEquals([read.id, read.base, read.ownName], ["poet", null, "poet"]);
  assertEquals(read.stamp, listing!.stamp);
  assertEquals(notices, []);
  for (const id of ["", "..", "../adapters/poet", "poet/", "POET", ".store"]) {
    assertEquals(await store.read(id), null, id);
  }
});

Deno.test("adapters: what is none is left out, and said once", async () => {
  const root = makeFolder({
    ...PLAIN,
    "half/adapter_config.json": etherConfig(),
    "empty/readme.md": "x",
    "main/adapter_config.json": etherConfig(),
    "main/adapter_model.safetensors": "x",
    "a+b/adapter_config.json": etherConfig(),
    "file.txt": "x",
    ".hidden/adapter_config.json": etherConfig(),
    "run/lit_model_ether_finetuned.pth": "x",
  }, "adapters");
  const { store, notices } = storeOf(root);
  assertEquals(await ids(store), ["poet"]);
  await store.list();
  const said = notices.map((line) => line.replace(`left out: ${root}/`, "").replace(/:.*/, "")).sort();
  assertEquals(said, ["a+b", "empty", "file.txt", "half", "main", "run"]);
});

Deno.test("adapters: a .pth is one where that is switched on, with the config beside it or one folder up", async () => {
  const files = { "run/lit_model_ether_finetuned.pth": "weights", "lit_config.json": "above" };
  const root = makeFolder(files, "adapters");
  const { store } = storeOf(root, { allowPth: true });
  const first = (await store.read("run"))!;
  assertEquals([...first.files.keys()], ["lit_model_ether_finetuned.pth", "lit_config.json"]);
  assertEquals(await contentOf(store, "run"), ["weights", "above"]);
  assertEquals([(await store.list())[0]!.stamp, first.ownName], [first.stamp, "run"]);
  addFiles(root, { "run/lit_config.json": "beside" });
  assertEquals(await contentOf(store, "run"), ["weights", "beside"]);
  assertEquals((await store.list())[0]!.stamp, (await store.read("run"))!.stamp);
  assertNotEquals((await store.list())[0]!.stamp, first.stamp);
});

Deno.test("adapters: the stamp changes with either file", async () => {
  const root = makeFolder(PLAIN, "adapters");
  const { store } = storeOf(root);
  const stamp = async () => (await store.list())[0]!.stamp;
  let last = await stamp();
  assertEquals(await stamp(), last);
  for (const file of Object.keys(ADAPTER)) {
    addFiles(`${root}/poet`, { [file]: `other ${file}` });
    assertNotEquals(await stamp(), last);
    last = await stamp();
    assertEquals((await store.read("poet"))!.stamp, last);
  }
});

Deno.test("adapters: a link out of an adapter's folder is not followed; the folder itself may be a link", async () => {
  const elsewhere = makeFolder({ ...ADAPTER, "secret.txt": "secret" }, "elsewhere");
  const root = makeFolder({ "bad/adapter_config.json": etherConfig() }, "adapters");
  Deno.symlinkSync(elsewhere, `${root}/linked`);
  Deno.symlinkSync(`${elsewhere}/secret.txt`, `${root}/bad/adapter_model.safetensors`);
  const { store } = storeOf(root);
  assertEquals((await store.read("linked"))!.ownName, "elsewhere");
  assertEquals(await codeOf(store.read("bad")), "not_found");
});

Deno.test("adapters: one that is larger than the limit is too_large", async () => {
  const root = makeFolder({ "big/adapter_config.json": "x", "big/adapter_model.safetensors": "y".repeat(100) });
  assertEquals(await codeOf(storeOf(root, { maxAdapterBytes: 100 }).store.read("big")), "too_large");
  assert(await storeOf(root, { maxAdapterBytes: 101 }).store.read("big"));
});

Deno.test("adapters: files that go on changing are busy", async () => {
  const root = makeFolder(PLAIN, "adapters");
  const timer = setInterval(() => addFiles(`${root}/poet`, { "adapter_config.json": "x" }), 10);
  try {
    addFiles(`${root}/poet`, { "adapter_config.json": "x" });
    assertEquals(await codeOf(storeOf(root).store.read("poet")), "busy");
  } finally {
    clearInterval(timer);
  }
});

Deno.test("adapters: put, replace, read, remove", async () => {
  const root = makeFolder(PLAIN, "adapters");
  const { store } = storeOf(root);
  assertEquals(await store.put!("brief", newAdapter("a", "org/name")), "created");
  assertEquals(await ids(store), ["brief", "poet"]);
  const first = (await store.read("brief"))!;
  assertEquals([first.base, first.stamp], ["org/name", (await store.list())[0]!.stamp]);
  assertEquals(await contentOf(store, "brief"), ["a", "a".repeat(9)]);

  assertEquals(await store.put!("brief", newAdapter("b")), "replaced");
  assertEquals(await contentOf(store, "brief"), ["b", "b".repeat(9)]);
  assertNotEquals((await store.list())[0]!.stamp, first.stamp);
  assertEquals(Deno.readDirSync(`${root}/.store/objects`).toArray().map(({ name }) => name), ["b".repeat(64)]);

  assertEquals(await store.remove!("brief"), true);
  assertEquals(await store.remove!("brief"), false);
  assertEquals([await store.read("brief"), await ids(store)], [null, ["poet"]]);
  assertEquals(listFiles(root).filter((path) => path.startsWith(".store")), [".store/lock"]);
});

Deno.test("adapters: two ids of one content share it, and the last one takes it along", async () => {
  const root = makeFolder({}, "adapters");
  const { store } = storeOf(root);
  await store.put!("one", newAdapter("a"));
  await store.put!("two", newAdapter("a"));
  await store.remove!("one");
  assertEquals(await contentOf(store, "two"), ["a", "a".repeat(9)]);
  await store.put!("two", newAdapter("b"));
  assertEquals(Deno.readDirSync(`${root}/.store/objects`).toArray().length, 1);
});

Deno.test("adapters: the operator's own are neither replaced nor removed", async () => {
  const root = makeFolder({ ...PLAIN, "unfinished/readme.md": "x" }, "adapters");
  const { store } = storeOf(root);
  const before = listFiles(root);
  for (const id of ["poet", "unfinished"]) assertEquals(await codeOf(store.put!(id, newAdapter("a"))), "exists");
  assertEquals(await codeOf(store.remove!("poet")), "forbidden");
  assertEquals(await store.remove!("unfinished"), false);
  assertEquals(listFiles(root), before);
});

Deno.test("adapters: a folder that the operator puts in an id's place counts", async () => {
  const root = makeFolder({}, "adapters");
  const { store, notices } = storeOf(root);
  await store.put!("poet", newAdapter("a"));
  addFiles(root, PLAIN);
  assertEquals((await store.read("poet"))!.base, null);
  assertMatch(notices.at(-1)!, /poet is a folder too/);
});

Deno.test("adapters: an id that is none is refused before anything is written", async () => {
  const root = makeFolder({}, "adapters");
  const { store } = storeOf(root);
  for (const id of ["", ".", "..", "../x", "a/b", "main", "HEAD", "f".repeat(40), ".store", "a".repeat(65), "a\0b"]) {
    assertEquals(await codeOf(store.put!(id, newAdapter("a"))), "usage", id);
    assertEquals(await store.remove!(id), false, id);
  }
  assertEquals(listFiles(root), []);
  const hostile = { ...newAdapter("a"), files: new Map([["../../x", new Uint8Array(1)]]) };
  await assertRejects(() => store.put!("a", hostile));
  await assertRejects(() => store.put!("a", { ...newAdapter("a"), digest: "../x" }));
  assertEquals(await ids(store), []);
});

Deno.test("adapters: there is a most of them", async () => {
  const root = makeFolder(PLAIN, "adapters");
  const { store, notices } = storeOf(root, { maxAdapters: 2 });
  await store.put!("a", newAdapter("a"));
  assertEquals(await codeOf(store.put!("b", newAdapter("b"))), "too_large");
  assertEquals(await store.put!("a", newAdapter("b")), "replaced");
  addFiles(root, { "b/adapter_config.json": "x", "b/adapter_model.safetensors": "x" });
  assertEquals(await ids(store), ["a", "b"]);
  assertMatch(notices.at(-1)!, /1 adapters beyond the first 2/);
});

Deno.test("adapters: what a process left that died is swept, what is used stays", async () => {
  const root = makeFolder({}, "adapters");
  await storeOf(root).store.put!("poet", newAdapter("a"));
  addFiles(`${root}/.store`, {
    [`objects/${"c".repeat(64)}/adapter_config.json`]: "orphan",
    "partial/1234/adapter_config.json": "half",
    "partial/5678": "half a pointer",
  });
  const { store } = storeOf(root);
  await store.sweep();
  assertEquals(listFiles(`${root}/.store`), [
    "ids/poet.json",
    "lock",
    `objects/${"a".repeat(64)}/adapter_config.json`,
    `objects/${"a".repeat(64)}/adapter_model.safetensors`,
  ]);
  assertEquals(await contentOf(store, "poet"), ["a", "a".repeat(9)]);
});

Deno.test("adapters: a pointer that cannot be read is left out, and nothing is thrown away for it", async () => {
  const root = makeFolder({}, "adapters");
  const { store, notices } = storeOf(root);
  await store.put!("good", newAdapter("a"));
  addFiles(`${root}/.store`, { "ids/bad.json": '{"digest": "../../etc"}', [`objects/${"c".repeat(64)}/x`]: "x" });
  assertEquals(await ids(store), ["good"]);
  assertMatch(notices[0]!, /^left out: bad_config: .*digest/);
  await store.sweep();
  assert(Deno.statSync(`${root}/.store/objects/${"c".repeat(64)}/x`).isFile);
  assertEquals(await store.put!("bad", newAdapter("b")), "created");
  assertEquals(await ids(store), ["bad", "good"]);
});

Deno.test("adapters: an object that is not whole is written again", async () => {
  const root = makeFolder({}, "adapters");
  const { store } = storeOf(root);
  addFiles(root, { [`.store/objects/${"a".repeat(64)}/adapter_config.json`]: "" });
  await store.put!("poet", newAdapter("a"));
  assertEquals(await contentOf(store, "poet"), ["a", "a".repeat(9)]);
});

Deno.test("adapters: two stores over one folder, writing and reading at once, see whole adapters", async () => {
  const root = makeFolder({}, "adapters");
  const [one, two] = [storeOf(root).store, storeOf(root).store];
  await one.put!("poet", newAdapter("a"));
  const write = async (store: AdapterFolder, letters: string) => {
    for (const letter of letters) await store.put!("poet", newAdapter(letter));
  };
  const read = async (store: AdapterFolder) => {
    for (let i = 0; i < 40; i++) {
      const content = (await contentOf(store, "poet"))!;
      assertEquals(content[1], content[0]!.repeat(9));
    }
  };
  await Promise.all([write(one, "bcdbcdbcd"), write(two, "efaefaefa"), read(one), read(two)]);
  assertEquals(Deno.readDirSync(`${root}/.store/objects`).toArray().length, 1);
  assertEquals(await contentOf(one, "poet"), await contentOf(two, "poet"));
});

const readOnly = makeFolder({ ...PLAIN, [`.store/objects/${"c".repeat(64)}/x`]: "orphan" }, "adapters");

Deno.test({
  name: "adapters: where nothing may be written there is no put and no remove, and a sweep does nothing",
  permissions: { read: true, write: false },
  async fn() {
    const { store } = storeOf(readOnly);
    await store.sweep();
    assertEquals([store.put, store.remove, await ids(store)], [undefined, undefined, ["poet"]]);
    assert(await store.read("poet"));
  },
});

Deno.test("adapters: a folder that is not there is not_found", async () => {
  assertEquals(await codeOf(storeOf("/does/not/exist").store.list()), "not_found");
});
