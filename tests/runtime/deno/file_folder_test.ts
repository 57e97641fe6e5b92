import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FileFolder, openPlace } from "../../../runtime/deno/file_folder.ts";
import { FileSink } from "../../../runtime/deno/file_sink.ts";
import { FileSource } from "../../../runtime/deno/file_source.ts";
import { ioError } from "../../../runtime/deno/io_error.ts";
import { writeSidecar } from "../../../runtime/deno/sidecar.ts";
import { EtherError } from "../../../runtime/error.ts";
import { addFiles, makeFolder, newPath } from "../../commands/made_files.ts";

async function pathsOf(path: string): Promise<string[]> {
  return (await (await openPlace(path)).folder.list()).map((entry) => entry.path);
}

Deno.test("FileFolder lists regular files, sorted, without what begins with a dot or leads out", async () => {
  const folder = makeFolder({ "b": "", "a/z": "", "a/y": "", ".git/x": "", "a/.x": "", "B": "" });
  Deno.symlinkSync("b", `${folder}/inner`);
  Deno.symlinkSync(makeFolder({ secret: "" }), `${folder}/outer-folder`);
  Deno.symlinkSync(`${makeFolder({ secret: "" })}/secret`, `${folder}/outer`);
  Deno.symlinkSync("nowhere", `${folder}/dangling`);
  Deno.symlinkSync("loop", `${folder}/loop`);
  assertEquals(await pathsOf(folder), ["B", "a/y", "a/z", "b", "inner"]);
});

Deno.test("openPlace of one file sees that file and its configs, and no other neighbour", async () => {
  const folder = makeFolder({ "x.safetensors": "1234", "config.json": "{}", "adapter_config.json": "{}", "other": "" });
  const { folder: place, file } = await openPlace(`${folder}/x.safetensors`, "given/x.safetensors");
  assertEquals([file, place.name], ["x.safetensors", "given"]);
  const entries = await place.list();
  assertEquals(entries.map(({ path, size }) => [path, size]), [
    ["adapter_config.json", 2],
    ["config.json", 2],
    ["x.safetensors", 4],
  ]);
});

Deno.test("openPlace follows a link that the user named, wherever it leads; its folder is the link's own", async () => {
  const target = `${makeFolder({ "real.bin": "12345", "config.json": "{}" })}/real.bin`;
  const folder = makeFolder({});
  Deno.symlinkSync(target, `${folder}/x.safetensors`);
  const { folder: place, file } = await openPlace(`${folder}/x.safetensors`);
  assertEquals([file, (await place.list()).map(({ path }) => path)], ["x.safetensors", ["x.safetensors"]]);
});

Deno.test("openPlace of one file follows its configs' links, as it does the file's", async () => {
  const target = makeFolder({ "real.bin": "12345", "config.json": '{"x":1}' });
  const folder = makeFolder({});
  Deno.symlinkSync(`${target}/real.bin`, `${folder}/x.safetensors`);
  Deno.symlinkSync(`${target}/config.json`, `${folder}/config.json`);
  const { folder: place } = await openPlace(`${folder}/x.safetensors`);
  assertEquals((await place.list()).map(({ path, size }) => [path, size]), [["config.json", 7], ["x.safetensors", 5]]);
});

Deno.test("a config that is a link to nothing, or of a folder to the outside, is refused and not passed over", async () => {
  const dangling = makeFolder({ "x.safetensors": "1" });
  Deno.symlinkSync("nowhere", `${dangling}/config.json`);
  const outer = makeFolder({ "x.safetensors": "1" });
  Deno.symlinkSync(`${makeFolder({ "config.json": "{}" })}/config.json`, `${outer}/config.json`);
  for (const path of [`${dangling}/x.safetensors`, dangling, outer]) {
    const { folder } = await openPlace(path);
    const error = await assertRejects(() => folder.list(), EtherError);
    assertEquals([error.code, error.file], ["not_found", `${folder.name}/config.json`]);
  }
});

Deno.test("openPlace of a Hub cache's repository is the snapshot of refs/main, if there is one", async () => {
  const commit = "a".repeat(40);
  const root = makeFolder({ "refs/main": `${commit}\n`, [`snapshots/${commit}/config.json`]: "{}" }, "models--o--n");
  assertEquals(await pathsOf(root), ["config.json"]);
  addFiles(root, { "refs/main": "../../../etc" });
  assertEquals(await pathsOf(root), ["refs/main", `snapshots/${commit}/config.json`]);
});

Deno.test("a blob's name is a file's SHA-256 only in a Hub cache's blobs", async () => {
  const digest = "b".repeat(64);
  const cache = makeFolder({ [`blobs/${digest}`]: "x", "snapshots/main/x": "", [`snapshots/main/${digest}`]: "x" });
  const snapshot = `${cache}/snapshots/main`;
  Deno.symlinkSync(`../../blobs/${digest}`, `${snapshot}/weights`);
  const entries = await new FileFolder("cache", snapshot).list();
  assertEquals(entries.map(({ path, sha256 }) => [path, sha256]), [
    [digest, undefined],
    ["weights", digest],
    ["x", undefined],
  ]);
});

Deno.test("a subfolder of a Hub cache's snapshot has its files and its config in the blobs too", async () => {
  const digest = "b".repeat(64);
  const cache = makeFolder({ [`blobs/${digest}`]: "x", "snapshots/main/x": "", "snapshots/main/unet/deep/x": "" });
  for (const [depth, folder] of [["../../..", "unet"], ["../../../..", "unet/deep"]]) {
    for (const name of ["model.safetensors", "config.json"]) {
      Deno.symlinkSync(`${depth}/blobs/${digest}`, `${cache}/snapshots/main/${folder}/${name}`);
    }
  }
  const unet = `${cache}/snapshots/main/unet`;
  assertEquals(await pathsOf(unet), [
    ...["config.json", "deep/config.json", "deep/model.safetensors", "deep/x", "model.safetensors"],
  ]);
  assertEquals(await pathsOf(`${unet}/deep`), ["config.json", "model.safetensors", "x"]);
  assertEquals(await pathsOf(`${unet}/deep/model.safetensors`), ["config.json", "model.safetensors"]);
});

Deno.test("a sidecar counts only while it is newer than its file and reads as sha256sum's", async () => {
  const digest = "c".repeat(64);
  const folder = makeFolder({ "w.safetensors": "x" });
  const sidecar = `${folder}/w.safetensors.sha256`;
  const known = async () =>
    (await new FileFolder("f", folder).list()).find(({ path }) => !/sha256$/.test(path))!.sha256;
  assertEquals(await known(), undefined);
  Deno.utimeSync(`${folder}/w.safetensors`, 1000, 1000);
  await writeSidecar(`${folder}/w.safetensors`, digest);
  assertEquals(Deno.readTextFileSync(sidecar), `${digest}  w.safetensors\n`);
  assertEquals(await known(), digest);
  Deno.utimeSync(sidecar, 1000, 1000);
  assertEquals(await known(), undefined);
  for (const text of ["", "no digest", digest.slice(1), `${digest}00  w`, digest.toUpperCase()]) {
    Deno.writeTextFileSync(sidecar, text);
    assertEquals(await known(), undefined, text);
  }
});

Deno.test("FileSource reads any range, says where a file ends too early, and that there is none", () => {
  const path = `${makeFolder({ x: "0123456789" })}/x`;
  const source = new FileSource(path);
  const into = new Uint8Array(4);
  source.read(3, into);
  assertEquals([source.size, new TextDecoder().decode(into)], [10, "3456"]);
  const error = assertThrows(() => source.read(8, into), EtherError);
  assertEquals([error.code, error.message], ["io_error", "ends at byte 10, before byte 12"]);
  source.close();
  assertEquals(assertThrows(() => new FileSource(`${path}y`), EtherError).code, "not_found");
});

Deno.test("FileSink writes at any place of a file that is there, and makes none", () => {
  const path = `${makeFolder({ x: "0123456789" })}/x`;
  const sink = new FileSink(path);
  sink.write(8, new TextEncoder().encode("ABCD"));
  sink.write(0, new TextEncoder().encode("E"));
  sink.close();
  assertEquals(Deno.readTextFileSync(path), "E1234567ABCD");
  assertEquals(assertThrows(() => new FileSink(newPath()), EtherError).code, "not_found");
});

const SYSTEM: readonly (readonly [error: unknown, code: string])[] = [
  [Object.assign(new Error("x"), { code: "ENOENT" }), "not_found"],
  [Object.assign(new Error("x"), { code: "ENOTDIR" }), "not_found"],
  [new Deno.errors.NotFound("x"), "not_found"],
  [Object.assign(new Error("x"), { code: "ENOSPC" }), "no_space"],
  [Object.assign(new Error("x"), { code: "EDQUOT" }), "no_space"],
  [Object.assign(new Error("x"), { code: "EACCES" }), "io_error"],
  [new Deno.errors.PermissionDenied("x"), "io_error"],
  [new EtherError("bad_header", "x"), "bad_header"],
  ["text", "io_error"],
];

for (const [error, code] of SYSTEM) {
  Deno.test(`ioError: ${error instanceof Error ? (error as { code?: string }).code ?? error.name : error} is ${code}`, () => {
    assertEquals(ioError(error, "f").code, code as never);
  });
}

Deno.test("a folder that cannot be listed is refused by its name", async () => {
  const error = await assertRejects(() => new FileFolder("gone", newPath()).list(), EtherError);
  assertEquals([error.code, error.file], ["not_found", "gone/"]);
});
