import { assertEquals, assertRejects } from "@std/assert";
import { openFileSource } from "../../../runtime/deno/file_source.ts";
import { readSnapshot } from "../../../runtime/deno/snapshot.ts";
import { EtherError } from "../../../runtime/error.ts";
import type { ByteSource } from "../../../runtime/io/source.ts";
import { makeFolder } from "../../commands/made_files.ts";

const LIMIT = 1000;

/** Two files of one letter, written long ago. */
function makeFiles(letter: string): ReadonlyMap<string, string> {
  const root = makeFolder({ one: letter.repeat(8), two: letter.repeat(8) });
  const paths = new Map([["one", `${root}/one`], ["two", `${root}/two`]]);
  for (const path of paths.values()) Deno.utimeSync(path, 1000, 1000);
  return paths;
}

/** Opens files; `interfere` is called before the n-th read. */
function opener(interfere: (read: number) => void): (path: string) => ByteSource {
  let reads = 0;
  return (path) => {
    const source = openFileSource(path);
    return {
      ...{ name: source.name, size: source.size },
      read(offset, into) {
        interfere(reads++);
        return source.read(offset, into);
      },
      close: () => source.close(),
    };
  };
}

async function read(paths: ReadonlyMap<string, string>, interfere: (read: number) => void): Promise<string[]> {
  const { files } = await readSnapshot(paths, LIMIT, "files", opener(interfere));
  return [...files.values()].map((bytes) => new TextDecoder().decode(bytes));
}

const CHANGES: Readonly<Record<string, (path: string) => void>> = {
  "written in place with the same size": (path) => Deno.writeTextFileSync(path, "b".repeat(8)),
  "made shorter": (path) => Deno.writeTextFileSync(path, "b"),
  "made longer": (path) => Deno.writeTextFileSync(path, "b".repeat(9)),
  "replaced by another": (path) => {
    Deno.writeTextFileSync(`${path}.next`, "b".repeat(8));
    Deno.utimeSync(`${path}.next`, 1000, 1000);
    Deno.renameSync(`${path}.next`, path);
  },
};

for (const [name, change] of Object.entries(CHANGES)) {
  for (const at of [0, 1]) {
    Deno.test(`snapshot: files that are ${name} before read ${at} are read again`, async () => {
      const paths = makeFiles("a");
      const contents = await read(paths, (count) => {
        if (count === at) { for (const path of paths.values()) change(path); }
      });
      assertEquals(contents, [...paths.values()].map((path) => Deno.readTextFileSync(path)));
      assertEquals(contents[0]!.includes("a"), false);
    });
  }
}

Deno.test("snapshot: a file that was written just now is read later: its clock may not show the next write", async () => {
  const paths = makeFiles("a");
  const path = paths.get("one")!;
  const now = new Date();
  const write = (letter: string) => {
    Deno.writeTextFileSync(path, letter.repeat(8));
    Deno.utimeSync(path, now, now);
  };
  write("b");
  const contents = await read(paths, (count) => {
    if (count === 1) write("c");
  });
  assertEquals(contents[0], "c".repeat(8));
});

Deno.test("snapshot: files that change with each read are busy", async () => {
  const paths = makeFiles("a");
  const work = read(paths, () => Deno.writeTextFileSync(paths.get("one")!, "x"));
  assertEquals((await assertRejects(() => work, EtherError)).code, "busy");
});

Deno.test("snapshot: more bytes than the limit are too_large before they are read", async () => {
  const paths = makeFiles("a");
  Deno.truncateSync(paths.get("two")!, LIMIT - 7);
  let reads = 0;
  const error = await assertRejects(() => read(paths, () => void reads++), EtherError);
  assertEquals([error.code, reads], ["too_large", 1]);
});

Deno.test("snapshot: a file that is gone is not_found", async () => {
  const paths = makeFiles("a");
  Deno.removeSync(paths.get("two")!);
  assertEquals((await assertRejects(() => read(paths, () => {}), EtherError)).code, "not_found");
});
