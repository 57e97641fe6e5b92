import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { COMMIT, readFolder, startHub } from "../runtime/remote/hub_double.ts";
import { cutAfter, serveBytes, startHost } from "../runtime/remote/loopback_host.ts";
import { assertDone, assertRefused, mergeArgs, REPOSITORY, run } from "./command_line.ts";
import { listFiles, makeFolder, newPath } from "./made_files.ts";

const LLAMA = new URL("../../fixtures/llama/", import.meta.url);
const BASE = readFolder(new URL("base", LLAMA));
const ADAPTER = readFolder(new URL("etherplus", LLAMA));
const MODELS = { "tiny/llama": BASE, "tiny/llama-python": ADAPTER, "tiny/ether": readFolder(new URL("ether", LLAMA)) };

/** No token and no endpoint but the test's. */
const environment = (endpoint: string, more: Readonly<Record<string, string>> = {}) => {
  return { env: { HF_ENDPOINT: endpoint, HF_TOKEN: "", HF_HOME: makeFolder({}), ...more } };
};

const contentsOf = (folder: string) => listFiles(folder).map((path) => [path, Deno.readFileSync(`${folder}/${path}`)]);

/** The same merge with everything on this machine. */
let local: string | undefined;
async function mergedLocally(): Promise<string> {
  if (local === undefined) {
    const output = newPath("local");
    const llama = `${REPOSITORY}fixtures/llama`;
    assertDone(await run(mergeArgs(`${llama}/base`, `${llama}/etherplus`, output)));
    local = output;
  }
  return local;
}

for (const workers of [1, 2, 3]) {
  Deno.test(`merge of hf:// base and adapter by ${workers} workers gives the local merge's files`, async () => {
    await using hub = startHub(MODELS, { pageLength: 2, token: "hf_secret" });
    const output = newPath("out");
    const args = mergeArgs("hf://tiny/llama", "hf://tiny/llama-python@refs/pr/1", output, "--verify");
    assertDone(await run([...args, "--workers", String(workers)], environment(hub.origin, { HF_TOKEN: "hf_secret" })));
    assertEquals(contentsOf(output), contentsOf(await mergedLocally()));
    assertEquals(hub.asked.filter(({ headers }) => !headers.has("authorization")), []);
  });
}

Deno.test("merge of hf://: cut connections are resumed, and -v says so, also in threads", async () => {
  const serving = (count: number) => {
    return count % 2 === 0 ? { body: (part: Uint8Array<ArrayBuffer>) => cutAfter(part, part.byteLength >> 1) } : {};
  };
  await using hub = startHub(MODELS, { serving });
  const output = newPath("out");
  const args = mergeArgs("hf://tiny/llama", "hf://tiny/llama-python", output, "--workers", "2", "-v");
  const outcome = await run(args, environment(hub.origin));
  assertDone(outcome);
  assertEquals(contentsOf(output), contentsOf(await mergedLocally()));
  assertMatch(outcome.stderr, /hf:\/\/tiny\/llama\/model[^ ]*\.safetensors: .*cut.*; attempt 2 in 0\.25 s/);
});

Deno.test("merge of hf://: a file that changes while it is read leaves nothing behind", async () => {
  const serving = (count: number) => count < 6 ? {} : { etag: '"other"' };
  await using hub = startHub(MODELS, { serving });
  const parent = makeFolder({});
  const outcome = await run(
    mergeArgs("hf://tiny/llama", "hf://tiny/llama-python", `${parent}/out`),
    environment(hub.origin),
  );
  assertRefused(outcome, 1, "source_changed");
  assertEquals([...Deno.readDirSync(parent)], []);
});

Deno.test("the token that the Hub's own client has kept is used, and no message shows it", async () => {
  await using hub = startHub(MODELS, { token: "hf_kept" });
  const home = makeFolder({ token: "hf_kept\n" });
  const found = await run(["inspect", "hf://tiny/llama", "-v"], environment(hub.origin, { HF_HOME: home }));
  assertDone(found);
  const none = await run(["inspect", "hf://tiny/llama", "-v", "--debug"], environment(hub.origin));
  assertMatch(
    none.lastLine,
    /^error: not_found: hf:\/\/tiny\/llama: no such repository; if it is private, set HF_TOKEN$/,
  );
  assertEquals([none.code, /hf_kept/.test(none.stderr + found.stderr + found.stdout)], [1, false]);
});

Deno.test("inspect, verify, diff and unmerge take references", async () => {
  await using hub = startHub(MODELS);
  await using web = startHost((request) => {
    const bytes = BASE[new URL(request.url).pathname.replace("/m/", "")];
    return bytes === undefined ? new Response(null, { status: 404 }) : serveBytes(request, bytes);
  });
  const surroundings = environment(hub.origin);
  const inspected = await run(
    ["inspect", "hf://tiny/llama-python", "--base", `hf://tiny/llama@${COMMIT}`],
    surroundings,
  );
  assertDone(inspected);
  assertStringIncludes(inspected.stdout, "fits       hf://tiny/llama@");
  assertDone(await run(["verify", "hf://tiny/llama-python", "--base", "hf://tiny/llama"], surroundings));
  assertDone(await run(["diff", "hf://tiny/llama", `${REPOSITORY}fixtures/llama/base`], surroundings));
  assertDone(await run(["diff", `${web.origin}/m/`, `${REPOSITORY}fixtures/llama/base`], environment(web.origin)));
  // A reflection undoes itself.
  const args = ["unmerge", "--base", "hf://tiny/llama", "--adapter", "hf://tiny/ether", "--output", newPath("un")];
  assertDone(await run([...args, "--original", "hf://tiny/llama"], surroundings));
});

Deno.test("references that are none, and places that cannot be elsewhere, are wrong usage", async () => {
  const surroundings = environment("http://127.0.0.1:1");
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [mergeArgs("hf://a/b/c", "x", "out"), /^error: usage: --base: "a\/b\/c" is no repository's name; hf:/],
    [mergeArgs("hf://a/b", "https://u:p@h/x", "out"), /^error: usage: --adapter: a URL with a name or a password/],
    [mergeArgs("hf://a/b", "x", "hf://a/b"), /^error: usage: --output: hf:\/\/ is not supported here/],
    [["inspect", "hf://a/b", "--sha256"], /^error: usage: --sha256: /],
    [["verify", "hf://a/b"], /^error: usage: PATH: hf:\/\/ is not supported here/],
  ];
  for (const [args, line] of cases) assertRefused(await run(args, surroundings), 2, line);
  assertRefused(await run(["inspect", "hf://a/b"], environment("ftp://x")), 2, /^error: usage: HF_ENDPOINT: /);
  const blank = await run(["inspect", "hf://a/b"], environment("http://127.0.0.1:1", { HF_TOKEN: "a b" }));
  assertRefused(blank, 2, /^error: usage: HF_TOKEN: is no token/);
});

Deno.test("what is typed allows no plain HTTP, and a redirect to a private address is refused", async () => {
  await using inside = startHost(() => new Response("secret"));
  const refused = await run(["inspect", `${inside.origin}/x/`], environment("https://huggingface.co"));
  assertRefused(refused, 1, /^error: host_refused: http:\/\/127\.0\.0\.1:\d+\/x\/?.*: .*it is not https/);
  await using hub = startHost(() => Response.redirect("https://localhost:9/x"));
  const redirected = await run(["inspect", "hf://a/b"], environment(hub.origin));
  assertRefused(
    redirected,
    1,
    /^error: host_refused: hf:\/\/a\/b: localhost:9 has the address .*, which is not public/,
  );
  assertEquals(inside.asked.length, 0);
});
