/** A base on the disk that changes under a server: the bytes that an ETag promises, or an error; never others. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { fileStorage } from "../../../runtime/deno/merge_folder.ts";
import { AdapterFolder } from "../../../runtime/deno/adapter_folder.ts";
import { FileFolder } from "../../../runtime/deno/file_folder.ts";
import { lookAt } from "../../../runtime/deno/file_mark.ts";
import { ModelFolder, type ModelFolderOptions } from "../../../runtime/deno/model_folder.ts";
import { writeSidecar } from "../../../runtime/deno/sidecar.ts";
import { EtherError } from "../../../runtime/error.ts";
import { sha256Hex } from "../../../runtime/io/digest.ts";
import { Repositories } from "../../../runtime/repositories/repositories.ts";
import type { Repository } from "../../../runtime/repositories/repository.ts";
import { adapterFiles } from "../repositories/made_adapter.ts";
import { addFiles, makeFolder, tensorFile } from "../../commands/made_files.ts";

const FILE = "model.safetensors";
const NAME = "model.layers.0.mlp.up_proj.weight";
/** Long enough that none of these tests ends within it. */
const LONG = 3_600_000;
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** A model of a tensor `[8192, 256]`, 4 MiB: several pieces. */
function weights(seed: number): Uint8Array<ArrayBuffer> {
  const halves = Uint16Array.from({ length: 8192 * 256 }, (_, i) => 0x3f80 | (i * 37 + seed * 11) & 0x7f);
  const bytes = new Uint8Array(halves.buffer);
  return tensorFile({ [NAME]: { dtype: "BF16", shape: [8192, 256], bytes } });
}

const OLD = weights(1);
const NEW = weights(2);

/** Sketches of the whole tensor are what its rows are changed by. */
const OUTPUT_SIDE = adapterFiles({ sides: ["out"], num_blocks: 1, layout: "paper" }, {
  [`base_model.${NAME.replace(/weight$/, "ether_u_out")}`]: { dtype: "F32", shape: [1, 8192] },
});

/** A folder with the model `m`, whose file is `OLD`. */
function makeModels(): { root: string; file: string } {
  const root = makeFolder({ [`m/${FILE}`]: OLD, "m/config.json": { model_type: "llama" } }, "models");
  return { root, file: `${root}/m/${FILE}` };
}

async function open(root: string, options: ModelFolderOptions = {}): Promise<Repositories> {
  const models = new ModelFolder(root, { keepDigests: false, ...options });
  const adapters = new AdapterFolder(makeFolder(Object.fromEntries(
    [...OUTPUT_SIDE].map(([path, bytes]) => [`out/${path}`, bytes]),
  )));
  const repositories = new Repositories({ models, adapters, storage: fileStorage });
  await repositories.start();
  assertEquals(repositories.state.failed, []);
  return repositories;
}

/** Writes beside and renames; what was there is kept at `<file>.old`. */
function replace(file: string, bytes: Uint8Array): void {
  Deno.writeFileSync(`${file}.new`, bytes);
  Deno.linkSync(file, `${file}.old`);
  Deno.renameSync(`${file}.new`, file);
}

function stream(repository: Repository): ReadableStream<Uint8Array<ArrayBuffer>> {
  const file = repository.file(FILE)!;
  return repository.stream(file, { start: 0, end: file.size });
}

const read = (repository: Repository) => new Response(stream(repository)).bytes();

async function assertChanged(reading: Promise<unknown>): Promise<void> {
  const error = await assertRejects(() => reading, EtherError);
  assertEquals([error.code, error.message], ["io_error", "it changed while it was served"]);
}

/** Until the clock of the disk has gone on: what is written then has another time. */
async function nextTick(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Until it is another second of the clock. */
async function nextSecond(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 1020 - Date.now() % 1000));
}

for (const revision of ["main", "out"]) {
  Deno.test(`a base that was replaced a moment ago: ${revision} gives none of the new bytes`, async () => {
    const { root, file } = makeModels();
    await using repositories = closing(await open(root, { rescanMilliseconds: LONG }));
    const base = (await repositories.base("m"))!;
    const served = (await repositories.revision(base, revision))!;
    // A handle that stays open from before is no other case.
    const first = await read(served);
    replace(file, NEW);
    await assertChanged(read(served));
    await assertChanged(read(served));
    // The same file again; only the time at which it was put here is another.
    Deno.renameSync(`${file}.old`, file);
    await using again = closing(await open(root));
    const same = (await again.revision((await again.base("m"))!, revision))!;
    assertEquals(same.commit, served.commit);
    assert(equal(await read(same), first));
  });
}

Deno.test("a sketch of a base that was replaced a moment ago is not kept for the old one", async () => {
  const { root, file } = makeModels();
  await using other = closing(await open(root));
  const expected = await read((await other.revision((await other.base("m"))!, "out"))!);
  await using repositories = closing(await open(root, { rescanMilliseconds: 500 }));
  const served = (await repositories.revision((await repositories.base("m"))!, "out"))!;
  // A look that is relied on for a while yet.
  await new Promise((resolve) => setTimeout(resolve, 600));
  await repositories.base("m");
  replace(file, NEW);
  await read(served).catch(() => null);
  Deno.renameSync(`${file}.old`, file);
  // Until the server has seen the old base again.
  for (let tries = 0;; tries++) {
    assert(tries < 500, "it does not come back");
    await nextTick();
    const base = await repositories.base("m").catch(() => null);
    const again = base === null ? null : await repositories.revision(base, "out").catch(() => null);
    const bytes = again === null || again.commit !== served.commit ? null : await read(again).catch(() => null);
    if (bytes === null) continue;
    assert(equal(bytes, expected), "bytes of another base");
    break;
  }
  // A handle of a pooled engine, and a plan of the first opening, find the file again too.
  assert(equal(await read(served), expected));
});

for (const revision of ["main", "out"]) {
  Deno.test(`a base that is written in place under a stream cuts it: ${revision}`, async () => {
    const { root, file } = makeModels();
    await using repositories = closing(await open(root, { rescanMilliseconds: LONG }));
    const served = (await repositories.revision((await repositories.base("m"))!, revision))!;
    const expected = await read(served);
    const reader = stream(served).getReader();
    let at = 0;
    const next = async () => {
      const { value } = await reader.read();
      if (value === undefined) return false;
      assert(equal(value, expected.subarray(at, at + value.byteLength)), `another byte after ${at}`);
      at += value.byteLength;
      return true;
    };
    await next();
    await nextTick();
    using handle = Deno.openSync(file, { write: true });
    handle.seekSync(NEW.byteLength >> 1, Deno.SeekMode.Start);
    handle.writeSync(NEW.subarray(NEW.byteLength >> 1));
    await assertChanged((async () => {
      while (await next());
    })());
  });
}

Deno.test("a base that is cut short under a stream is a changed one", async () => {
  const { root, file } = makeModels();
  await using repositories = closing(await open(root, { rescanMilliseconds: LONG }));
  const reader = stream((await repositories.base("m"))!).getReader();
  await reader.read();
  Deno.truncateSync(file, 100);
  await assertChanged((async () => {
    while (!(await reader.read()).done);
  })());
});

Deno.test("a base whose file is only touched goes on being served, by a handle from before too", async () => {
  const { root, file } = makeModels();
  await using repositories = closing(await open(root, { rescanMilliseconds: 0 }));
  const served = (await repositories.revision((await repositories.base("m"))!, "out"))!;
  const expected = await read(served);
  Deno.utimeSync(file, 1000, 1000);
  await repositories.start();
  assert(equal(await read(served), expected));
  replace(file, OLD);
  Deno.removeSync(`${file}.old`);
  await repositories.start();
  assert(equal(await read(served), expected));
});

Deno.test("a Hub cache's blob that is another than was listed is not served", async () => {
  const blob = await sha256Hex(OLD);
  const cache = "models--org--name";
  const root = makeFolder({ [`${cache}/refs/main`]: COMMIT, [`${cache}/blobs/${blob}`]: OLD }, "hub");
  addFiles(root, { [`${cache}/snapshots/${COMMIT}/config.json`]: { model_type: "llama" } });
  const link = `${root}/${cache}/snapshots/${COMMIT}/${FILE}`;
  Deno.symlinkSync(`../../blobs/${blob}`, link);
  await using repositories = closing(await open(root, { rescanMilliseconds: LONG }));
  const base = (await repositories.base("org/name"))!;
  assert(equal(await read(base), OLD));
  replace(`${root}/${cache}/blobs/${blob}`, NEW);
  await assertChanged(read(base));
  Deno.renameSync(`${root}/${cache}/blobs/${blob}.old`, `${root}/${cache}/blobs/${blob}`);
  addFiles(root, { [`${cache}/blobs/other`]: NEW });
  Deno.removeSync(link);
  Deno.symlinkSync("../../blobs/other", link);
  await assertChanged(read(base));
});

Deno.test("a digest is not computed of a file that has been replaced since it was listed", async () => {
  const { root, file } = makeModels();
  const models = new ModelFolder(root, { rescanMilliseconds: LONG, keepDigests: false });
  const adapters = { list: () => Promise.resolve([]), read: () => Promise.resolve(null) };
  await models.find("m");
  replace(file, NEW);
  const repositories = new Repositories({ models, adapters, storage: fileStorage });
  await repositories.start();
  assertEquals(repositories.state.failed.map(({ error }) => error.message), ["it changed while it was served"]);
  await repositories.close();
});

Deno.test("a sidecar is not believed of an older file that was moved over its own, nor of one that a link came to", async () => {
  const { root, file } = makeModels();
  const known = async () => (await new FileFolder("m", `${root}/m`).list()).find(({ path }) => path === FILE)!.sha256;
  const digest = await sha256Hex(OLD);
  await writeSidecar(file, digest);
  assertEquals(await known(), digest);
  // Within the second in which the sidecar was written, and with times that are older.
  replace(file, NEW);
  Deno.utimeSync(file, 1000, 1000);
  assertEquals(await known(), undefined);

  addFiles(root, { "m/v1": OLD, "m/v2": NEW });
  Deno.removeSync(file);
  Deno.symlinkSync("v1", file);
  await writeSidecar(file, digest);
  assertEquals(await known(), digest);
  Deno.removeSync(file);
  Deno.symlinkSync("v2", file);
  assertEquals(await known(), undefined);
});

Deno.test("a sidecar of a file that is replaced while it is written is taken back", async () => {
  const { root, file } = makeModels();
  const mark = lookAt(file)!.mark;
  const writing = writeSidecar(file, await sha256Hex(OLD), mark);
  replace(file, NEW);
  assertEquals((await assertRejects(() => writing, EtherError)).code, "io_error");

  // Between the rename of the sidecar and the last look.
  const rename = Deno.rename;
  const now = lookAt(file)!.mark;
  Deno.removeSync(`${file}.old`);
  try {
    Deno.rename = async (from, to) => {
      await rename(from, to);
      replace(file, OLD);
    };
    assertEquals((await assertRejects(() => writeSidecar(file, "0".repeat(64), now), EtherError)).code, "io_error");
  } finally {
    Deno.rename = rename;
  }
  assertEquals([...Deno.readDirSync(`${root}/m`)].filter(({ name }) => name.includes("sha256")), []);
});

Deno.test("a manifest's digest counts for files that are older than it, and for no other", async () => {
  const { root, file } = makeModels();
  const lie = "ab".repeat(32);
  const outputs = [{ path: FILE, size: OLD.byteLength, digest: `sha256:${lie}` }];
  await nextSecond();
  addFiles(root, { "m/ether-merge.json": { version: 1, outputs } });
  const etag = async () => {
    const repositories = await open(root);
    const base = (await repositories.base("m"))!;
    await repositories.close();
    return base.file(FILE)!.etag;
  };
  assertEquals(await etag(), lie);
  replace(file, NEW);
  Deno.utimeSync(file, 1000, 1000);
  assertEquals(await etag(), await sha256Hex(NEW));
});

Deno.test("the mark of an open file is that of its path, and both change with a write and with a rename", async () => {
  const file = `${makeFolder({ x: "1" })}/x`;
  const source = await fileStorage.openSource(file);
  const before = source.mark!();
  assertEquals(lookAt(file)!.mark, before);
  await nextTick();
  Deno.writeTextFileSync(file, "2");
  assertNotEquals(source.mark!(), before);
  assertEquals(lookAt(file)!.mark, source.mark!());
  Deno.writeTextFileSync(`${file}2`, "2");
  Deno.renameSync(`${file}2`, file);
  assertNotEquals(lookAt(file)!.mark, source.mark!());
  source.close();
});

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}

/** Closed when the test is over, however it ends. */
function closing(repositories: Repositories): Repositories & AsyncDisposable {
  return Object.assign(repositories, { [Symbol.asyncDispose]: () => repositories.close() });
}
