import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import denoJson from "../../deno.json" with { type: "json" };
import { assertDone, assertRefused, run } from "./command_line.ts";

const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  demo: ["--output", "--json", "--debug"],
  merge: [
    ...["--base", "--adapter", "--output", "--dtype", "--strength", "--workers", "--backend", "--max-memory"],
    ...["--untie", "--verify", "--sha256", "--allow-base-mismatch", "--force", "--dry-run", "--json", "--debug"],
    ...["--config", "--receipt", "--quiet", "--verbose"],
  ],
  unmerge: [
    ...["--base", "--adapter", "--output", "--dtype", "--strength", "--workers", "--backend", "--max-memory"],
    ...["--untie", "--verify", "--sha256", "--allow-base-mismatch", "--force", "--dry-run", "--json", "--debug"],
    ...["--config", "--receipt", "--original", "--quiet", "--verbose"],
  ],
  inspect: ["<path>", "--base", "--config", "--html", "--sha256", "--json"],
  verify: ["<path>", "--base", "--workers", "--json"],
  convert: ["--checkpoint", "--config", "--base", "--output", "--force", "--json"],
  diff: ["<a>", "<b>", "--json"],
  serve: [
    ...["--models", "--adapters", "--host", "--port", "--tokens", "--allow-hosts", "--max-bytes", "--workers"],
    ...["--backend", "--allow-pth", "--public-url", "--json", "--quiet", "--verbose"],
  ],
};

for (const [command, flags] of Object.entries(COMMANDS)) {
  Deno.test(`${command} --help names every flag and exits 0, with no more rights than the task has`, async () => {
    const outcome = await run([command, "--help"], { env: { NO_COLOR: "" } });
    assertDone(outcome);
    assertEquals(outcome.stderr, "");
    for (const flag of flags) assertStringIncludes(outcome.stdout, flag);
  });
}

Deno.test("--help says that -q leaves the results", async () => {
  assertMatch((await run(["merge", "--help"])).stdout, /--quiet +no progress and no notes: only results, warnings/);
});

Deno.test("--help names every command, and so does no argument at all", async () => {
  for (const args of [["--help"], []]) {
    const outcome = await run(args, { env: { NO_COLOR: "" } });
    assertDone(outcome);
    for (const command of Object.keys(COMMANDS)) assertMatch(outcome.stdout, new RegExp(`^ +${command}\\b`, "m"));
  }
});

Deno.test("--version is the package's", async () => {
  assertEquals((await run(["--version"])).stdout, `${denoJson.version}\n`);
});

for (const command of ["server", "marge"]) {
  Deno.test(`${command} is no command yet: exit 2, and the line names it`, async () => {
    assertRefused(await run([command, "--base", "x"]), 2, new RegExp(`^error: usage: .*${command}`));
  });
}

const REQUIRED = ["merge", "--base", "b", "--adapter", "a", "--output", "o"];

const LATER: readonly (readonly [flag: string, args: readonly string[]])[] = [
  ["--resume", [...REQUIRED, "--resume"]],
  ["--output", ["merge", "--base", ".", "--adapter", ".", "--output", "hf://owner/repo"]],
];

for (const [flag, args] of LATER) {
  Deno.test(`${args.slice(args.indexOf(flag)).slice(0, 2).join(" ")} comes later: exit 2, and the line names it`, async () => {
    assertRefused(await run(args), 2, new RegExp(`^error: usage: ${flag}: `));
  });
}

Deno.test("a later flag with --json is one document on stdout with the flag as its field", async () => {
  const { code, stdout, lastLine } = await run([...REQUIRED, "--resume", "--json"]);
  const { error } = JSON.parse(stdout);
  assertEquals([code, error.code, error.field], [2, "usage", "--resume"]);
  assertEquals(Object.keys(error), ["code", "message", "file", "tensor", "field", "hint"]);
  assertStringIncludes(lastLine, error.message);
});
