/** `curl` against the server: whole files, ranges, and downloads that go on where they were cut. */
import { assert, assertEquals } from "@std/assert";
import { createApp } from "../../../routes/app.ts";
import { mergeFixture } from "../../fixtures/merge_fixture.ts";
import { hubFolders, openRepositories, REPO, temporaryFolder } from "./small_hub.ts";
import { watched } from "./watched.ts";

const SHARD = "model-00001-of-00003.safetensors";

const curlIsHere = await new Deno.Command("curl", { args: ["--version"], stdout: "null", stderr: "null" }).output()
  .then(({ success }) => success, () => false);

/** Ignored where there is no curl. */
function curlTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `curl: ${name}`, ignore: !curlIsHere, fn });
}

const repositories = await openRepositories(hubFolders());
const folder = temporaryFolder();
/** The next body is cut after so many bytes. */
let cutAfter: number | null = null;
const cutting = watched(repositories, (stream) => {
  const limit = cutAfter;
  cutAfter = null;
  return limit === null ? stream : cut(stream, limit);
}).repositories;
const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: () => {}, onError: () => new Response(null, { status: 500 }) },
  createApp({ repositories: cutting }).fetch,
);
Deno.test.afterAll(async () => {
  await server.shutdown();
  await repositories.close();
});
const url = `http://127.0.0.1:${server.addr.port}/${REPO}/resolve/etherplus/${SHARD}`;

async function curl(...args: string[]) {
  const { code, stdout } = await new Deno.Command("curl", {
    args: ["-sS", "-L", ...args],
    stdin: "null",
    stderr: "null",
  }).output();
  return { code, bytes: stdout, text: new TextDecoder().decode(stdout) };
}

async function expected(): Promise<Uint8Array> {
  return await Deno.readFile(`${await mergeFixture("etherplus")}/${SHARD}`);
}

curlTest("a whole file, by way of the redirect", async () => {
  const { code, bytes } = await curl(url);
  assertEquals(code, 0);
  assert(sameBytes(bytes, await expected()));
});

curlTest("-I says the length", async () => {
  const { text } = await curl("-I", url);
  assertEquals(/^HTTP\/1.1 307/.test(text), true);
  assertEquals(
    /\r\ncontent-length: (\d+)\r\n/i.exec(text.split("\r\n\r\n")[1]!)?.[1],
    String((await expected()).byteLength),
  );
});

curlTest("a cut download says so, and -C - goes on with the same bytes", async () => {
  const path = `${folder}/cut`;
  cutAfter = 500_000;
  const { code } = await curl("-o", path, url);
  // "Transferred a partial file".
  assertEquals(code, 18);
  const { size } = await Deno.stat(path);
  assert(size > 0 && size < (await expected()).byteLength, `${size}`);
  assertEquals((await curl("-C", "-", "-o", path, url)).code, 0);
  assert(sameBytes(await Deno.readFile(path), await expected()));
});

curlTest("a download that is complete is not satisfiable from its end", async () => {
  const size = (await expected()).byteLength;
  const { text } = await curl(
    "-o",
    `${folder}/none`,
    "-w",
    "%{http_code} %header{content-range}",
    "-r",
    `${size}-`,
    url,
  );
  assertEquals(text, `416 bytes */${size}`);
});

curlTest("-r: one range, a suffix, several", async () => {
  const whole = await expected();
  assert(sameBytes((await curl("-r", "100000-200000", url)).bytes, whole.slice(100_000, 200_001)));
  assert(sameBytes((await curl("-r", "-100", url)).bytes, whole.slice(-100)));
  const { text } = await curl("-o", `${folder}/parts`, "-w", "%{http_code} %{content_type}", "-r", "0-7,100-199", url);
  assert(text.startsWith("206 multipart/byteranges; boundary="), text);
});

curlTest("--etag-compare gets nothing where nothing changed", async () => {
  const tag = `${folder}/tag`;
  await curl("-o", `${folder}/first`, "--etag-save", tag, url);
  const { text } = await curl(
    "-o",
    `${folder}/second`,
    "--etag-compare",
    tag,
    "-w",
    "%{http_code} %{size_download}",
    url,
  );
  assertEquals(text, "304 0");
});

/** A stream that fails after some bytes. */
function cut(stream: ReadableStream<Uint8Array<ArrayBuffer>>, limit: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  return ReadableStream.from((async function* () {
    let left = limit;
    for await (const piece of stream) {
      yield piece.slice(0, left);
      left -= piece.byteLength;
      if (left <= 0) throw new Error("the line breaks");
    }
  })());
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}
