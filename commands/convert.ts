/** `convert`: an official ETHER checkpoint → an adapter in the project's format. */
import { type Adapter, openAdapter } from "../runtime/adapters/adapter.ts";
import { isOfficial, otherCheckpoints } from "../runtime/adapters/official/find.ts";
import { Targets } from "../runtime/adapters/target.ts";
import { type Model, openModel } from "../runtime/checkpoints/model.ts";
import { headState } from "../runtime/checkpoints/tied.ts";
import { openPlace } from "../runtime/deno/file_folder.ts";
import { EtherError } from "../runtime/error.ts";
import type { OpenSource } from "../runtime/io/folder.ts";
import { methodOf } from "../runtime/methods/registry.ts";
import { isReference } from "../runtime/remote/reference.ts";
import { writeTensorFile } from "../runtime/safetensors/write_file.ts";
import { checkAdapterPlace, writeAdapter } from "./adapter_output.ts";
import { placesFor, resolveInput } from "./inputs.ts";
import { isWithin, realPathOf, resolvePath } from "./paths.ts";
import type { CommandContext, CommonFlags } from "./run_command.ts";
import { formatBytes, formatCounted } from "./units.ts";

/** Flags of `convert`. */
export interface ConvertFlags extends CommonFlags {
  readonly checkpoint?: string | undefined;
  readonly config?: string | undefined;
  readonly base?: string | undefined;
  readonly output?: string | undefined;
  readonly force?: true | undefined;
  /** Exports, which come later. */
  readonly adapter?: string | undefined;
  readonly to?: string | undefined;
}

/** What safetensors' own writers for torch say. */
const METADATA: ReadonlyMap<string, string> = new Map([["format", "pt"]]);

/** Converts. */
export async function convert(flags: ConvertFlags, context: CommandContext): Promise<void> {
  const { console, json, signal } = context;
  const places = placesFor({ "--base": flags.base }, context);
  const { checkpoint, output } = namedPaths(flags);
  const checkpointPath = resolvePath(checkpoint, "--checkpoint");
  const basePath = flags.base === undefined ? null : resolveInput(flags.base, "--base");
  const outputPath = resolvePath(output, "--output");
  const litConfig = flags.config === undefined
    ? undefined
    : await openPlace(resolvePath(flags.config, "--config"), flags.config);
  const place = await openPlace(checkpointPath, checkpoint);
  if (!await isOfficial(place)) {
    const other = otherCheckpoints(place, await place.folder.list()).at(-1);
    const hint = other === undefined
      ? "name lit_model_ether_finetuned.pth, or the folder that holds it"
      : `name a file of it, such as ${other}`;
    throw new EtherError("unsupported_format", "not an official checkpoint", { file: checkpoint, hint });
  }
  checkApart(outputPath, output, checkpointPath, basePath === null || isReference(basePath) ? null : basePath);
  const target = { path: outputPath, name: output, force: flags.force ?? false };
  await checkAdapterPlace(target);

  const { openSource, startDigest } = places.storage;
  const base = basePath === null ? undefined : await openModel(await places.open(basePath, flags.base!), openSource);
  const adapter = await openAdapter(place, openSource, startDigest, { litConfig, base });
  const { facts, parameterCount, warnings } = await methodOf(adapter).describe(adapter);
  const heard = base === undefined ? warnings : await checkFit(adapter, base, openSource, signal);
  for (const warning of heard) console.warn(warning);
  signal.throwIfAborted();

  const tensors = adapter.header.tensors.toSorted((a, b) => a.name < b.name ? -1 : 1);
  const byteLength = await writeAdapter(target, adapter.config, async (sink) => {
    const source = await openSource(adapter.locator);
    try {
      return await writeTensorFile(source, tensors, METADATA, sink);
    } finally {
      source.close();
    }
  });
  if (json) {
    const { variant, sides, num_blocks, layout } = facts;
    return console.result(JSON.stringify({
      ...{ output, peft_type: adapter.peftType, variant, sides, num_blocks, layout },
      ...{ tensors: tensors.length, parameters: parameterCount, bytes: byteLength },
    }));
  }
  console.result(`converted ${formatCounted(tensors.length, "tensor")} of ${checkpoint} into ${output}`);
  const { variant, num_blocks, layout } = facts;
  const sides = (facts.sides as readonly string[]).join(", ");
  console.result(
    `${variant} in ${num_blocks} blocks, sides ${sides}, layout ${layout}, ${formatBytes(byteLength)}` +
      (base === undefined ? "" : `; it fits ${flags.base}`),
  );
}

function namedPaths({ checkpoint, output, adapter, to }: ConvertFlags): { checkpoint: string; output: string } {
  if (to !== undefined || adapter !== undefined) {
    const message = "converting an adapter into another format is not supported yet";
    throw new EtherError("usage", message, { field: "--to", hint: "only --checkpoint is" });
  }
  if (checkpoint === undefined) {
    throw new EtherError("usage", "required option '--checkpoint <path>' not specified", {
      field: "--checkpoint",
      hint: "see --help",
    });
  }
  if (output === undefined) {
    throw new EtherError("usage", "required option '--output <path>' not specified", {
      field: "--output",
      hint: "see --help",
    });
  }
  return { checkpoint, output };
}

/** Every check that a merge makes. A tied head can be merged with `--untie`, so that it is no reason not to convert. */
async function checkFit(
  adapter: Adapter,
  base: Model,
  openSource: OpenSource,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const tied = headState(base).tied;
  const targets = new Targets(
    base,
    tied && adapter.header.tensors.some(({ name }) => /\.(lm_head|embed_out)\./.test(name)),
  );
  const options = { targets, strength: 1, allowBaseMismatch: false, openSource, signal };
  const { stages, warnings } = await methodOf(adapter).compile(adapter, options);
  if (!stages.some(({ tensor }) => tensor === targets.untied)) return warnings;
  return [...warnings, `${base.name} shares its head with the input embedding: a merge needs --untie`];
}

/** An output that is or contains an input would replace it; one in the base would become part of it. */
function checkApart(outputPath: string, name: string, checkpointPath: string, basePath: string | null): void {
  const output = realPathOf(outputPath);
  const refuse = (relation: string): never => {
    const details = { file: name, field: "--output", hint: "name another" };
    throw new EtherError("usage", `the output ${relation}`, details);
  };
  if (isWithin(realPathOf(checkpointPath), output)) refuse("is or contains the checkpoint");
  if (basePath === null) return;
  const base = realPathOf(basePath);
  if (isWithin(base, output) || isWithin(output, base)) refuse("is, contains or lies in the base");
}
