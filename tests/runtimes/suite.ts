/**
 * What must be the same on every host, as digests of all bytes that come out: golden merges, ranges of a merge in
 * memory, header files that are hostile, and adapters on activations. No API of any host but what all of them have.
 */
import type * as Core from "../../tasks/bundle/core.ts";

/** The core as the host imported it. */
export type TestedCore = typeof Core;

/** Files by path, below `fixtures/`. */
export type Fixtures = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** Digests in hex, or what was refused with which code, by the name of a check. */
export type Results = Record<string, string>;

/** The files of {@link packFixtures}. */
export function unpackFixtures(packed: ArrayBuffer): Fixtures {
  const length = new DataView(packed).getUint32(0, true);
  const index = JSON.parse(new TextDecoder().decode(new Uint8Array(packed, 4, length))) as [string, number][];
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  let at = 4 + length;
  for (const [path, byteLength] of index) {
    files.set(path, new Uint8Array(packed.slice(at, at + byteLength)));
    at += byteLength;
  }
  return files;
}

/** Files in one piece: the length of an index, the index as JSON, the files. */
export function packFixtures(files: Fixtures): Uint8Array<ArrayBuffer> {
  const index = [...files].map(([path, { byteLength }]) => [path, byteLength]);
  const json = new TextEncoder().encode(JSON.stringify(index));
  const total = [...files.values()].reduce((sum, { byteLength }) => sum + byteLength, 4 + json.byteLength);
  const packed = new Uint8Array(total);
  new DataView(packed.buffer).setUint32(0, json.byteLength, true);
  packed.set(json, 4);
  let at = 4 + json.byteLength;
  for (const bytes of files.values()) {
    packed.set(bytes, at);
    at += bytes.byteLength;
  }
  return packed;
}

/** Runs all checks. @throws what no check expects */
export async function conformance(core: TestedCore, fixtures: Fixtures): Promise<Results> {
  const results: Results = {};
  const files = new core.MemoryFiles(fixtures);
  await checkGoldens(core, files, fixtures, results);
  await checkRanges(core, files, results);
  await checkFolder(core, files, results);
  await checkHeaders(core, fixtures, results);
  await checkApply(core, files, results);
  return results;
}

async function checkGoldens(
  core: TestedCore,
  files: Core.MemoryFiles,
  fixtures: Fixtures,
  results: Results,
): Promise<void> {
  const { cases } = jsonOf(fixtures, "golden/cases.json") as { cases: { name: string }[] };
  for (const { name } of cases) {
    const folder = `golden/${name}`;
    const adapters = [...fixtures.keys()].filter((path) => {
      return path.startsWith(`${folder}/`) && /\/adapter(\.\d+)?\.safetensors$/.test(path);
    });
    results[`golden ${name}`] = await codeOr(core, async () => {
      const { plan } = await core.prepareMerge({
        base: files.place(`${folder}/base.safetensors`),
        adapters: adapters.sort().map((path) => ({ place: files.place(path) })),
      }, files);
      return await digestOf(await bytesOf(core.streamFile(plan, plan.files[0]!.path, files.openSource)));
    });
  }
}

/** Odd ranges, and cuts at odd places: their parts are the whole. */
async function checkRanges(core: TestedCore, files: Core.MemoryFiles, results: Results): Promise<void> {
  const { plan } = await core.prepareMerge({
    base: files.place("llama/base"),
    adapters: [{ place: files.place("llama/etherplus-reference") }, {
      place: files.place("llama/ether"),
      strength: 0.3,
    }],
  }, files);
  const { path, size } = plan.files[1]!;
  const read = (start: number, end: number) => bytesOf(core.streamFile(plan, path, files.openSource, { start, end }));
  const whole = await read(0, size);
  results["llama whole"] = await digestOf(whole);
  const cuts = [0, 1, 8, 4097, 100_003, 100_004, Math.floor(size / 2) + 1, size - 3, size];
  for (const [index, end] of cuts.entries()) {
    if (index === 0) continue;
    const start = cuts[index - 1]!;
    const part = await read(start, end);
    const same = part.byteLength === end - start && part.every((byte, at) => byte === whole[start + at]);
    if (!same) throw new Error(`bytes ${start} to ${end} are not those of the whole file`);
    results[`llama ${start}-${end}`] = await digestOf(part);
  }
}

/** The whole output, manifest and all, read again by the merge itself. */
async function checkFolder(core: TestedCore, files: Core.MemoryFiles, results: Results): Promise<void> {
  const { plan } = await core.prepareMerge({
    base: files.place("llama/base"),
    adapters: [{ place: files.place("llama/etherplus") }],
    dtype: "F16",
  }, files);
  const { manifest } = await core.mergeTo(plan, files.output("merged"), files, { verify: true, sha256: true });
  results["llama folder"] = await digestOf(manifest);
}

async function checkHeaders(core: TestedCore, fixtures: Fixtures, results: Results): Promise<void> {
  for (const list of ["headers", "odd_headers"]) {
    for (const file of jsonOf(fixtures, `hostile/${list}.json`) as DescribedFile[]) {
      results[`header: ${file.name}`] = await codeOr(core, async () => {
        const { tensors, metadata } = await core.readHeader(new core.MemorySource("f", describedBytes(file)));
        return JSON.stringify([tensors.map(({ name, dtype, shape }) => [name, dtype, shape]), [...metadata ?? []]]);
      }, true);
    }
  }
}

async function checkApply(core: TestedCore, files: Core.MemoryFiles, results: Results): Promise<void> {
  const apply = await core.prepareApply({
    base: files.place("llama/base"),
    adapters: [{ place: files.place("llama/ether") }, { place: files.place("llama/etherplus"), strength: 0.8 }],
  }, files);
  const module = "model.layers.0.self_attn.q_proj";
  const x = Float32Array.from({ length: 3 * 192 }, (_, index) => ((index * 7919) % 1000) / 1000 - 0.5);
  const outputs = {
    linear: await apply.linear(module, x, { rows: [0, 1, -1] }),
    chain: await apply.linear(module, x),
    in: await apply.in(module, x, { rows: [1, 1, 0] }),
    out: await apply.out(module, x, { rows: [0, -1, 1] }),
  };
  for (const [name, values] of Object.entries(outputs)) {
    results[`apply ${name}`] = await digestOf(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  await apply.close();
}

/** A file of `fixtures/hostile`: whole, or as a header and how many zero bytes follow. */
interface DescribedFile {
  readonly name: string;
  readonly fileHex?: string;
  readonly headerHex?: string;
  readonly header?: string;
  readonly data?: number;
}

function describedBytes({ fileHex, headerHex, header, data = 0 }: DescribedFile): Uint8Array<ArrayBuffer> {
  if (fileHex !== undefined) return fromHex(fileHex);
  const text = headerHex === undefined ? new TextEncoder().encode(header) : fromHex(headerHex);
  const bytes = new Uint8Array(8 + text.byteLength + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.byteLength), true);
  bytes.set(text, 8);
  return bytes;
}

/** What a function gives, or the code of its error, with the message if wanted. */
async function codeOr(core: TestedCore, run: () => Promise<string>, withMessage = false): Promise<string> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof core.EtherError)) throw error;
    return withMessage ? error.toLine() : error.code;
  }
}

async function bytesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function digestOf(bytes: Uint8Array<ArrayBufferLike>): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function jsonOf(fixtures: Fixtures, path: string): unknown {
  return JSON.parse(new TextDecoder().decode(fixtures.get(path)));
}
