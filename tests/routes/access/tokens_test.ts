import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { parseTokenRules, simpleTokenRules, type TokenRule } from "../../../routes/access/token_rules.ts";
import { AccessRules, requireRead, requireWrite } from "../../../routes/access/tokens.ts";
import { EtherError } from "../../../runtime/error.ts";
import { sha256Hex } from "../../../runtime/io/digest.ts";

const encoder = new TextEncoder();
const digest = (token: string) => sha256Hex(encoder.encode(token));

async function rule(token: string, fields: Partial<TokenRule>): Promise<TokenRule> {
  return { sha256: await digest(token), read: false, write: false, adapters: ["*"], ...fields };
}

Deno.test("tokens: without rules everyone reads and nobody writes", async () => {
  const access = new AccessRules([]);
  assertEquals([access.readsNeedToken, access.hasWriters], [false, false]);
  for (const header of [undefined, "Bearer hf_of_another_hub", "Basic eA==", ""]) {
    const caller = await access.callerOf(header);
    assertEquals([caller.read, caller.write, caller.visible("poet"), caller.writable("poet")], [
      ...[true, false, true, false],
    ]);
    requireRead(caller);
    assertEquals(assertThrows(() => requireWrite(caller), EtherError).code, "unauthorized");
  }
});

Deno.test("tokens: with a write token alone, everyone reads, also with a token that is not known", async () => {
  const access = new AccessRules(await simpleTokenRules({ writeToken: "hf_w" }));
  assertEquals((await access.callerOf("Bearer hf_other")).read, true);
  const writer = await access.callerOf("bearer  hf_w");
  assertEquals([writer.read, writer.write, writer.writable("poet"), writer.tokenId], [
    ...[true, true, true, (await digest("hf_w")).slice(0, 8)],
  ]);
});

Deno.test("tokens: with a read token, strangers read nothing and readers do not write", async () => {
  const access = new AccessRules(await simpleTokenRules({ readToken: "hf_r", writeToken: "hf_w" }));
  for (const [header, code] of [[undefined, "unauthorized"], ["Bearer hf_x", "unauthorized"]] as const) {
    const caller = await access.callerOf(header);
    assertEquals([caller.read, caller.visible("poet")], [false, false]);
    assertEquals(assertThrows(() => requireRead(caller), EtherError).code, code);
  }
  const reader = await access.callerOf("Bearer hf_r");
  requireRead(reader);
  assertEquals(assertThrows(() => requireWrite(reader), EtherError).code, "forbidden");
  const writer = await access.callerOf("Bearer hf_w");
  requireRead(writer);
  requireWrite(writer);
});

Deno.test("tokens: each rule sees and writes its own adapters", async () => {
  const access = new AccessRules([
    await rule("a", { read: true, adapters: ["a-*", "shared"] }),
    await rule("b", { read: true, write: true, adapters: ["b-*"] }),
    await rule("w", { write: true, adapters: ["a-*"] }),
  ]);
  const a = await access.callerOf("Bearer a");
  assertEquals(["a-1", "shared", "b-1"].map(a.visible), [true, true, false]);
  assertEquals(a.writable("a-1"), false);
  const b = await access.callerOf("Bearer b");
  assertEquals([b.visible("a-1"), b.visible("b-1"), b.writable("b-1"), b.writable("a-1")], [false, true, true, false]);
  // Who only writes does not read.
  const w = await access.callerOf("Bearer w");
  assertEquals([w.read, w.visible("a-1"), w.writable("a-1")], [false, false, true]);
});

Deno.test("tokens: neither a prefix nor a longer text is the token", async () => {
  const access = new AccessRules(await simpleTokenRules({ readToken: "hf_secret" }));
  for (const token of ["hf_secre", "hf_secrets", "HF_SECRET", "", "hf_secret\u00e9", "x".repeat(100_000)]) {
    assertEquals((await access.callerOf(`Bearer ${token}`)).read, false, token.slice(0, 20));
  }
  assertEquals((await access.callerOf("Bearer hf_secret")).read, true);
});

Deno.test("tokens: empty, torn and equal simple tokens are refused", async () => {
  for (const token of ["", "a b", "a\n", "é"]) {
    assertEquals((await assertRejects(() => simpleTokenRules({ readToken: token }), EtherError)).code, "usage");
  }
  const same = () => simpleTokenRules({ readToken: "hf_x", writeToken: "hf_x" });
  assertEquals((await assertRejects(same, EtherError)).field, "writeToken");
});

Deno.test("tokens: a list of rules is read, with what it leaves out", () => {
  const sha256 = "AB".repeat(32);
  const text = `[{"sha256": "${sha256}", "read": true}, {"sha256": "${
    "0".repeat(64)
  }", "write": true, "adapters": ["a*"]}]`;
  assertEquals(parseTokenRules(encoder.encode(text), "tokens.json"), [
    { sha256: sha256.toLowerCase(), read: true, write: false, adapters: ["*"] },
    { sha256: "0".repeat(64), read: false, write: true, adapters: ["a*"] },
  ]);
});

const sha = `"sha256": "${"0".repeat(64)}"`;
for (
  const [name, text, field] of [
    ["no list", `{}`, undefined],
    ["an item that is no object", `[1]`, "[0]"],
    ["a short digest", `[{"sha256": "00", "read": true}]`, "[0].sha256"],
    ["a misspelt field", `[{${sha}, "read": true, "adapter": []}]`, "[0].adapter"],
    ["read as text", `[{${sha}, "read": "yes"}]`, "[0].read"],
    ["a rule that allows nothing", `[{${sha}}]`, "[0].read"],
    ["one token twice", `[{${sha}, "read": true}, {${sha}, "write": true}]`, "[1].sha256"],
    ["adapters as text", `[{${sha}, "read": true, "adapters": "*"}]`, "[0].adapters"],
  ] as const
) {
  Deno.test(`tokens: a list with ${name} is refused`, () => {
    const error = assertThrows(() => parseTokenRules(encoder.encode(text), "tokens.json"), EtherError);
    assertEquals([error.code, error.file, error.field], ["bad_config", "tokens.json", field]);
  });
}
