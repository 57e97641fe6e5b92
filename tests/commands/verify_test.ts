import fc from "fast-check";
import { assertEquals, assertMatch } from "@std/assert";
import { assertDone, assertRefused, mergeArgs, run } from "./command_line.ts";
import { addFiles, listFiles, makeAdapter, makeFolder, makeShardedBase, newPath, tensorFile } from "./made_files.ts";
import { verify } from "../../commands/verify.ts";
import { Console } from "../../commands/console.ts";
import { EtherError } from "../../runtime/error.ts";

/** A merged folder with shards, one of them longer than a piece of a digest, and small files. */
async function makeMerged(...more: string[]): Promise<string> {
  const base = makeShardedBase({ "tokenizer.json": { a: 1 }, "chat_template.jinja": "{{ x }}", "empty": "" });
  const output = newPath("merged");
  assertDone(await run(mergeArgs(base, makeAdapter(), output, ...more)));
  return output;
}

/** Verifies in this process: hundreds of processes would take a minute. */
async function verifyHere(folder: string): Promise<string> {
  const console = new Console({ quiet: true, verbose: false });
  console.result = () => {};
  const signal = new AbortController().signal;
  try {
    await verify(folder, { quiet: true, workers: 1 }, { console, json: false, signal });
    return "fine";
  } catch (error) {
    if (error instanceof EtherError) return error.code;
    throw error;
  }
}

Deno.test("verify says what it verified, and prints it as JSON", async () => {
  const merged = await makeMerged();
  const text = await run(["verify", merged]);
  assertDone(text);
  assertMatch(text.stdout, /^verified 7 files, [\d.]+ kB: all as the manifest says\n$/);
  const bytes = listFiles(merged).filter((path) => path !== "ether-merge.json")
    .reduce((sum, path) => sum + Deno.statSync(`${merged}/${path}`).size, 0);
  assertEquals(JSON.parse((await run(["verify", merged, "--json"])).stdout), { verified: 7, bytes });
});

Deno.test("verify finds any flipped bit of any file, at any place", async () => {
  const merged = await makeMerged();
  assertEquals(await verifyHere(merged), "fine");
  const files = listFiles(merged).filter((path) => path !== "ether-merge.json" && path !== "empty");
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...files),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.nat(7),
      async (...at) => {
        const [file, place, bit] = at;
        const path = `${merged}/${file}`;
        const bytes = Deno.readFileSync(path);
        const offset = Math.min(bytes.byteLength - 1, Math.floor(place * bytes.byteLength));
        bytes[offset]! ^= 1 << bit;
        Deno.writeFileSync(path, bytes);
        try {
          assertEquals(await verifyHere(merged), "verify_failed", `${file} at ${offset}`);
        } finally {
          bytes[offset]! ^= 1 << bit;
          Deno.writeFileSync(path, bytes);
        }
      },
    ),
    { numRuns: 300 },
  );
  assertEquals(await verifyHere(merged), "fine");
});

Deno.test("verify finds a flipped bit in any piece of a long file, at its borders too", async () => {
  const base = makeFolder({ "model.safetensors": tensorFile({ "a.weight": { dtype: "U8", shape: [5 << 19] } }) });
  addFiles(base, { "model.safetensors": tensorFile({ "a.weight": { dtype: "F32", shape: [640, 1024] } }) });
  const merged = newPath();
  const adapter = makeAdapter({}, { "base_model.model.a.ether_u_in": { dtype: "F32", shape: [2, 512] } });
  assertDone(await run(mergeArgs(base, adapter, merged)));
  const path = `${merged}/model.safetensors`;
  const bytes = Deno.readFileSync(path);
  for (const offset of [0, (1 << 20) - 1, 1 << 20, (2 << 20) - 1, 2 << 20, bytes.byteLength - 1]) {
    bytes[offset]! ^= 1;
    Deno.writeFileSync(path, bytes);
    assertEquals(await verifyHere(merged), "verify_failed", `${offset}`);
    bytes[offset]! ^= 1;
  }
  Deno.writeFileSync(path, bytes);
  assertEquals(await verifyHere(merged), "fine");
});

Deno.test("a file that differs is exit 4, named with what was found and what should be", async () => {
  const merged = await makeMerged();
  addFiles(merged, { "tokenizer.json": '{"a":2}' });
  const differs = /^error: verify_failed: .*tokenizer\.json: found sha256:[0-9a-f]{64}, the manifest says sha256:/;
  assertRefused(await run(["verify", merged]), 4, differs);
  const { code, stdout } = await run(["verify", merged, "--json"]);
  assertEquals([code, JSON.parse(stdout).error.code], [4, "verify_failed"]);
});

Deno.test("a file that is missing, longer or shorter is exit 4", async () => {
  const merged = await makeMerged();
  Deno.writeTextFileSync(`${merged}/tokenizer.json`, " ", { append: true });
  assertRefused(await run(["verify", merged]), 4, /^error: verify_failed: .*tokenizer\.json: found 8 bytes, /);
  addFiles(merged, { "tokenizer.json": "{" });
  assertRefused(await run(["verify", merged]), 4, /^error: verify_failed: .*tokenizer\.json: found 1 bytes, /);
  Deno.removeSync(`${merged}/tokenizer.json`);
  assertRefused(await run(["verify", merged]), 4, /^error: verify_failed: .*tokenizer\.json: the file is missing/);
});

Deno.test("a changed and a missing file are named alike: as the user named the folder", async () => {
  const merged = await makeMerged();
  const slash = merged.lastIndexOf("/");
  const [cwd, name] = [merged.slice(0, slash), merged.slice(slash + 1)];
  const where = new RegExp(`^error: verify_failed: ${name}/tokenizer\\.json: `);
  addFiles(merged, { "tokenizer.json": '{"a":2}' });
  assertRefused(await run(["verify", `${name}/`], { cwd }), 4, where);
  Deno.removeSync(`${merged}/tokenizer.json`);
  assertRefused(await run(["verify", name], { cwd }), 4, where);
});

for (const path of ["model.safetensors", "pytorch_model.bin", "sub/model.safetensors.index.json"]) {
  Deno.test(`weights that the manifest does not name are exit 4, as others may load them: ${path}`, async () => {
    const merged = await makeMerged();
    addFiles(merged, { [path]: "weights" });
    const line = `^error: verify_failed: ${merged}/${path}: weights that the manifest does not name; .*move it away$`;
    assertRefused(await run(["verify", merged]), 4, new RegExp(line));
  });
}

Deno.test("weights that are a link out of the folder are found too", async () => {
  const merged = await makeMerged();
  Deno.symlinkSync(`${makeShardedBase()}/model-00001-of-00002.safetensors`, `${merged}/model.safetensors`);
  assertRefused(await run(["verify", merged]), 4, "verify_failed");
});

Deno.test("any other file that the manifest does not name is a warning; hidden ones are not looked at", async () => {
  const merged = await makeMerged();
  addFiles(merged, { "README.md": "a card", "sub/notes.txt": "", ".gitattributes": "" });
  const outcome = await run(["verify", merged]);
  assertDone(outcome);
  assertEquals(outcome.stderr, `warning: ${merged}: the manifest does not name README.md, sub/notes.txt\n`);
});

Deno.test("a manifest that leaves its folder or cannot be read is bad_config", async () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const manifests: readonly (readonly [manifest: unknown, message: RegExp])[] = [
    [
      { version: 1, outputs: [{ path: "../../etc/passwd", size: 1, digest }] },
      /outputs\[0\]\.path: .*leaves the folder/,
    ],
    [{ version: 1, outputs: [{ path: "/etc/passwd", size: 1, digest }] }, /leaves the folder/],
    [{ version: 1, outputs: [{ path: "a", size: 1, digest: "md5:00" }] }, /outputs\[0\]\.digest: .*no known digest/],
    [{ version: 1, outputs: [{ path: "a", size: -1, digest }] }, /outputs\[0\]\.size/],
    [{ version: 2, outputs: [] }, /version: version 2 is not 1; a newer ether-edge wrote it/],
    [{ version: 1 }, /outputs is missing/],
    [[], /not an object/],
  ];
  for (const [manifest, message] of manifests) {
    const folder = makeFolder({ "ether-merge.json": JSON.stringify(manifest) });
    const outcome = await run(["verify", folder]);
    assertRefused(outcome, 1, "bad_config");
    assertMatch(outcome.lastLine, message);
  }
});

Deno.test("a folder without a manifest is not_found, with what verify takes", async () => {
  const outcome = await run(["verify", makeFolder({})]);
  assertRefused(outcome, 1, /^error: not_found: .*: no ether-merge\.json; verify takes a folder that merge wrote/);
});

Deno.test("verify --base says whether an adapter fits", async () => {
  const base = makeShardedBase();
  const fits = await run(["verify", makeAdapter(), "--base", base]);
  assertDone(fits);
  assertMatch(fits.stdout, /fits .*: it changes 1 tensors?\n$/);
  assertRefused(await run(["verify", makeAdapter({ num_blocks: 3 }), "--base", base]), 1, "bad_blocks");
});

Deno.test("merge --verify reads the output again, and says so", async () => {
  const output = newPath();
  const outcome = await run(mergeArgs(makeShardedBase(), makeAdapter(), output, "--verify"));
  assertDone(outcome);
  assertMatch(outcome.stdout, /, verified\n$/);
});

Deno.test("--sha256 records what sha256sum prints, of outputs and base, and verify holds them too", async () => {
  const base = makeShardedBase();
  const output = newPath();
  assertDone(await run(mergeArgs(base, makeAdapter(), output, "--sha256")));
  const manifest = JSON.parse(Deno.readTextFileSync(`${output}/ether-merge.json`));
  const sum = async (path: string) => {
    const digest = await crypto.subtle.digest("SHA-256", Deno.readFileSync(path));
    return new Uint8Array(digest).toHex();
  };
  for (const { path, digest, sha256 } of manifest.outputs) {
    assertEquals(sha256 ?? digest.replace("sha256:", ""), await sum(`${output}/${path}`), path);
  }
  for (const { path, digest } of manifest.base.files) assertEquals(digest, `sha256:${await sum(`${base}/${path}`)}`);
  assertEquals(await verifyHere(output), "fine");
});
