/** The command line. Commands are loaded when they are called, so that `--help` answers at once. */
import { Command, CommanderError, Option } from "@commander-js/extra-typings";
import denoJson from "./deno.json" with { type: "json" };
import { writeOut } from "./commands/console.ts";
import { BACKEND_CHOICES, collect, DTYPE_CHOICES, parseCount } from "./commands/flags.ts";
import { reportError, runCommand } from "./commands/run_command.ts";
import { EtherError } from "./runtime/error.ts";

/** Nothing is written but help: errors are ours to print. Asking for colours would take rights that no task has. */
const OUTPUT = { writeOut, writeErr: () => {}, getOutHasColors: () => false, getErrHasColors: () => false };

/** The module of each command. */
interface Commands {
  readonly merge: typeof import("./commands/merge.ts");
  readonly unmerge: typeof import("./commands/unmerge.ts");
  readonly inspect: typeof import("./commands/inspect.ts");
  readonly verify: typeof import("./commands/verify.ts");
  readonly convert: typeof import("./commands/convert.ts");
  readonly diff: typeof import("./commands/diff.ts");
  readonly serve: typeof import("./commands/serve.ts");
  readonly demo: typeof import("./commands/demo.ts");
}

/**
 * Loads a command. What an `import` with its path written out could ever reach, Deno reads at the start, all commands'
 * modules and packages with it: 4 MB, and time. A path in a variable is read when its command is called.
 */
async function load<Name extends keyof Commands>(name: Name): Promise<Commands[Name]> {
  const path = `./commands/${name}.ts`;
  return await import(path);
}

/** A command with what all commands share. */
function command(name: string, description: string) {
  return new Command(name)
    .description(description)
    .option("--json", "print one JSON document on stdout")
    .option("-q, --quiet", "no progress and no notes: only results, warnings and errors")
    .option("-v, --verbose", "say why things happen")
    .option("--debug", "print a stack trace with an error")
    .helpOption("-h, --help", "show this help")
    .exitOverride()
    .configureOutput(OUTPUT);
}

const workers = new Option("--workers <n>", "threads; one for each core, at most four, by default").argParser(
  parseCount,
);
const backend = new Option("--backend <name>", "what computes").choices(BACKEND_CHOICES).default("auto");

/** What differs in the flags of the two commands that write a model. */
interface WritingWords {
  readonly base: string;
  readonly adapter: string;
  readonly strength: string;
  readonly mismatch: string;
}

/** A command that writes a model made of a base and adapters. */
function writingCommand(name: string, description: string, { base, adapter, strength, mismatch }: WritingWords) {
  return command(name, description)
    .requiredOption("--base <path>", base)
    .requiredOption("--adapter <path>", adapter, collect)
    .requiredOption("--output <path>", "folder to write; it appears when it is complete")
    .addOption(new Option("--dtype <dtype>", "dtype of every float tensor").choices(DTYPE_CHOICES).default("keep"))
    .option("--strength <x>", strength, collect)
    .addOption(workers)
    .addOption(backend)
    .option("--max-memory <size>", "bound for tiles and sketches over all workers, such as 64M")
    .option("--untie", "give a tied output head a weight of its own")
    .option("--verify", "read the output again and compare its digests")
    .option("--sha256", "record plain SHA-256 of base and output too")
    .option("--allow-base-mismatch", mismatch)
    .option("--force", "replace an older merged folder")
    .option("--dry-run", "make every check, print the plan, write nothing")
    .option("--config <file>", "lit_config.json of a .pth adapter; the one beside it or one folder up, by default");
}

const merge = writingCommand("merge", "Merge adapters into a base model and write the checkpoint.", {
  base: "model: a folder, a .safetensors file, hf://owner/repo[@revision] or an https:// URL",
  adapter: "adapter: like the base; repeat it, they apply in order",
  strength: "how strongly: once for all adapters, or once for each",
  mismatch: "merge although the adapter was trained on another base",
})
  .option(
    "--receipt [file]",
    "write what unmerge needs to give the base back to the bit; beside the output, by default",
  )
  .action((flags) => runCommand(flags, async (context) => (await load("merge")).merge(flags, context)));

const unmerge = writingCommand(
  "unmerge",
  "Undo a merge: the model without its adapters, up to roundings or to the bit.",
  {
    base: "the merged model: a folder, a .safetensors file, hf://owner/repo[@revision] or an https:// URL",
    adapter: "adapter: like the base; repeat it in the order of the merge",
    strength: "as in the merge: once for all adapters, or once for each",
    mismatch: "unmerge although the adapter was trained on another base",
  },
)
  .option("--receipt <file>", "the receipt of the merge: give the base back to the bit, and prove it")
  .option("--original <path>", "the base, where it is still there: count the elements that differ")
  .action((flags) => runCommand(flags, async (context) => (await load("unmerge")).unmerge(flags, context)));

const inspect = command("inspect", "Show what a model or an adapter is made of, and check it.")
  .argument("<path>", "model or adapter: a folder or a .safetensors file")
  .option("--base <path>", "the model that the adapter is for: check that they fit, and measure what changes")
  .option("--config <file>", "lit_config.json of a .pth adapter; the one beside it or one folder up, by default")
  .option("--html <file>", "with --base: write what was measured as a page with a picture of each layer")
  .option("--sha256", "write the SHA-256 of each weight file of a model beside it")
  .action((path, flags) => runCommand(flags, async (context) => (await load("inspect")).inspect(path, flags, context)));

const verify = command("verify", "Hold a merged folder against its manifest, or an adapter against a base.")
  .argument("<path>", "merged folder; or an adapter, with --base")
  .option("--base <path>", "the model that the adapter is for")
  .addOption(workers)
  .action((path, flags) => runCommand(flags, async (context) => (await load("verify")).verify(path, flags, context)));

const convert = command("convert", "Convert an official ETHER checkpoint (.pth) into an adapter folder.")
  .option("--checkpoint <path>", "lit_model_ether_finetuned.pth, or the folder that training wrote")
  .option("--config <file>", "lit_config.json; the one beside the checkpoint or one folder up, by default")
  .option("--base <path>", "the model that it is for: tells what its modules are, and whether they fit")
  .option("--output <path>", "folder to write; it appears when it is complete")
  .option("--force", "replace an older adapter folder")
  .addOption(new Option("--adapter <path>", "an adapter to convert").hideHelp())
  .addOption(new Option("--to <format>", "what to convert it into").hideHelp())
  .action((flags) => runCommand(flags, async (context) => (await load("convert")).convert(flags, context)));

const diff = command("diff", "Compare two models tensor by tensor. Exits 0 where they are equal, 4 where they differ.")
  .argument("<a>", "model: a folder or a .safetensors file")
  .argument("<b>", "model to hold against it")
  .action((a, b, flags) => runCommand(flags, async (context) => (await load("diff")).diff(a, b, flags, context)));

const serve = command("serve", "Show models, and models with adapters merged into them, as repositories of a Hub.")
  .option("--models <folder>", "folder of models (name/, owner/name/, a Hub cache, name.json), or one model")
  .option("--adapters <folder>", "folder of adapters: each folder in it is one, by its name")
  .option("--host <address>", "address to listen at", "127.0.0.1")
  .option("--port <number>", "port to listen at; 0 takes a free one", "8000")
  .option(
    "--tokens <file>",
    "JSON list of tokens: sha256, read, write, adapters; one of each by ETHER_READ/WRITE_TOKEN",
  )
  .option("--allow-hosts <hosts>", "hosts that models and adapters may come from, with commas between them")
  .option("--max-bytes <size>", "what all requests together may hold in memory, such as 128M")
  .option(
    "--workers <n>",
    "threads that compute long downloads beside the one that sends (default: cores - 1, up to 3)",
  )
  .option("--backend <name>", "what computes linear of /v1/apply: auto, wasm or webgpu (default: auto)")
  .option("--allow-pth", "read official checkpoints (.pth) among the adapters")
  .option("--public-url <url>", "URL by which clients see the server, where a proxy takes a part of the path away")
  .action((flags) => runCommand(flags, async (context) => (await load("serve")).serve(flags, context)));

const demo = command("demo", "Merge the shipped small model with its trained adapter, and show what it did.")
  .option("--output <path>", "keep the merged model here; by default it is removed")
  .action((flags) => runCommand(flags, async (context) => (await load("demo")).demo(flags, context)));

const program = new Command("ether-edge")
  .description("Merge ETHER adapters into base models, exactly, at the speed of copying the file.")
  .version(denoJson.version)
  .helpOption("-h, --help", "show this help")
  .exitOverride()
  .configureOutput(OUTPUT)
  .addCommand(demo)
  .addCommand(merge)
  .addCommand(unmerge)
  .addCommand(inspect)
  .addCommand(verify)
  .addCommand(diff)
  .addCommand(convert)
  .addCommand(serve);

/** Of a value that is given twice the parser would keep the last, whichever was meant. */
function refuseRepeats(): void {
  for (const command of program.commands) {
    for (const option of command.options) {
      if (option.isBoolean() || option.parseArg === collect) continue;
      let given = false;
      command.on(`option:${option.name()}`, () => {
        if (given) throw new EtherError("usage", "given more than once", { field: option.long, hint: "give it once" });
        given = true;
      });
    }
  }
}

/** Runs the command line. Never returns: commands end the process. */
async function main(args: readonly string[]): Promise<void> {
  refuseRepeats();
  try {
    if (args.length === 0) program.help();
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const known = error instanceof CommanderError ? usageError(error, args) : error;
    Deno.exit(reportError(known, { json: args.includes("--json"), debug: args.includes("--debug") }));
  }
}

/** What the parser refused, with the flag that it quotes as the field. */
function usageError({ code, message }: CommanderError, args: readonly string[]): EtherError {
  const unknown = code === "commander.missingMandatoryOptionValue" ? unknownFlag(args) : undefined;
  if (unknown !== undefined) message = `unknown option '${unknown}'`;
  const line = message.replace(/^error: /, "").replace(/\s*\n\s*/g, " ").replace(/\.$/, "");
  const flag = /'(?:-\w, )?(--?[a-z][a-z0-9-]*)/i.exec(line)?.[1];
  return new EtherError("usage", line, { field: flag, hint: "see --help" });
}

/** A flag that the command does not have. The parser would rather miss `--base` than look at `--bse`. */
function unknownFlag([name, ...rest]: readonly string[]): string | undefined {
  const options = program.commands.find((command) => command.name() === name)?.options ?? [];
  const flags = rest.filter((arg) => /^--\w/.test(arg)).map((arg) => arg.split("=")[0]!);
  return flags.find((flag) => options.every(({ long }) => long !== flag));
}

if (import.meta.main) await main(Deno.args);
