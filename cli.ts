/** The command line. Commands are loaded when they are called, so that `--help` answers at once. */
import { Command, CommanderError, Option } from "@commander-js/extra-typings";
import denoJson from "./deno.json" with { type: "json" };
import { collect, DTYPE_CHOICES, parseCount } from "./commands/flags.ts";
import { reportError, runCommand } from "./commands/run_command.ts";
import { EtherError } from "./runtime/error.ts";

/** A command with what all commands share. */
function command(name: string, description: string) {
  return new Command(name)
    .description(description)
    .option("--json", "print one JSON document on stdout")
    .option("-q, --quiet", "say nothing but warnings and errors")
    .option("-v, --verbose", "say why things happen")
    .option("--debug", "print a stack trace with an error")
    .helpOption("-h, --help", "show this help")
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
}

const workers = new Option("--workers <n>", "threads; one for each core, at most four, by default").argParser(
  parseCount,
);
const backend = new Option("--backend <name>", "what computes").choices(["auto", "wasm"]).default("auto");

const merge = command("merge", "Merge adapters into a base model and write the checkpoint.")
  .requiredOption("--base <path>", "model: a folder (also of the Hub's cache) or a .safetensors file")
  .requiredOption("--adapter <path>", "adapter folder or file; repeat it, they apply in order", collect, [] as string[])
  .requiredOption("--output <path>", "folder to write; it appears when it is complete")
  .addOption(new Option("--dtype <dtype>", "dtype of every float tensor").choices(DTYPE_CHOICES).default("keep"))
  .option("--strength <x>", "how strongly: once for all adapters, or once for each", collect, [] as string[])
  .addOption(workers)
  .addOption(backend)
  .option("--max-memory <size>", "bound for tiles and sketches over all workers, such as 64M")
  .option("--untie", "give a tied output head a weight of its own")
  .option("--verify", "read the output again and compare its digests")
  .option("--sha256", "record plain SHA-256 of base and output too")
  .option("--allow-base-mismatch", "merge although the adapter was trained on another base")
  .option("--force", "replace an older merged folder")
  .option("--dry-run", "make every check, print the plan, write nothing")
  .action((flags) => runCommand(flags, async (context) => (await import("./commands/merge.ts")).merge(flags, context)));

const inspect = command("inspect", "Show what a model or an adapter is made of, and check it.")
  .argument("<path>", "model or adapter: a folder or a .safetensors file")
  .option("--base <path>", "the model that the adapter is for: check that they fit")
  .option("--sha256", "write the SHA-256 of each weight file of a model beside it")
  .action((path, flags) =>
    runCommand(flags, async (context) => (await import("./commands/inspect.ts")).inspect(path, flags, context))
  );

const verify = command("verify", "Hold a merged folder against its manifest, or an adapter against a base.")
  .argument("<path>", "merged folder; or an adapter, with --base")
  .option("--base <path>", "the model that the adapter is for")
  .addOption(workers)
  .action((path, flags) =>
    runCommand(flags, async (context) => (await import("./commands/verify.ts")).verify(path, flags, context))
  );

const demo = command("demo", "Merge the shipped small model with its trained adapter, and show what it did.")
  .option("--output <path>", "keep the merged model here; by default it is removed")
  .action((flags) => runCommand(flags, async (context) => (await import("./commands/demo.ts")).demo(flags, context)));

const program = new Command("ether-edge")
  .description("Merge ETHER adapters into base models, exactly, at the speed of copying the file.")
  .version(denoJson.version)
  .helpOption("-h, --help", "show this help")
  .exitOverride()
  .configureOutput({ writeErr: () => {} })
  .addCommand(demo)
  .addCommand(merge)
  .addCommand(inspect)
  .addCommand(verify);

/** Runs the command line. Never returns: commands end the process. */
async function main(args: readonly string[]): Promise<void> {
  try {
    if (args.length === 0) program.help();
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const usage = error instanceof CommanderError
      ? new EtherError("usage", error.message.replace(/^error: /, "").replace(/\s*\n\s*/g, " "), { hint: "see --help" })
      : error;
    Deno.exit(reportError(usage, { json: args.includes("--json"), debug: args.includes("--debug") }));
  }
}

if (import.meta.main) await main(Deno.args);
