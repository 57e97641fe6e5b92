import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { readAll } from "../../../runtime/io/source.ts";
import { openReference } from "../../../runtime/remote/open_reference.ts";
import { parseReference } from "../../../runtime/remote/reference.ts";
import { COMMIT, startHub } from "./hub_double.ts";
import { serveBytes, someBytes, startHost, storageFor, type TestStorage } from "./loopback_host.ts";

const text = (value: string) => new TextEncoder().encode(value);
const FILES = {
  "config.json": text("{}"),
  "model.safetensors": someBytes(5000),
  ".gitattributes": text("x"),
  "é/a b.txt": text("é"),
};

const open = ({ storage }: TestStorage, reference: string) => openReference(parseReference(reference), storage);

Deno.test("hub: a repository is listed page by page at its commit, without names that begin with a dot", async () => {
  await using hub = startHub({ "org/repo": FILES }, { pageLength: 1 });
  using made = storageFor(hub.origin);
  const { place: { folder, file }, revision, pinned } = await open(made, "hf://org/repo@refs/pr/1");
  assertEquals([folder.name, file, revision, pinned], ["hf://org/repo@refs/pr/1", null, COMMIT, false]);
  const entries = await folder.list();
  assertEquals(entries.map(({ path, size }) => [path, size]), [["config.json", 2], ["model.safetensors", 5000], [
    "é/a b.txt",
    2,
  ]]);
  for (const { path } of entries) {
    const source = made.storage.openSource(folder.locate(path));
    assertEquals(await readAll(source), FILES[path as keyof typeof FILES]);
    assertEquals(source.name, `hf://org/repo@refs/pr/1/${path}`);
    source.close();
  }
  assertMatch(hub.asked.at(-1)!.path, new RegExp(`^/org/repo/resolve/${COMMIT}/%C3%A9/a%20b\\.txt$`));
  assertEquals((await open(made, `hf://org/repo@${COMMIT}`)).pinned, true);
});

Deno.test("hub: the SHA-256 of a file that is stored elsewhere is known, and its bytes come from there", async () => {
  const sha256 = "ab".repeat(32);
  await using store = startHost((request) => serveBytes(request, FILES["model.safetensors"], { etag: '"s3"' }));
  await using hub = startHub({ repo: FILES }, {
    stored: { origin: store.origin, sha256: { "model.safetensors": sha256 } },
  });
  using made = storageFor(hub.origin, { hosts: [store.origin], token: "hf_x" });
  const { place: { folder } } = await open(made, "hf://repo");
  assertEquals((await folder.list()).map((entry) => entry.sha256), [undefined, sha256, undefined]);
  const source = made.storage.openSource(folder.locate("model.safetensors"));
  assertEquals(await readAll(source), FILES["model.safetensors"]);
  source.close();
  assertEquals(store.asked.map(({ headers }) => headers.get("authorization")), [null]);
  assertEquals([...made.storage.pins.values()], [{ etag: '"s3"', linkedEtag: `"${sha256}"` }]);
});

Deno.test("hub: the Hub's refusals are told apart", async () => {
  await using hub = startHub({ "org/repo": FILES });
  using made = storageFor(hub.origin);
  for (
    const [reference, message] of [["hf://org/none", /no such repository/], [
      "hf://org/repo@none",
      /no such revision/,
    ]] as const
  ) {
    const error = await assertRejects(() => open(made, reference), EtherError);
    assertEquals([error.code, error.file], ["not_found", reference]);
    assertMatch(error.message, message);
  }
  hub.answer = () => new Response(null, { status: 403, headers: { "x-error-code": "GatedRepo" } });
  assertEquals((await assertRejects(() => open(made, "hf://org/repo"), EtherError)).code, "access_denied");
});

/** Lists that no Hub should send. */
const LISTS: readonly (readonly [name: string, answer: () => Response, error: RegExp])[] = [
  ["a path that leaves the folder", () => Response.json([{ type: "file", path: "../x", size: 1 }]), /lists "\.\.\/x"/],
  ["a negative size", () => Response.json([{ type: "file", path: "x", size: -1 }]), /has -1 bytes/],
  ["a size that is no integer", () => Response.json([{ type: "file", path: "x", size: 1e300 }]), /size/],
  ["no list", () => Response.json({}), /is no list/],
  ["no JSON", () => new Response("<html>"), /^(?!.*undefined)/],
  ["a next page elsewhere", () => {
    return Response.json([], { headers: { link: '<https://example.org/>; rel="next"' } });
  }, /goes on at another host/],
  ["pages in a circle", () => Response.json([], { headers: { link: '<SELF>; rel="next"' } }), /in a circle/],
  ["a list without an end", () => {
    const piece = text('{"type":"directory","path":"d","size":0},'.repeat(10_000));
    return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(piece) }));
  }, /more than 33554432 bytes/],
];

for (const [name, answer, expected] of LISTS) {
  Deno.test(`hub: ${name} is refused`, async () => {
    await using hub = startHub({});
    hub.answer = ({ url }) => {
      if (url.includes("/revision/")) return Response.json({ sha: COMMIT });
      const response = answer();
      const link = response.headers.get("link")?.replace("SELF", url);
      if (link) response.headers.set("link", link);
      return response;
    };
    using made = storageFor(hub.origin);
    const error = await assertRejects(() => open(made, "hf://org/repo"), EtherError);
    assertEquals([error.code, error.file], ["io_error", "hf://org/repo"]);
    assertMatch(error.message, expected);
  });
}

Deno.test("hub: a commit that is none is refused", async () => {
  await using hub = startHub({});
  hub.answer = () => Response.json({ sha: "../../etc" });
  using made = storageFor(hub.origin);
  await assertRejects(() => open(made, "hf://org/repo"), EtherError, "the Hub says the commit is");
});

/** A host of files below /m/, which lists none. */
function startWeb(files: Readonly<Record<string, Uint8Array<ArrayBuffer>>>, etag: string | null = '"1"') {
  return startHost((request) => {
    const bytes = files[decodeURIComponent(new URL(request.url).pathname).replace("/m/", "")];
    return bytes === undefined ? new Response(null, { status: 404 }) : serveBytes(request, bytes, { etag });
  });
}

Deno.test("web: a folder's known files and the shards of its index are found", async () => {
  const index = text(JSON.stringify({ weight_map: { a: "s 1.safetensors", b: "s2.safetensors" } }));
  const files = {
    ...{ "config.json": text("{}"), "model.safetensors.index.json": index, "tokenizer.json": new Uint8Array(0) },
    ...{ "s 1.safetensors": someBytes(70), "s2.safetensors": someBytes(71), "unknown.bin": someBytes(3) },
  };
  await using web = startWeb(files);
  using made = storageFor(web.origin);
  const { place: { folder }, revision, pinned, identify } = await open(made, `${web.origin}/m`);
  const paths = Object.keys(files).filter((path) => path !== "unknown.bin").sort();
  assertEquals(
    (await folder.list()).map(({ path, size }) => [path, size]),
    paths.map((path) => [path, files[path as keyof typeof files].byteLength]),
  );
  const source = made.storage.openSource(folder.locate("s 1.safetensors"));
  assertEquals(await readAll(source), files["s 1.safetensors"]);
  source.close();

  const data = text(`${web.origin}/m/s2.safetensors\n71\n"1"\n`);
  const expected = new Uint8Array(await crypto.subtle.digest("SHA-256", data)).toHex();
  assertEquals([await identify!("s2.safetensors"), pinned], [expected, false]);
  web.answer = (request) => serveBytes(request, files["config.json"], { etag: '"2"' });
  assertEquals((await open(made, `${web.origin}/m/`)).revision === revision, false, "other files, the same revision");
});

Deno.test("web: a file is found with its config, and nothing else is asked for", async () => {
  await using web = startWeb({
    "x.safetensors": someBytes(9),
    "config.json": text("{}"),
    "tokenizer.json": text("{}"),
  });
  using made = storageFor(web.origin);
  const { place: { folder, file } } = await open(made, `${web.origin}/m/x.safetensors`);
  assertEquals([file, (await folder.list()).map(({ path }) => path)], ["x.safetensors", [
    "config.json",
    "x.safetensors",
  ]]);
  assertEquals(web.asked.length, 4);
  await assertRejects(() => open(made, `${web.origin}/m/y.safetensors`), EtherError, "nothing of a model");
});

Deno.test("web: hosts by which a file cannot be pinned, or not be read in part, are unsupported", async () => {
  for (const etag of [null, 'W/"1"']) {
    await using web = startWeb({ "config.json": text("{}") }, etag);
    using made = storageFor(web.origin);
    const error = await assertRejects(() => open(made, `${web.origin}/m/`), EtherError, "no strong ETag");
    assertEquals([error.code, error.file], ["unsupported", `${web.origin}/m/config.json`]);
  }
  await using web = startHost(() => new Response("<html>everything is here</html>"));
  using made = storageFor(web.origin);
  const error = await assertRejects(() => open(made, `${web.origin}/m/`), EtherError, "the whole file");
  assertEquals(error.code, "unsupported");
});

Deno.test("web: what is not there, and what may not be seen, are told apart", async () => {
  await using web = startWeb({});
  using made = storageFor(web.origin);
  assertEquals((await assertRejects(() => open(made, `${web.origin}/m/`), EtherError)).code, "not_found");
  web.answer = () => new Response(null, { status: 403 });
  assertEquals((await assertRejects(() => open(made, `${web.origin}/m/`), EtherError)).code, "access_denied");
});
