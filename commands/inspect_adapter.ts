/** `inspect` of an adapter: what it is, what others would need for the same, and with a base what it does. */
import { type Adapter, openAdapter } from "../runtime/adapters/adapter.ts";
import { isOfficial } from "../runtime/adapters/official/find.ts";
import { analysePlan, analysisByteLength, type TensorAnalysis } from "../runtime/analysis/analyse_plan.ts";
import {
  type ComparedCounts,
  comparedCounts,
  comparedCountsWithin,
  LORA_RANK,
} from "../runtime/analysis/compared_counts.ts";
import type { Place } from "../runtime/checkpoints/model.ts";
import { openPlace } from "../runtime/deno/file_folder.ts";
import type { Places } from "../runtime/deno/places.ts";
import { EtherError } from "../runtime/error.ts";
import type { AdapterDescription } from "../runtime/methods/method.ts";
import { methodOf } from "../runtime/methods/registry.ts";
import type { MergePlan } from "../runtime/plans/plan.ts";
import { prepareMerge } from "../runtime/plans/prepare_merge.ts";
import { analysisDocument, analysisTable } from "./inspect_analysis.ts";
import { checkPagePath, writePage } from "./inspect_page/write_page.ts";
import { resolveInput } from "./inputs.ts";
import { longWork } from "./long_work.ts";
import { resolvePath } from "./paths.ts";
import type { CommandContext, CommonFlags } from "./run_command.ts";
import { formatCount, formatCounted } from "./units.ts";

/** Flags of `inspect` on an adapter. */
export interface InspectAdapterFlags extends CommonFlags {
  readonly base?: string | undefined;
  readonly html?: string | undefined;
  readonly config?: string | undefined;
}

/** Inspects an adapter. */
export async function inspectAdapter(
  path: string,
  place: Place,
  places: Places,
  flags: InspectAdapterFlags,
  context: CommandContext,
): Promise<void> {
  const { base, html } = flags;
  if (html !== undefined && base === undefined) {
    const hint = "name the model with --base";
    throw new EtherError("usage", "a page shows what is measured on a base", { field: "--html", hint });
  }
  const pagePath = html === undefined ? null : resolvePath(html, "--html");
  if (pagePath !== null) await checkPagePath(pagePath, html!);
  const litConfig = flags.config === undefined
    ? undefined
    : await openPlace(resolvePath(flags.config, "--config"), flags.config);
  if (litConfig !== undefined && !await isOfficial(place)) {
    throw new EtherError("usage", "no .pth checkpoint", { file: path, field: "--config", hint: "leave it out" });
  }
  if (base === undefined) return await inspectAlone(path, place, litConfig, places, context);

  const { plan, adapters: [prepared] } = await prepareMerge({
    base: await places.open(resolveInput(base, "--base"), base),
    ...{ adapters: [{ place }], litConfig, signal: context.signal },
  }, places.storage);
  const { adapter } = prepared!;
  const description = await methodOf(adapter).describe(adapter);
  for (const warning of plan.warnings) context.console.warn(warning);
  const analyses = await analyse(plan, places, flags, context);
  const shown = { path, adapter, description, counts: comparedCountsWithin(adapter, analyses) };
  if (pagePath !== null) {
    await writePage(pagePath, html!, { path, base, parameters: description.parameterCount, ...shown.counts, analyses });
  }
  if (context.json) {
    const targets = plan.transformed.map((target, i) => ({ ...target, ...analysisDocument(analyses[i]!) }));
    return context.console.result(JSON.stringify({ ...adapterDocument(shown), base, targets }));
  }
  printAdapter(shown, context.console);
  printFit(base, analyses, context.console);
  if (pagePath !== null) context.console.note(`wrote ${html}`);
}

async function inspectAlone(
  path: string,
  place: Place,
  litConfig: Place | undefined,
  { storage }: Places,
  { console, json }: CommandContext,
): Promise<void> {
  const adapter = await openAdapter(place, storage.openSource, storage.startDigest, { litConfig });
  const description = await methodOf(adapter).describe(adapter);
  for (const warning of description.warnings) console.warn(warning);
  const shown = { path, adapter, description, counts: comparedCounts(adapter) };
  if (json) return console.result(JSON.stringify(adapterDocument(shown)));
  printAdapter(shown, console);
  console.table(["module"], description.modules.map((module) => [module]));
}

async function analyse(
  plan: MergePlan,
  { openSource }: Places,
  flags: CommonFlags,
  { signal }: CommandContext,
): Promise<TensorAnalysis[]> {
  return await longWork("analyse", analysisByteLength(plan), flags.quiet === true, async (onBytes) => {
    const analyses: TensorAnalysis[] = [];
    const options = { openSource, onBytes, signal };
    for await (const analysis of analysePlan(plan, options)) analyses.push(analysis);
    return analyses;
  });
}

/** An adapter and what is known of it. */
interface Shown {
  readonly path: string;
  readonly adapter: Adapter;
  readonly description: AdapterDescription;
  readonly counts: ComparedCounts;
}

function adapterDocument({ path, adapter, description, counts }: Shown) {
  const { oft } = counts;
  return {
    ...{ kind: "adapter", path, digest: `sha256:${adapter.digest}`, peft_type: adapter.peftType },
    ...description.facts,
    ...{ parameters: description.parameterCount, modules: description.modules },
    compared: {
      lora_r8: counts.lora,
      oft: oft === null ? null : { num_blocks: oft.numBlocks, half: oft.half, skew: oft.skew },
    },
    tensors: adapter.header.tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
  };
}

function printAdapter({ path, adapter, description, counts }: Shown, console: CommandContext["console"]): void {
  const { facts, parameterCount } = description;
  console.result(`adapter    ${path}`);
  console.result(`method     ${adapter.peftType}`);
  for (const [name, value] of Object.entries(facts)) {
    if (value !== null) console.result(`${name.padEnd(10)} ${Array.isArray(value) ? value.join(", ") : value}`);
  }
  const tensors = formatCounted(adapter.header.tensors.length, "tensor");
  console.result(`parameters ${formatCount(parameterCount)} in ${tensors}`);
  for (const line of countLines(counts)) console.result(`beside it  ${line}`);
  console.result(`digest     sha256:${adapter.digest}`);
}

/** What other methods need on the same targets. */
export function countLines({ lora, oft }: ComparedCounts): string[] {
  const lines: string[] = [];
  if (lora !== null) lines.push(`LoRA r=${LORA_RANK}: ${formatCount(lora)}`);
  if (oft !== null) {
    const blocks = formatCounted(oft.numBlocks, "block");
    lines.push(
      `OFT in ${blocks}: ${formatCount(oft.half)} as n²/2 a block, ${formatCount(oft.skew)} as n(n−1)/2`,
    );
  }
  return lines;
}

function printFit(base: string, analyses: readonly TensorAnalysis[], console: CommandContext["console"]): void {
  console.result(`fits       ${base}: changes ${formatCounted(analyses.length, "tensor")}`);
  if (analyses.length === 0) return;
  const { columns, rows, notes } = analysisTable(analyses);
  console.table(columns, rows);
  console.result("");
  for (const note of notes) console.result(note);
}
