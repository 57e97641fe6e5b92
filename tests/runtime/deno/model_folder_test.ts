import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { ModelFolder, type ModelFolderOptions } from "../../../runtime/deno/model_folder.ts";
import { EtherError } from "../../../runtime/error.ts";
import type { Folder } from "../../../runtime/io/folder.ts";
import type { OpenedReference } from "../../../runtime/remote/open_reference.ts";
import { addFiles, BASE_TENSORS, type Content, makeFolder, tensorFile } from "../../commands/made_files.ts";

const WEIGHTS = tensorFile(BASE_TENSORS);
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const SHA256 = "ab".repeat(32);

/** A store that looks at the disk each time, and what it left out. */
function storeOf(root: string, options: ModelFolderOptions = {}): { store: ModelFolder; notices: string[] } {
  const notices: string[] = [];
  const onNotice = (message: string) => void notices.push(message);
  return { store: new ModelFolder(root, { rescanMilliseconds: 0, onNotice, ...options }), notices };
}

function makeModels(files: Readonly<Record<string, Content>>): string {
  return makeFolder(files, "models");
}

Deno.test("models: a folder is a model by its name, and by its owner's", async () => {
  const root = makeModels({
    "tiny/model.safetensors": WEIGHTS,
    "org/small/model.safetensors": WEIGHTS,
    "org/other/diffusion_pytorch_model.safetensors": WEIGHTS,
    "diffusers/model_index.json": {},
    "diffusers/unet/model.safetensors": WEIGHTS,
    "sharded/model.safetensors.index.json": { weight_map: {} },
  });
  const { store, notices } = storeOf(root);
  assertEquals(await store.list(), ["diffusers", "org/other", "org/small", "sharded", "tiny"]);
  assertEquals(notices, []);
  const model = (await store.find("org/small"))!;
  assertEquals([model.id, model.local, model.place.file], ["org/small", true, null]);
  assertEquals((await model.place.folder.list()).map(({ path }) => path), ["model.safetensors"]);
  for (const id of ["org", "tiny/model.safetensors", "../models/tiny", "", "org/small/", "TINY"]) {
    assertEquals(await store.find(id), null, id);
  }
});

Deno.test("models: what is no model, or has a name that clients refuse, is left out and said once", async () => {
  const root = makeModels({
    "ok/model.safetensors": WEIGHTS,
    "bin/pytorch_model.bin": "x",
    "empty/readme.md": "x",
    "two--dashes/model.safetensors": WEIGHTS,
    "dot./model.safetensors": WEIGHTS,
    "org/name.git/model.safetensors": WEIGHTS,
    "org/fine/model.safetensors": WEIGHTS,
    ".hidden/model.safetensors": WEIGHTS,
    "datasets--org--data/refs/main": COMMIT,
    "too/deep/model/model.safetensors": WEIGHTS,
    "version.txt": "1",
  });
  Deno.symlinkSync("nowhere", `${root}/dangling`);
  const { store, notices } = storeOf(root);
  assertEquals(await store.list(), ["ok", "org/fine"]);
  await store.list();
  const said = notices.map((line) => line.replace(`left out: ${root}/`, "").replace(/:.*/, "")).sort();
  assertEquals([...new Set(said)], [
    "bin",
    "dangling",
    "dot.",
    "empty",
    "org/name.git",
    "too",
    "too/deep",
    "two--dashes",
  ]);
  assertEquals(said.length, new Set(said).size);
});

Deno.test("models: a folder that is a model itself is the only one, under its own name", async () => {
  const root = makeFolder({ "model.safetensors": WEIGHTS, "inner/model.safetensors": WEIGHTS }, "my-model");
  assertEquals(await storeOf(root).store.list(), ["my-model"]);
  assertEquals(await storeOf(`${root}/`).store.list(), ["my-model"]);
});

Deno.test("models: the Hub's cache goes by its ids and its current snapshot", async () => {
  const cache = "models--org--name";
  const files = {
    [`${cache}/refs/main`]: COMMIT,
    [`${cache}/blobs/${SHA256}`]: WEIGHTS,
    [`${cache}/snapshots/${COMMIT}/config.json`]: {},
    "models--alone/refs/main": `${COMMIT}\n`,
    [`models--alone/snapshots/${COMMIT}/model.safetensors`]: WEIGHTS,
    [`models--org--half/blobs/${SHA256}`]: WEIGHTS,
  };
  const root = makeModels(files);
  Deno.symlinkSync(`../../blobs/${SHA256}`, `${root}/${cache}/snapshots/${COMMIT}/model.safetensors`);
  const { store, notices } = storeOf(root);
  assertEquals(await store.list(), ["alone", "org/name"]);
  assertEquals(notices.length, 1, notices.join("\n"));
  const weights = (await (await store.find("org/name"))!.place.folder.list()).at(-1)!;
  assertEquals([weights.path, weights.sha256], ["model.safetensors", SHA256]);

  // The folder of one repository, or of one snapshot, is that repository.
  assertEquals(await storeOf(`${root}/${cache}`).store.list(), ["org/name"]);
  assertEquals(await storeOf(`${root}/${cache}/snapshots/${COMMIT}`).store.list(), ["org/name"]);

  // The next download moves refs/main.
  const next = "f".repeat(40);
  addFiles(`${root}/${cache}`, { [`snapshots/${next}/model.safetensors`]: WEIGHTS, "refs/main": next });
  const before = (await storeOf(`${root}/${cache}/snapshots/${COMMIT}`).store.find("org/name"))!;
  assertNotEquals((await store.find("org/name"))!.stamp, before.stamp);
  assertMatch((await store.find("org/name"))!.place.folder.locate("x"), new RegExp(`/snapshots/${next}/x$`));
});

Deno.test("models: of two with one id the same one counts each time, and the other is said", async () => {
  const root = makeModels({
    "org/name/model.safetensors": WEIGHTS,
    "models--org--name/refs/main": COMMIT,
    [`models--org--name/snapshots/${COMMIT}/model.safetensors`]: WEIGHTS,
    "org/name.json": { source: "hf://org/name" },
  });
  const { store, notices } = storeOf(root);
  assertEquals(await store.list(), ["org/name"]);
  assertMatch((await store.find("org/name"))!.place.folder.locate(""), /models--org--name/);
  assertEquals(notices.length, 2);
});

Deno.test("models: a link to a folder elsewhere is a model; a link in a model that leaves it is not listed", async () => {
  const elsewhere = makeFolder({ "model.safetensors": WEIGHTS, "secret.txt": "x" }, "elsewhere");
  const root = makeModels({ "plain/model.safetensors": WEIGHTS });
  Deno.symlinkSync(elsewhere, `${root}/linked`);
  Deno.symlinkSync(`${elsewhere}/secret.txt`, `${root}/plain/secret.txt`);
  const { store } = storeOf(root);
  assertEquals(await store.list(), ["linked", "plain"]);
  const paths = async (id: string) => (await (await store.find(id))!.place.folder.list()).map(({ path }) => path);
  assertEquals(await paths("linked"), ["model.safetensors", "secret.txt"]);
  assertEquals(await paths("plain"), ["model.safetensors"]);
});

Deno.test("models: the stamp changes with any file, and with nothing else", async () => {
  const root = makeModels({ "tiny/model.safetensors": WEIGHTS, "tiny/config.json": {} });
  const { store } = storeOf(root);
  const stamp = async () => (await store.find("tiny"))!.stamp;
  let last = await stamp();
  assertEquals(await stamp(), last);
  addFiles(`${root}/tiny`, { ".hidden": "x", [`model.safetensors.sha256`]: `${SHA256}  model.safetensors\n` });
  assertEquals(await stamp(), last);

  const changes: Readonly<Record<string, () => void>> = {
    "a new file": () => addFiles(`${root}/tiny`, { "tokenizer.json": "{}" }),
    "another size": () => addFiles(`${root}/tiny`, { "config.json": { a: 1 } }),
    "the same size, written in place": () => addFiles(`${root}/tiny`, { "config.json": { b: 1 } }),
    "another file with the same time": () => {
      const { mtime } = Deno.statSync(`${root}/tiny/config.json`);
      addFiles(root, { "next.tmp": JSON.stringify({ c: 1 }) });
      Deno.utimeSync(`${root}/next.tmp`, mtime!, mtime!);
      Deno.renameSync(`${root}/next.tmp`, `${root}/tiny/config.json`);
    },
    "a file less": () => Deno.removeSync(`${root}/tiny/tokenizer.json`),
  };
  for (const [name, change] of Object.entries(changes)) {
    change();
    const next = await stamp();
    assertNotEquals(next, last, name);
    last = next;
  }
});

Deno.test("models: one that comes or goes is seen, also within a tick of the clock", async () => {
  const root = makeModels({});
  const { store } = storeOf(root);
  for (let i = 0; i < 20; i++) {
    addFiles(root, { [`m${i}/model.safetensors`]: WEIGHTS });
    assertEquals((await store.list()).length, i + 1);
  }
  Deno.removeSync(`${root}/m3`, { recursive: true });
  assertEquals((await store.list()).includes("m3"), false);
  assertEquals(await store.find("m3"), null);
});

Deno.test("models: looks at the disk at most as often as it is told to", async () => {
  const root = makeModels({ "a/model.safetensors": WEIGHTS });
  const { store } = storeOf(root, { rescanMilliseconds: 3_600_000 });
  assertEquals(await store.list(), ["a"]);
  addFiles(root, { "b/model.safetensors": WEIGHTS });
  assertEquals(await store.list(), ["a"]);
});

Deno.test("models: lastModified is that of the youngest file", async () => {
  const root = makeModels({ "tiny/model.safetensors": WEIGHTS, "tiny/config.json": {} });
  Deno.utimeSync(`${root}/tiny/model.safetensors`, 1000, 1000);
  Deno.utimeSync(`${root}/tiny/config.json`, 2000, 2000);
  assertEquals((await storeOf(root).store.find("tiny"))!.lastModified, new Date(2_000_000));
});

Deno.test("models: a SHA-256 is kept beside the file, and not of a file that changed meanwhile", async () => {
  const root = makeModels({ "tiny/model.safetensors": WEIGHTS });
  const { store } = storeOf(root);
  const file = `${root}/tiny/model.safetensors`;
  Deno.utimeSync(file, 1000, 1000);
  const model = (await store.find("tiny"))!;
  Deno.utimeSync(file, 1001, 1001);
  await model.keepSha256!("model.safetensors", SHA256);
  await assertRejects(() => Deno.stat(`${file}.sha256`), Deno.errors.NotFound);

  const again = (await store.find("tiny"))!;
  await again.keepSha256!("model.safetensors", SHA256);
  assertEquals(await Deno.readTextFile(`${file}.sha256`), `${SHA256}  model.safetensors\n`);
  const found = (await store.find("tiny"))!;
  assertEquals(found.stamp, again.stamp);
  assertEquals((await found.place.folder.list())[0]!.sha256, SHA256);
  await again.keepSha256!("not-there.safetensors", SHA256);
});

Deno.test("models: a folder that is not there is not_found; a broken one does not hide the others", async () => {
  const root = makeModels({ "a/model.safetensors": WEIGHTS, "b/model.safetensors": WEIGHTS });
  const error = await assertRejects(() => storeOf(`${root}/none`).store.list(), EtherError);
  assertEquals(error.code, "not_found");
  Deno.symlinkSync("loop", `${root}/loop`);
  assertEquals(await storeOf(root).store.list(), ["a", "b"]);
});

/** A model elsewhere of one revision. */
function remote(revision: string, pinned = false): OpenedReference {
  const folder: Folder = { name: "far", list: () => Promise.resolve([]), locate: (path) => `far/${path}` };
  return { place: { folder, file: null }, revision, pinned, identify: (path) => Promise.resolve(`of ${path}`) };
}

Deno.test("models: a reference is a model elsewhere, with the stamp of its file and revision", async () => {
  const root = makeModels({
    "far.json": { source: "hf://org/name@v1" },
    "org/away.json": { source: "https://a.example/m" },
  });
  const asked: string[] = [];
  const followReference = (source: string) => {
    asked.push(source);
    return Promise.resolve(remote("r1", true));
  };
  const { store } = storeOf(root, { followReference });
  assertEquals(await store.list(), ["far", "org/away"]);
  assertEquals(asked, []);
  const model = (await store.find("far"))!;
  assertEquals([model.local, await model.identify!("x"), asked], [false, "of x", ["hf://org/name@v1"]]);
  assertEquals((await store.find("far"))!.stamp, model.stamp);
  assertEquals(asked.length, 1, "a pinned revision is asked for once");
  addFiles(root, { "far.json": { source: "hf://org/name@v22" } });
  assertNotEquals((await store.find("far"))!.stamp, model.stamp);
  assertEquals(asked.at(-1), "hf://org/name@v22");
});

Deno.test("models: a movable revision is asked for again; while nobody answers, the last one stays", async () => {
  const root = makeModels({ "far.json": { source: "hf://org/name" } });
  const answers = [() => remote("r1"), () => remote("r2"), () => Promise.reject(new EtherError("io_error", "down"))];
  let calls = 0;
  const { store, notices } = storeOf(root, {
    refreshMilliseconds: 0,
    followReference: async () => await answers[calls++]!(),
  });
  const first = (await store.find("far"))!.stamp;
  const second = (await store.find("far"))!.stamp;
  assertNotEquals(first, second);
  assertEquals((await store.find("far"))!.stamp, second);
  // A host that is down is left in peace for a while.
  assertEquals((await store.find("far"))!.stamp, second);
  assertEquals(calls, 3);
  assertEquals(notices, ["far: io_error: down"]);
});

Deno.test("models: requests that come together ask once", async () => {
  const root = makeModels({ "far.json": { source: "hf://org/name" } });
  let calls = 0;
  const followReference = async () => {
    calls++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    return remote("r1");
  };
  const { store } = storeOf(root, { followReference });
  await Promise.all(Array.from({ length: 8 }, () => store.find("far")));
  assertEquals(calls, 1);
});

Deno.test("models: without an allowed host a reference is a model that fails, and says what to allow", async () => {
  const root = makeModels({ "far.json": { source: "hf://org/name" } });
  const error = await assertRejects(() => storeOf(root).store.find("far"), EtherError);
  assertEquals(error.code, "unsupported");
  assertMatch(error.hint!, /ETHER_ALLOW_HOSTS/);
});

const BAD_REFERENCES: Readonly<Record<string, Content>> = {
  "no object": "[]",
  "no source": {},
  "another field": { source: "hf://a/b", revision: "main" },
  "a path": { source: "/etc/passwd" },
  "another scheme": { source: "ftp://host/x" },
  "a file URL": { source: "file:///etc" },
  "a password": { source: "https://user:word@host.example/x" },
  "a bad repository": { source: "hf://a/b/c" },
  "broken JSON": '{"source":',
  "a key twice": '{"source": "hf://a/b", "source": "hf://c/d"}',
  "too much": `{"source": "hf://a/b"}${" ".repeat(70_000)}`,
};

for (const [name, content] of Object.entries(BAD_REFERENCES)) {
  Deno.test(`models: a reference with ${name} is left out, and said`, async () => {
    const root = makeModels({ "bad.json": content, "good/model.safetensors": WEIGHTS });
    const { store, notices } = storeOf(root);
    assertEquals(await store.list(), ["good"]);
    assertEquals(notices.length, 1);
    assert(notices[0]!.startsWith("left out: bad_config: "), notices[0]);
  });
}
