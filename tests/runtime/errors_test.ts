import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { readBody } from "../../routes/access/body.ts";
import { ByteBudget } from "../../routes/access/budget.ts";
import { AccessRules, requireRead } from "../../routes/access/tokens.ts";
import { openModel } from "../../runtime/checkpoints/model.ts";
import { openPlace } from "../../runtime/deno/file_folder.ts";
import { prepareMerge } from "../../runtime/deno/library.ts";
import { fileStorage, mergeToFolder, type MergeToFolderOptions } from "../../runtime/deno/merge_folder.ts";
import { startRunners } from "../../runtime/deno/runners.ts";
import { ERROR_CODES, type ErrorCode, EtherError, oneLine } from "../../runtime/error.ts";
import { parseRecipe } from "../../runtime/recipes/recipe.ts";
import { openReference } from "../../runtime/remote/open_reference.ts";
import { parseReference } from "../../runtime/remote/reference.ts";
import { verifyFiles } from "../../runtime/execute/verify.ts";
import {
  addFiles,
  BASE_TENSORS,
  makeAdapter,
  makeBase,
  makeFolder,
  makeShardedBase,
  newPath,
  tensorFile,
} from "../commands/made_files.ts";
import { serveBytes, startHost, storageFor } from "./remote/loopback_host.ts";

const MODULE = "base_model.model.model.layers.0.mlp.up_proj";
const u = (shape: number[], bytes?: Uint8Array) =>
  ({ [`${MODULE}.ether_u_in`]: { dtype: "F32", shape, bytes } }) as never;
const f32 = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

/** Merges into a new place, as the command line does. */
async function merge(
  base: string,
  adapter: string,
  options: MergeToFolderOptions & { strength?: number; output?: string } = {},
): Promise<void> {
  const { strength, output = newPath("out"), ...more } = options;
  const { plan } = await prepareMerge({ base, adapters: [{ path: adapter, strength }] });
  await mergeToFolder(plan, output, { workers: 1, ...more });
}

/** Writes to the device that is always full, in a process that may: the error as it came from there. */
async function writeToFullDevice(): Promise<void> {
  const sink = new URL("../../runtime/deno/file_sink.ts", import.meta.url);
  const script = `const { FileSink } = await import(${JSON.stringify(sink)});
    try { new FileSink("/dev/full").write(0, new Uint8Array(1)); }
    catch ({ code, message, file, hint }) { console.log(JSON.stringify({ code, message, file, hint })); }`;
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["eval", script] }).output();
  const { code, message, ...details } = JSON.parse(new TextDecoder().decode(stdout));
  throw new EtherError(code, message, details);
}

/** A server's, with one token that reads and one that only writes, `hf_writer`. */
function rules(): AccessRules {
  const adapters = ["*"];
  const writer = "034875035ee2ba2434d5be50350e645350025c035a6c7805a314ed58997d75fc";
  return new AccessRules([
    { sha256: "0".repeat(64), read: true, write: false, adapters },
    { sha256: writer, read: false, write: true, adapters },
  ]);
}

/** Reads a body as a server does that allows 8 bytes and 10 ms. */
async function readSent(body: BodyInit): Promise<void> {
  const request = new Request("http://localhost/", { method: "PUT", body });
  await readBody(request, { maxBytes: 8, milliseconds: 10 }, new ByteBudget());
}

let etagCount = 0;

/** Opens a model elsewhere. @param url  null: a file of a host that answers so */
async function openElsewhere(url: string | null, answer: (request: Request) => Response): Promise<void> {
  await using host = startHost(answer);
  using made = storageFor(host.origin);
  const reference = parseReference(url ?? `${host.origin}/file.safetensors`);
  const { place } = await openReference(reference, made.storage);
  await openModel(place, (locator) => made.storage.openSource(locator));
}

/** A real cause for every code, and what the message must name besides the code: file, tensor or field. */
const CAUSES: Readonly<Record<ErrorCode, readonly [cause: () => Promise<unknown>, names: RegExp]>> = {
  bad_header: [() => merge(makeBase({ "model.safetensors": "cut short" }), makeAdapter()), /model\.safetensors: /],
  bad_index: [() => {
    const base = makeShardedBase();
    Deno.removeSync(`${base}/model-00002-of-00002.safetensors`);
    return merge(base, makeAdapter());
  }, /index\.json: weight_map: names "model-00002-of-00002\.safetensors", which is not there; download/],
  bad_config: [
    () => merge(makeBase(), makeAdapter({ variant: "either" })),
    /adapter_config\.json: variant: .*"either"/,
  ],
  bad_recipe: [() => Promise.try(() => parseRecipe("poet+brief@1e3")), /"1e3" is no strength; a decimal number/],
  bad_pickle: [
    () => merge(makeBase(), makeFolder({ "lit_model_ether_finetuned.pth": "cut short" })),
    /lit_model_ether_finetuned\.pth: the file is no zip archive/,
  ],
  bad_shape: [() => merge(makeBase(), makeAdapter({}, u([8]))), /ether_u_in: shape \[8\] is not \[num_blocks, n\]/],
  bad_blocks: [() => merge(makeBase(), makeAdapter({}, u([2, 3]))), /num_blocks: 2 blocks of 3 do not tile .* 8/],
  missing_param: [() => merge(makeBase(), makeAdapter({ variant: "etherplus" })), /no .*ether_v_in; etherplus needs/],
  unused_tensor: [
    () => merge(makeBase(), makeAdapter({ sides: ["out"] })),
    /ether_u_in: the config's sides have no "in"/,
  ],
  unknown_target: [() => {
    const tensors = {
      "base_model.model.model.layers.0.mlp.up_prj.ether_u_in": { dtype: "F32", shape: [2, 4] },
    } as const;
    return merge(makeBase(), makeAdapter({}, tensors));
  }, /has no tensor "model\.layers\.0\.mlp\.up_prj\.weight"; the nearest name is "model\.layers\.0\.mlp\.up_proj/],
  zero_vector: [
    () => merge(makeBase(), makeAdapter({}, u([2, 4], f32(1, 0, 0, 0, 0, 0, 0, 0)))),
    /block 1 is all zero/,
  ],
  nonfinite_vector: [
    () => merge(makeBase(), makeAdapter({}, u([2, 4], f32(1, NaN, 0, 0, 1, 0, 0, 0)))),
    /ether_u_in: block 0 holds a NaN/,
  ],
  layout_required: [() => merge(makeBase(), makeAdapter({ layout: undefined })), /layout: .* 2 blocks .*"reference"/],
  tied_head: [() => {
    const tensors = { "base_model.model.lm_head.ether_u_in": { dtype: "F32", shape: [2, 4] } } as const;
    return merge(makeBase({ "config.json": { tie_word_embeddings: true } }), makeAdapter({}, tensors));
  }, /lm_head shares its weight .*; --untie/],
  base_mismatch: [
    () => merge(makeBase(), makeAdapter({ base_fingerprint: { structure: "0".repeat(64) } })),
    /base_fingerprint\.structure: the base's structure is [0-9a-f]{64}, .* had 0{64}; .*--allow-base-mismatch/,
  ],
  unsupported: [() => merge(makeBase(), makeAdapter({ peft_type: "LORAX" })), /peft_type: .*"LORAX"/],
  unsupported_dtype: [() => {
    const tensors = { ...BASE_TENSORS, "model.layers.0.mlp.up_proj.weight": { dtype: "F64", shape: [12, 8] } } as const;
    return merge(makeBase({ "model.safetensors": tensorFile(tensors) }), makeAdapter());
  }, /up_proj\.weight has dtype F64; merge into the F32/],
  unsupported_format: [
    () => merge(makeFolder({ "pytorch_model.bin": "x" }), makeAdapter()),
    /only pytorch_model\.bin; /,
  ],
  unsupported_feature: [() => merge(makeBase(), makeAdapter({ bias: "all" })), /bias: bias is "all"; /],
  singular: [async () => {
    const adapters = [{ path: makeAdapter({ strength: 0.5 }) }];
    await prepareMerge({ base: makeBase(), adapters, undo: true });
  }, /ether_u_in: it has no inverse: a direction of model\.layers\.0\.mlp\.up_proj\.weight is lost; .*block 0/],
  not_found: [() => merge(newPath("nowhere"), makeAdapter()), /nowhere: no such file or folder/],
  exists: [() => merge(makeBase(), makeAdapter(), { output: makeFolder({ x: "" }) }), /the output exists; --force/],
  locked: [async () => {
    const output = newPath("out");
    using file = Deno.openSync(`${output}.ether-lock`, { create: true, write: true });
    file.lockSync(true);
    await merge(makeBase(), makeAdapter(), { output });
  }, /out: another process writes this output; /],
  host_refused: [
    () => openElsewhere("https://192.168.1.1/model.safetensors", () => new Response()),
    /model\.safetensors: https:\/\/192\.168\.1\.1 is not asked: 192\.168\.1\.1 is not among the allowed hosts/,
  ],
  access_denied: [
    () => openElsewhere(null, () => new Response(null, { status: 403 })),
    /file\.safetensors: the host answers 403$/,
  ],
  source_changed: [
    () => openElsewhere(null, (request) => serveBytes(request, new Uint8Array(9), { etag: `"${etagCount++}"` })),
    /json: the file changed while it was read: its ETag was "\d+" and is "\d+"; .*start again/,
  ],
  io_error: [
    () => merge(makeBase(), makeAdapter(), { output: `${makeFolder({ file: "x" })}/file/out` }),
    /file\/out: .*not a (directory|folder)/,
  ],
  no_space: [writeToFullDevice, /\/dev\/full: the disk is full; free some/],
  verify_failed: [async () => {
    const folder = makeFolder({ x: "changed" });
    const runners = startRunners(1, { files: [], output: null, tileByteLength: 1 << 20 });
    const files = [{ path: "x", size: 7, digest: `sha256:${"0".repeat(64)}` }];
    await verifyFiles(files, (path) => `${folder}/${path}`, { ...fileStorage, runners });
  }, /x: found sha256:[0-9a-f]{64}, the manifest says sha256:0{64}; /],
  usage: [
    () => merge(makeBase(), makeAdapter(), { strength: Infinity }),
    /--strength: strength Infinity is not a finite/,
  ],
  interrupted: [
    () => merge(makeBase(), makeAdapter(), { signal: AbortSignal.abort() }),
    /stopped; nothing is left behind/,
  ],
  unauthorized: [async () => requireRead(await rules().callerOf(undefined)), /a token is needed to read; send/],
  forbidden: [async () => requireRead(await rules().callerOf("Bearer hf_writer")), /does not allow to read/],
  too_large: [() => readSent("nine byte"), /more than 8 bytes/],
  timed_out: [() => readSent(new ReadableStream({ pull: () => new Promise(() => {}) })), /not there within 0\.01 s/],
  busy: [() => {
    const budget = new ByteBudget(8);
    budget.reserve(8);
    return Promise.try(() => budget.reserve(1));
  }, /no room for this request now; try again/],
};

for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
  Deno.test(`${code}: ${ERROR_CODES[code]}`, async () => {
    assert(CAUSES[code] !== undefined, `${code} has no test`);
    const [cause, names] = CAUSES[code];
    const error = await assertRejects(cause, EtherError);
    assertEquals(error.code, code);
    assertMatch(error.toLine(), new RegExp(`^${code}: `));
    assertMatch(error.toLine(), names);
    assertEquals(error.toLine().endsWith("."), false, "a full stop");
  });
}

Deno.test("a cause that is refused leaves nothing beside the output", async () => {
  const parent = makeFolder({});
  const refused = [makeAdapter({ num_blocks: 3 }), makeAdapter({ bias: "all" }), makeAdapter({ layout: undefined })];
  for (const adapter of refused) {
    await assertRejects(() => merge(makeBase(), adapter, { output: `${parent}/new/out` }), EtherError);
  }
  await assertRejects(() =>
    merge(makeBase(), makeAdapter(), { output: `${parent}/new/out`, signal: AbortSignal.abort() })
  );
  assertEquals([...Deno.readDirSync(parent)], []);
});

Deno.test("the bytes of a target that is another base's are base_mismatch, before the output appears", async () => {
  const parent = makeFolder({});
  const name = "model.layers.0.mlp.up_proj.weight";
  const base = makeBase();
  const { model } = await prepareMerge({ base, adapters: [] });
  const adapter = (structure: string) =>
    makeAdapter({
      base_fingerprint: { structure, targets: { [name]: "f".repeat(64) } },
    });
  const wrong = await assertRejects(() => merge(base, adapter("0".repeat(64))), EtherError);
  const structure = /structure is ([0-9a-f]{64})/.exec(wrong.message)![1]!;
  const error = await assertRejects(() => merge(base, adapter(structure), { output: `${parent}/out` }), EtherError);
  assertEquals([error.code, error.tensor, error.field], ["base_mismatch", name, "base_fingerprint.targets"]);
  assertEquals([...Deno.readDirSync(parent)], []);
  assertEquals(model.tensors.size, Object.keys(BASE_TENSORS).length);
});

Deno.test("docs/errors.md has an entry for each code, in the list's order, with meaning, cause and remedy", () => {
  const text = Deno.readTextFileSync(new URL("../../docs/errors.md", import.meta.url)).replace(/\s+/g, " ");
  const entries = [...text.matchAll(/ - `([a-z_]+)`: (.*?)\.(?= - `| $)/g)];
  assertEquals(entries.map(([, code]) => code), Object.keys(ERROR_CODES));
  for (const [, code, entry] of entries) assertMatch(entry!, /^.+\. Cause: .+\. Do: .+$/, code);
});

Deno.test("EtherError.toLine is one bounded line, and toJSON has everything", () => {
  const error = new EtherError("bad_header", "m".repeat(5000), { file: "a\nb", tensor: "t".repeat(5000), hint: "h" });
  assertMatch(error.toLine(), /^bad_header: a\\u000ab: t{300}…: m{800}…; h$/);
  assertEquals(error.toJSON(), {
    ...{ code: "bad_header", message: "m".repeat(5000), file: "a\nb", tensor: "t".repeat(5000) },
    ...{ field: null, hint: "h" },
  });
});

Deno.test("EtherError.within fills what is missing and keeps what is there", () => {
  const error = new EtherError("bad_header", "m", { file: "inner" }).within({ file: "outer", tensor: "t" });
  assertEquals([error.file, error.tensor, error.message], ["inner", "t", "m"]);
});

Deno.test("oneLine escapes what steers a terminal and leaves every script alone", () => {
  assertEquals(
    oneLine("a\r\n\t\x1b\x7f\x9b\u2028\u202e\u2069\u061cz"),
    "a\\u000d\\u000a\\u0009\\u001b\\u007f\\u009b\\u2028\\u202e\\u2069\\u061cz",
  );
  const text = "Grüße, 世界, שלום, مرحبا, 🎉 — ok";
  assertEquals(oneLine(text), text);
});

Deno.test("openPlace names what is not there as the caller did", async () => {
  const error = await assertRejects(() => openPlace(newPath("x"), "my/x"), EtherError);
  assertEquals([error.code, error.file], ["not_found", "my/x"]);
});

Deno.test("a broken adapter file beside a good config names that file", async () => {
  const adapter = makeAdapter();
  addFiles(adapter, { "adapter_model.safetensors": "no" });
  const error = await assertRejects(() => merge(makeBase(), adapter), EtherError);
  assertMatch(error.toLine(), /^bad_header: .*adapter\/adapter_model\.safetensors: the file has 2 bytes/);
});
