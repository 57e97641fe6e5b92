/** The bytes of repositories: those of the command line's merge, in any ranges, and nothing else. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { EtherError } from "../../../runtime/error.ts";
import { Repositories, type RepositoriesOptions } from "../../../runtime/repositories/repositories.ts";
import type { Repository, RepositoryFile } from "../../../runtime/repositories/repository.ts";
import { mergeFixture } from "../../fixtures/merge_fixture.ts";
import { type MadeTensor, tensorFile } from "../../commands/made_files.ts";
import { adapterFiles, baseFiles } from "./made_adapter.ts";
import { llamaStores, MemoryAdapters, MemoryModels } from "./memory_stores.ts";

const SHARD = "model-00001-of-00003.safetensors";
const CHUNK_BYTES = 1 << 20;

async function open(
  { models, adapters }: { models: MemoryModels; adapters: MemoryAdapters },
  options: Partial<RepositoriesOptions> = {},
) {
  const repositories = new Repositories({ models, adapters, storage: models.storage, ...options });
  await repositories.start();
  const [id] = await models.list();
  return { repositories, base: (await repositories.base(id!))! };
}

function bytesOf(repository: Repository, file: RepositoryFile, start = 0, end = file.size) {
  return new Response(repository.stream(file, { start, end })).bytes();
}

for (const [name, folder] of [["poet", "etherplus"], ["brief", "ether"]] as const) {
  Deno.test(`every file of ${name} is what the command line's merge writes`, async () => {
    const output = await mergeFixture(folder);
    const { repositories, base } = await open(llamaStores());
    const repository = (await repositories.revision(base, name))!;
    const written = [...Deno.readDirSync(output)].map((entry) => entry.name).filter((one) =>
      one !== "ether-merge.json"
    );
    assertEquals(repository.files.map(({ path }) => path), written.sort());
    for (const file of repository.files) {
      assertEquals(await bytesOf(repository, file), Deno.readFileSync(`${output}/${file.path}`), file.path);
    }
  });
}

Deno.test("the parts of any split of a merged file concatenate to the whole, with any number of engines", async () => {
  const stores = llamaStores();
  const few = await open(stores, { limits: { engines: 1, sketchBytes: 0 } });
  const many = await open(stores);
  const recipes = ["poet", "brief@-0.5", "poet@0.3+brief", "brief+poet+brief@2"];
  const wholes = new Map<string, Uint8Array>();
  for (const recipe of recipes) {
    const repository = (await few.repositories.revision(few.base, recipe))!;
    wholes.set(recipe, await bytesOf(repository, repository.file(SHARD)!));
  }
  assertEquals(new Set([...wholes.values()].map((bytes) => bytes.toHex())).size, recipes.length);
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...recipes), cuts, fc.boolean(), async (recipe, fractions, one) => {
      const { repositories, base } = one ? few : many;
      const repository = (await repositories.revision(base, recipe))!;
      const file = repository.file(SHARD)!;
      const whole = wholes.get(recipe)!;
      const borders = [0, ...fractions.map((x) => Math.floor(x * file.size)).sort((a, b) => a - b), file.size];
      // All at the same time.
      await Promise.all(
        borders.slice(1).map(async (end, i) => {
          const start = borders[i]!;
          assertEquals(await bytesOf(repository, file, start, end), whole.subarray(start, end), `${start} to ${end}`);
        }),
      );
    }),
    { numRuns: 40 },
  );
  assertEquals(stores.models.openCount <= 8, true, `${stores.models.openCount} files are open`);
  await few.repositories.close();
  await many.repositories.close();
  assertEquals(stores.models.openCount, 0);
});

/** One large matrix, and adapters that sum its columns. */
function largeStores(dtype: "F32" | "BF16" = "BF16") {
  const models = new MemoryModels();
  const adapters = new MemoryAdapters();
  const tensors = {
    "model.layers.0.a.weight": { dtype, shape: [2048, 1024] },
    "model.layers.1.a.weight": { dtype, shape: [2048, 1024] },
    "model.norm.weight": { dtype, shape: [8] },
  } as const;
  models.models.set("base", new Map([["model.safetensors", tensorFile(tensors)]]));
  const made = (numBlocks: number): Record<string, MadeTensor> => ({
    "base_model.model.model.layers.0.a.ether_u_out": { dtype: "F32", shape: [numBlocks, 2048 / numBlocks] },
    "base_model.model.model.layers.1.a.ether_u_out": { dtype: "F32", shape: [numBlocks, 2048 / numBlocks] },
  });
  for (const numBlocks of [1, 4, 32]) {
    adapters.set(`out${numBlocks}`, adapterFiles({ sides: ["out"], num_blocks: numBlocks }, made(numBlocks)));
  }
  return { models, adapters };
}

Deno.test("a range deep in a file reads what it is long, and each group that it touches once", async () => {
  for (const [numBlocks, chain] of [[1, "out1"], [4, "out4"], [32, "out32"], [1, "out1+out4"]] as const) {
    const stores = largeStores();
    const { repositories, base } = await open(stores);
    const repository = (await repositories.revision(base, chain))!;
    const file = repository.file("model.safetensors")!;
    const count = stores.models.reads.get("base\nmodel.safetensors")!;
    const read = async (start: number, length: number) => {
      const before = count.byteLength;
      await bytesOf(repository, file, start, start + length);
      return count.byteLength - before;
    };
    const matrix = 2048 * 1024 * 2;
    const stages = chain.split("+").length;
    const first = await read(matrix + 100_000, 100_000);
    assert(first <= stages * matrix / numBlocks + 400_000, `${chain}: ${first} bytes were read`);
    const again = await read(matrix + 150_000, 100_000);
    const resident = numBlocks === 32 ? matrix / 32 : 0;
    assert(again <= 110_000 + 2 * resident, `${chain}: ${again} bytes were read the second time`);
  }
});

Deno.test("nothing is opened before the first pull, pieces have at most 1 MiB, and the last byte closes all", async () => {
  const stores = largeStores();
  const { repositories, base } = await open(stores, { limits: { engines: 1 } });
  const merged = (await repositories.revision(base, "out4"))!;
  for (const repository of [base, merged]) {
    const file = repository.file("model.safetensors")!;
    const before = stores.models.openCount;
    const stream = repository.stream(file, { start: 5, end: file.size });
    await new Promise((resolve) => setTimeout(resolve, 5));
    assertEquals(stores.models.openCount, before);
    let length = 0;
    let count = 0;
    for await (const piece of stream) {
      assert(piece.byteLength > 0 && piece.byteLength <= CHUNK_BYTES, `${piece.byteLength} bytes`);
      length += piece.byteLength;
      count++;
    }
    assertEquals(length, file.size - 5);
    assert(count <= Math.ceil(length / (CHUNK_BYTES / 4)) + 40, `${count} pieces`);
    assertEquals(await bytesOf(repository, file, 7, 7), new Uint8Array(0));
  }
  assertEquals(stores.models.openCount, 0);
  await repositories.close();
});

Deno.test("a reader who stops pulling keeps no engine from the others", async () => {
  const stores = largeStores();
  const { repositories, base } = await open(stores, { limits: { engines: 1 } });
  const repository = (await repositories.revision(base, "out1"))!;
  const file = repository.file("model.safetensors")!;
  const whole = await bytesOf(repository, file);
  const readers = Array.from({ length: 20 }, () => repository.stream(file, { start: 0, end: file.size }).getReader());
  const got = new Uint8Array(file.size);
  let at = 0;
  for (let turn = 0; at < file.size; turn++) {
    if (turn < readers.length) await readers[turn]!.read();
    // The last one goes on to its end, while the others rest after their first piece.
    const { value } = turn === 0 ? { value: undefined } : await readers.at(-1)!.read();
    if (value === undefined) continue;
    if (turn < readers.length - 1 || at > 0) got.set(value, at);
    at += value.byteLength;
    if (turn === readers.length - 1) break;
  }
  await Promise.all(readers.map((reader) => reader.cancel()));
  assertEquals(await bytesOf(repository, file), whole);
});

Deno.test("a range that is not within the file, or another repository's file, is refused at once", async () => {
  const { repositories, base } = await open(llamaStores());
  const repository = (await repositories.revision(base, "poet"))!;
  for (const one of [base, repository]) {
    const file = one.file(SHARD)!;
    for (const [start, end] of [[-1, 5], [5, 4], [0, file.size + 1], [0.5, 2], [NaN, 2], [0, Infinity]]) {
      const error = assertThrows(() => one.stream(file, { start: start!, end: end! }), EtherError);
      assertEquals(error.code, "usage");
    }
  }
  assertThrows(() => base.stream(repository.file(SHARD)!, { start: 0, end: 1 }), TypeError);
});

for (const name of ["main", "poet"]) {
  Deno.test(`${name}: a base file that becomes shorter under a stream ends it with an error, never with other bytes`, async () => {
    const stores = llamaStores();
    const { repositories, base } = await open(stores);
    const repository = (await repositories.revision(base, name))!;
    const file = repository.file(SHARD)!;
    const reader = repository.stream(file, { start: 0, end: file.size }).getReader();
    await reader.read();
    const files = stores.models.models.get("llama")!;
    files.set(SHARD, files.get(SHARD)!.slice(0, 1_100_000));
    const error = await assertRejects(async () => {
      while (!(await reader.read()).done);
    }, EtherError);
    assertEquals(error.code, "io_error");
    // Opened again it is another file.
    assertEquals((await assertRejects(() => bytesOf(repository, file), EtherError)).code, "io_error");
  });
}

Deno.test("a base that is replaced under a repository: what it still opens are the old bytes, or nothing", async () => {
  const stores = llamaStores();
  const { repositories, base } = await open(stores);
  const old = (await repositories.revision(base, "poet"))!;
  const files = stores.models.models.get("llama")!;
  const other = files.get(SHARD)!.slice();
  other[other.length - 1]! ^= 1;
  files.set(SHARD, other);
  stores.models.touch("llama");
  for (const repository of [base, old]) {
    const error = await assertRejects(() => bytesOf(repository, repository.file(SHARD)!), EtherError);
    assertEquals(error.code, "io_error");
  }
  await repositories.start();
  const fresh = (await repositories.base("llama"))!;
  assertEquals(await bytesOf(fresh, fresh.file(SHARD)!), other);
  const merged = (await repositories.revision(fresh, "poet"))!;
  assert(merged.file(SHARD)!.etag !== old.file(SHARD)!.etag);
  assertEquals((await bytesOf(merged, merged.file(SHARD)!)).byteLength, other.byteLength);
  // The same files once more, under another stamp: who has the repository goes on.
  stores.models.touch("llama");
  await repositories.start();
  assertEquals((await bytesOf(merged, merged.file(SHARD)!)).byteLength, other.byteLength);
});

Deno.test("an adapter that is replaced under a stream: the stream ends with the old one's bytes", async () => {
  const stores = largeStores();
  const { repositories, base } = await open(stores, { limits: { adapterBytes: 0 } });
  const repository = (await repositories.revision(base, "out4"))!;
  const file = repository.file("model.safetensors")!;
  const whole = await bytesOf(repository, file);
  const reader = repository.stream(file, { start: 0, end: file.size }).getReader();
  const got = [(await reader.read()).value!];
  stores.adapters.set("out4", stores.adapters.adapters.get("out1")!.files);
  // Others come by, so that nothing is kept without need.
  const comeBy = async () => {
    for (const text of ["out4@2", "out32@2", "out1@2"]) await repositories.revision(base, text);
  };
  await comeBy();
  for (let next = await reader.read(); !next.done; next = await reader.read()) got.push(next.value);
  assertEquals(await new Response(new Blob(got)).bytes(), whole);
  // Who begins now finds nothing of it any more, and no bytes of another adapter.
  stores.adapters.adapters.get("out32")!.stamp = "another";
  await comeBy();
  const error = await assertRejects(() => bytesOf(repository, file), EtherError);
  assertEquals(error.code, "io_error");
  const fresh = (await repositories.revision(base, "out4"))!;
  assert(fresh.commit !== repository.commit);
});

Deno.test("an aborted stream ends with the signal's reason, a cancelled one with nothing, and both give everything back", async () => {
  const stores = largeStores();
  const { repositories, base } = await open(stores, { limits: { engines: 1 } });
  const repository = (await repositories.revision(base, "out1"))!;
  const file = repository.file("model.safetensors")!;
  const stop = new AbortController();
  const reader = repository.stream(file, { start: 0, end: file.size }, stop.signal).getReader();
  await reader.read();
  stop.abort(new Error("the client left"));
  await assertRejects(() => reader.read(), Error, "the client left");
  // In the middle of a sum, and while waiting for the engine.
  const streams = [1, 2, 3].map(() => repository.stream(file, { start: 3_000_000, end: file.size }).getReader());
  const reads = streams.map((one) => one.read().catch((error) => error));
  await Promise.all(streams.map((one) => one.cancel()));
  await Promise.all(reads);
  assertEquals((await bytesOf(repository, file, 0, 3000)).byteLength, 3000);
  await repositories.close();
  assertEquals(stores.models.openCount, 0);
  await assertRejects(() => bytesOf(repository, file), EtherError);
});

Deno.test("many ranges at the same time share a few engines and a few open files", async () => {
  const stores = largeStores("F32");
  const { repositories, base } = await open(stores);
  const repository = (await repositories.revision(base, "out4+out32"))!;
  const file = repository.file("model.safetensors")!;
  const whole = await bytesOf(repository, file);
  let most = 0;
  stores.models.beforeRead = () => void (most = Math.max(most, stores.models.openCount));
  await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    const start = (i * 7919 * 4001) % (file.size - 20_000);
    assertEquals(await bytesOf(repository, file, start, start + 20_000), whole.subarray(start, start + 20_000));
  }));
  assert(most <= 8, `${most} files were open`);
});

Deno.test("a base of two shards with a small adapter: each file's length is its size", async () => {
  const models = new MemoryModels();
  const adapters = new MemoryAdapters();
  models.models.set("base", baseFiles({ "empty.txt": new Uint8Array(0) }));
  adapters.set("a", adapterFiles());
  const { repositories, base } = await open({ models, adapters });
  for (const repository of [base, (await repositories.revision(base, "a"))!]) {
    for (const file of repository.files) {
      assertEquals((await bytesOf(repository, file)).byteLength, file.size, file.path);
    }
  }
});
