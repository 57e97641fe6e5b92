import { assertEquals, assertRejects } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { readAll } from "../../../runtime/io/source.ts";
import { AdapterSnapshots, snapshotOf } from "../../../runtime/repositories/snapshots.ts";
import { MemoryAdapters } from "./memory_stores.ts";

const filesOf = (value: number, length = 100) => new Map([["x", new Uint8Array(length).fill(value)]]);

function makeStore() {
  const store = new MemoryAdapters();
  for (const id of ["a", "b", "c"]) store.set(id, filesOf(id.charCodeAt(0)));
  const snapshots = new AdapterSnapshots(store, { maxAdapterBytes: 150, adapterBytes: 200 });
  return { store, snapshots };
}

Deno.test("AdapterSnapshots: a locator opens the bytes that it was made of, or nothing", async () => {
  const { store, snapshots } = makeStore();
  const a = (await snapshots.read("a"))!;
  const locator = snapshots.place(a).folder.locate("x");
  assertEquals(AdapterSnapshots.isLocator(locator), true);
  const read = async () => await readAll(await snapshots.openSource(locator));
  assertEquals(await read(), a.files.get("x"));
  store.set("a", filesOf(1));
  // Still at hand.
  assertEquals(await read(), a.files.get("x"));
  await snapshots.read("b");
  await snapshots.read("c");
  assertEquals((await assertRejects(read, EtherError)).code, "io_error");
  store.set("a", filesOf("a".charCodeAt(0)));
  assertEquals(await read(), a.files.get("x"));
  assertEquals(
    (await assertRejects(async () => await snapshots.openSource(`${locator}y`), EtherError)).code,
    "not_found",
  );
});

Deno.test("AdapterSnapshots: what is held stays, whatever else is read", async () => {
  const { store, snapshots } = makeStore();
  const a = (await snapshots.read("a"))!;
  const releases = [snapshots.hold(a), snapshots.hold(a)];
  store.adapters.delete("a");
  for (const id of ["b", "c", "b", "c"]) await snapshots.read(id);
  assertEquals((await snapshots.find("a", a.key)).files, a.files);
  releases[0]!();
  releases[0]!();
  for (const id of ["b", "c"]) await snapshots.read(id);
  assertEquals((await snapshots.find("a", a.key)).files, a.files);
  releases[1]!();
  for (const id of ["b", "c"]) await snapshots.read(id);
  assertEquals((await assertRejects(() => snapshots.find("a", a.key), EtherError)).code, "io_error");
});

Deno.test("AdapterSnapshots: too_large is too large; nobody is null", async () => {
  const { store, snapshots } = makeStore();
  store.set("d", filesOf(1, 151));
  assertEquals((await assertRejects(() => snapshots.read("d"), EtherError)).code, "too_large");
  assertEquals(await snapshots.read("e"), null);
});

Deno.test("snapshotOf: paths, bytes and the folder's own name make the key, their order does not", async () => {
  const key = async (files: [string, number][], ownName?: string) => {
    const map = new Map(files.map(([path, value]) => [path, new Uint8Array([value])]));
    return (await snapshotOf({ id: "a", stamp: "", files: map, ownName })).key;
  };
  const keys = await Promise.all([
    ...[key([["x", 1], ["y", 2]]), key([["x", 2], ["y", 1]]), key([["x", 1]]), key([["x", 1], ["z", 2]])],
    key([["x", 1], ["y", 2]], "name"),
  ]);
  assertEquals(new Set(keys).size, 5);
  assertEquals(await key([["y", 2], ["x", 1]]), keys[0]);
});
