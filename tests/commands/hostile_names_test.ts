import { assert, assertEquals, assertMatch } from "@std/assert";
import { assertDone, assertRefused, mergeArgs, type Outcome, run } from "./command_line.ts";
import { makeAdapter, makeBase, makeFolder, newPath, tensorFile } from "./made_files.ts";

/** What a name may do to a terminal, a log, or a reader's eyes. */
const NAMES: Readonly<Record<string, string>> = {
  "a line break": "a\nerror: usage: all is well",
  "a carriage return and an escape": "a\r\x1b[2J\x1b]0;title\x07b",
  "a C1 control": "a\x9b2Jb",
  "a line separator": "a\u2028b\u2029c",
  "bidi controls": "a\u202egnp.exe\u2066b\u200f\u061c",
  "a hundred thousand characters": "a".repeat(100_000),
};

/** No character that moves a cursor, breaks a line or turns text around; no line that is a wall. */
function assertTame(text: string): void {
  for (const line of text.split("\n")) {
    assertEquals(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u.test(line), false, JSON.stringify(line.slice(0, 200)));
    assert(line.length < 2500, `a line of ${line.length} characters`);
  }
}

function assertOneErrorLine({ stderr }: Outcome): void {
  assertEquals(stderr.split("\n").filter((line) => line.startsWith("error: ")).length, 1);
  assertTame(stderr);
}

for (const [what, name] of Object.entries(NAMES)) {
  Deno.test(`an adapter tensor whose name has ${what} is refused in one line`, async () => {
    for (const tensor of [name, `base_model.model.${name}.ether_u_in`, `base_model.model.${name}.ether_v_in`]) {
      const adapter = makeAdapter({}, { [tensor]: { dtype: "F32", shape: [2, 4] } });
      const outcome = await run(mergeArgs(makeBase(), adapter, newPath()));
      assertRefused(outcome, 1, /^error: (unused_tensor|unknown_target): /);
      assertOneErrorLine(outcome);
    }
  });

  Deno.test(`config fields whose name or value has ${what} are told in one line`, async () => {
    const configs = [{ peft_type: name }, { variant: name }, { target_modules: [name] }, { bias: name }];
    for (const config of [...configs, { fused_qkv: { [name]: {} } }, { base_fingerprint: { structure: name } }]) {
      const outcome = await run(mergeArgs(makeBase(), makeAdapter(config), newPath()));
      assertRefused(outcome, 1, /^error: (unsupported|bad_config|missing_param|unsupported_feature): /);
      assertOneErrorLine(outcome);
    }
    const warned = await run(
      mergeArgs(makeBase(), makeAdapter({ [name]: 1, variant_overrides: { [name]: "oft" } }), newPath()),
    );
    assertDone(warned);
    assertMatch(warned.stderr, /^warning: .*\nwarning: .*\n$/);
    assertTame(warned.stderr);
  });

  Deno.test(`a base's names with ${what} come out of inspect and --dry-run tame`, async () => {
    const tensors = { [`${name}.weight`]: { dtype: "F32", shape: [8, 8] } } as const;
    const base = makeFolder({ "config.json": { architectures: [name] }, "model.safetensors": tensorFile(tensors) });
    const adapter = makeAdapter({}, { [`base_model.model.${name}.ether_u_in`]: { dtype: "F32", shape: [2, 4] } });
    for (
      const args of [
        ["inspect", base],
        ["inspect", adapter, "--base", base],
        mergeArgs(base, adapter, newPath(), "--dry-run"),
      ]
    ) {
      const { code, stdout, stderr } = await run(args);
      assertEquals(code, 0, stderr);
      if (name.length < 1000) assertTame(stdout);
    }
    const { stdout } = await run(["inspect", base, "--json"]);
    assertEquals(JSON.parse(stdout).tensors[0].name, `${name}.weight`);
  });
}

Deno.test("an index or a header with hostile names is refused in one line", async () => {
  for (const name of Object.values(NAMES)) {
    const maps = [{ x: name }, { x: `../${name}` }, { [name]: "model-1.safetensors" }];
    for (const weight_map of maps) {
      const base = makeFolder({
        "model.safetensors.index.json": { weight_map },
        "model-1.safetensors": tensorFile({ y: { dtype: "F32", shape: [1] } }),
      });
      const outcome = await run(["inspect", base]);
      assertRefused(outcome, 1, "bad_index");
      assertOneErrorLine(outcome);
    }
  }
});

Deno.test("a path that the user names comes back in one line", async () => {
  const outcome = await run(["inspect", "a\nb\u202ec"]);
  assertRefused(
    outcome,
    1,
    /^error: not_found: a\\u000ab\\u202ec: no such file or folder; check the path: \/[^;]* has no "a\\nb\\u202ec"$/,
  );
});
