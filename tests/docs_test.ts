/**
 * The shell commands of README.md and docs/: each `deno task` runs, in the order of its document, as a user would type
 * it. Its files are copies of the shipped fixtures under the names that the document gives them.
 */
import { assert, assertEquals } from "@std/assert";
import denoJson from "../deno.json" with { type: "json" };
import { assertDone, REPOSITORY, run } from "./commands/command_line.ts";
import { newPath } from "./commands/made_files.ts";

/** What a path of a document stands for, where nothing else is said. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  "path/to/model": "fixtures/llama/base",
  "path/to/adapter": "fixtures/llama/etherplus",
  "fixtures/llama": "fixtures/llama",
  A: "fixtures/llama/base",
  B: "fixtures/llama/base",
};

const LIT = "fixtures/golden/ether/lit/gqa-ether-f32";

/** Documents whose paths stand for something else. */
const PLACEHOLDERS_OF: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  // ETHER+ can lose a direction, which no receipt brings back.
  "docs/unmerge.md": { "path/to/adapter": "fixtures/llama/ether" },
  "docs/adapters.md": {
    "path/to/model/model.safetensors": `${LIT}/base.safetensors`,
    "path/to/lit_config.json": `${LIT}/lit_config.json`,
    "path/to/lit_model_ether_finetuned.pth":
      `${LIT}/d1011-101500_ether-r4_kvpm_lr1e-3_bs16-1_ep1-50k_dr0.0_wd0.0_wu1000_32true/lit_model_ether_finetuned.pth`,
  },
};

/** Commands that are not run, and why; their names and flags are checked all the same. */
const NOT_RUN: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/\b(hf|https?):\/\//, "it needs a network"],
  [/^serve\b/, "it runs until it is stopped"],
  [/^(test|ok)\b/, "it runs this test"],
  [/^test:/, "it installs what this test does without"],
  [/^build\b/, "it writes into the checkout; every check of a change runs it"],
  [/^bench\b/, "it takes minutes"],
];

const TASKS: Readonly<Record<string, { readonly command?: string } | undefined>> = denoJson.tasks;

const documents = ["README.md"];
for (const { name } of Deno.readDirSync(`${REPOSITORY}docs`)) if (name.endsWith(".md")) documents.push(`docs/${name}`);

let commandCount = 0;
for (const document of documents.sort()) {
  const text = Deno.readTextFileSync(REPOSITORY + document);
  const blocks = shellBlocks(text);
  for (const block of blocks.filter((block) => commandsIn(block).length === 0)) {
    console.log(`not run: ${document}: ${JSON.stringify(block.trim().split("\n")[0])}: no command of this project`);
  }
  const commands = blocks.flatMap(commandsIn);
  commandCount += commands.length;

  const runAll = async () => {
    const workspace = layOut({ ...PLACEHOLDERS, ...PLACEHOLDERS_OF[document] }, commands);
    for (const { words, env } of commands) {
      const line = words.join(" ");
      const reason = NOT_RUN.find(([pattern]) => pattern.test(line))?.[1];
      await assertAccepted(words);
      if (reason !== undefined) console.log(`not run: ${document}: deno task ${line}: ${reason}`);
      else assertDone(await run(words, { cwd: workspace, env }));
    }
  };
  if (commands.length > 0) Deno.test(`${document}: its ${commands.length} commands run`, runAll);

  Deno.test(`${document}: every task that it names is there, with the flags that it has there`, async () => {
    for (const [, span] of text.matchAll(/`deno task\s+([a-z][^`]*)`/g)) {
      await assertAccepted(span!.trim().split(/\s+/));
    }
  });
}

Deno.test("docs: commands are found", () => {
  assert(commandCount >= 10, `only ${commandCount} commands were found`);
});

/** The content of each block of shell commands: fenced as `sh` or `console`, or indented. */
function shellBlocks(text: string): string[] {
  const fenced = [...text.matchAll(/^```(?:sh|bash|shell|console)\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
  const rest = text.replace(/^```[\s\S]*?^```$/gm, "");
  const indented = [...rest.matchAll(/(?:^ {4}\S.*\n(?: {4}.*\n|\n(?= {4}))*)/gm)].map(([block]) => block);
  return [...fenced, ...indented.filter((block) => /^ {4}(\$ )?(\w+=\S+ )*(deno|npx) /.test(block))];
}

interface DocumentCommand {
  /** The task and its arguments. */
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** The `deno task` commands of a block, also where `npx` brings Deno. */
function commandsIn(block: string): DocumentCommand[] {
  const commands: DocumentCommand[] = [];
  for (const line of block.replace(/\\\n\s*/g, "").split("\n")) {
    const match = /^\s*(?:\$ )?((?:\w+=\S* )*)(?:npx -y deno@[\d.]+|deno) task (.+)$/.exec(line);
    if (match === null) continue;
    const env = Object.fromEntries(match[1]!.trim().split(" ").filter(Boolean).map((word) => word.split("=", 2)));
    commands.push({ words: wordsOf(match[2]!), env });
  }
  return commands;
}

/** Splits as a shell does, as far as documents go: quotes and comments, nothing else. */
function wordsOf(line: string): string[] {
  const words = [...line.matchAll(/#.*$|'[^']*'|"[^"]*"|\S+/g)].map(([word]) => word);
  const special = words.find((word) => /^[|&;<>]|[$`*]/.test(word));
  assertEquals(special, undefined, `what this test does not understand, in: deno task ${line}`);
  return words.filter((word) => !word.startsWith("#")).map((word) => word.replace(/^(['"])(.*)\1$/, "$2"));
}

/** A folder with what the commands read; outputs are what it does not have yet. */
function layOut(placeholders: Readonly<Record<string, string>>, commands: readonly DocumentCommand[]): string {
  const workspace = newPath("workspace");
  Deno.mkdirSync(workspace);
  const outputs = new Set(commands.map(({ words }) => words[words.indexOf("--output") + 1]));
  for (const [path, fixture] of Object.entries(placeholders)) {
    const nested = Object.keys(placeholders).some((other) => other.startsWith(`${path}/`));
    if (!outputs.has(path) && !nested) copy(REPOSITORY + fixture, `${workspace}/${path}`);
  }
  return workspace;
}

function copy(from: string, to: string): void {
  Deno.mkdirSync(to.slice(0, to.lastIndexOf("/")), { recursive: true });
  if (Deno.statSync(from).isFile) return Deno.copyFileSync(from, to);
  Deno.mkdirSync(to, { recursive: true });
  for (const { name } of Deno.readDirSync(from)) copy(`${from}/${name}`, `${to}/${name}`);
}

const knownFlags = new Map<string, Promise<readonly string[]>>();

/** The task is one of the project's, and if it is a command, it has each flag. */
async function assertAccepted([task = "", ...rest]: readonly string[]): Promise<void> {
  const line = `deno task ${[task, ...rest].join(" ")}`;
  assert(TASKS[task] !== undefined, `no such task: ${line}`);
  if (!TASKS[task].command?.includes("cli.ts")) return;
  if (!knownFlags.has(task)) knownFlags.set(task, flagsOf(task));
  const flags = await knownFlags.get(task)!;
  for (const word of rest.filter((word) => word.startsWith("-"))) {
    assert(flags.includes(word.split("=")[0]!), `no such flag, ${word}: ${line}`);
  }
}

/** The flags that a command's help shows. */
async function flagsOf(task: string): Promise<readonly string[]> {
  const outcome = await run([task, "--help"]);
  assertDone(outcome);
  return [...outcome.stdout.matchAll(/^ {2}(-\w)?(?:, )?(--[\w-]+)?/gm)].flatMap(([, short, long]) => {
    return [short, long].filter((flag) => flag !== undefined);
  });
}
