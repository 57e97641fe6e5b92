/** `unmerge`: a merged checkpoint without its adapters; with a receipt, the base to the bit. */
import { diffModels } from "../runtime/analysis/diff_models.ts";
import { openModel, readSmall } from "../runtime/checkpoints/model.ts";
import { openFileSource } from "../runtime/deno/file_source.ts";
import type { Places } from "../runtime/deno/places.ts";
import type { OpenSource } from "../runtime/io/folder.ts";
import { Fields, listOf, NUMBER, OBJECT, STRING } from "../runtime/json/fields.ts";
import { parseJson } from "../runtime/json/parse.ts";
import { MANIFEST_FILE } from "../runtime/plans/manifest.ts";
import { type PreparedMerge, usesOf } from "../runtime/plans/prepare_merge.ts";
import type { MergePlan } from "../runtime/plans/plan.ts";
import { applyReceipt } from "../runtime/receipts/apply_receipt.ts";
import { openReceipt } from "../runtime/receipts/receipt.ts";
import { refuseWithReceipt } from "./flags.ts";
import { placesFor, resolveInput } from "./inputs.ts";
import { resolvePath } from "./paths.ts";
import type { CommandContext } from "./run_command.ts";
import { formatCount } from "./units.ts";
import { documentOf, printWritten, type WriteFlags, writeModel } from "./write_model.ts";

/** Flags of `unmerge`. */
export interface UnmergeFlags extends WriteFlags {
  readonly receipt?: string | undefined;
  readonly original?: string | undefined;
}

/** Undoes a merge, or with `--dry-run` says what would be done. */
export async function unmerge(flags: UnmergeFlags, context: CommandContext): Promise<void> {
  const { console, json } = context;
  if (flags.receipt !== undefined) refuseWithReceipt(flags);
  const places = placesFor({
    ...{ "--base": flags.base, "--adapter": flags.adapter, "--original": flags.original },
  }, context);
  const inputs = (["receipt", "original"] as const).flatMap((flag) => {
    const path = flags[flag];
    if (path === undefined) return [];
    const resolve = flag === "receipt" ? resolvePath : resolveInput;
    return [[resolve(path, `--${flag}`), `the ${flag}`] as const];
  });
  // Opened first: what it is compared with must be there.
  const original = flags.original === undefined ? null : await openModelAt(places, flags.original, "--original");

  let amplification = 1;
  const adjust = async (prepared: PreparedMerge): Promise<MergePlan> => {
    amplification = prepared.amplification;
    const warning = await otherMerge(prepared, places.openSource);
    if (warning !== null) console.warn(warning);
    if (flags.receipt === undefined) return prepared.plan;
    const receipt = await openReceipt(resolvePath(flags.receipt, "--receipt"), flags.receipt, openFileSource);
    return applyReceipt(prepared.plan, receipt, usesOf(prepared.adapters));
  };
  const written = await writeModel(flags, {
    ...{ places, undo: true, exact: flags.receipt !== undefined, inputs, adjust },
  }, context);
  if (written === null) return;
  if (flags.receipt === undefined) {
    console.note(`${nearness(amplification)}; a receipt (merge --receipt) gives it back to the bit`);
  }
  const difference = original === null ? null : await compare(original, flags.output, places, context);
  if (json) {
    return console.result(JSON.stringify({
      ...{ ...documentOf(written, flags), exact: flags.receipt !== undefined },
      ...difference === null ? {} : { original: difference },
    }));
  }
  printWritten(written, "unmerged", flags, context);
  if (flags.receipt !== undefined) console.result("equal to the base to the bit: every weight file has its digest");
  if (difference === null) return;
  const { elements, different, other_tensors } = difference;
  const share = elements === 0 ? "" : ` (${(100 * different / elements).toFixed(2)} %)`;
  console.result(
    `${formatCount(different)} of ${formatCount(elements)} elements${share} differ from ${flags.original}`,
  );
  if (other_tensors > 0) {
    console.result(`${formatCount(other_tensors)} tensors are not in both, or of another dtype or shape`);
  }
}

/** Below this the roundings are all there is to say. */
const SLIGHT_AMPLIFICATION = 2;

/** How near the base the result is. */
function nearness(amplification: number): string {
  if (amplification <= SLIGHT_AMPLIFICATION) {
    return "the result equals the base up to the roundings of merge and unmerge";
  }
  return "the result equals the base up to the roundings of merge and unmerge, which undoing this merge enlarges up to " +
    `${amplification.toPrecision(3)} times`;
}

type OpenedModel = Awaited<ReturnType<typeof openModel>>;

async function openModelAt(places: Places, path: string, flag: string): Promise<OpenedModel> {
  return await openModel(await places.open(resolveInput(path, flag), path), places.openSource);
}

/** How many elements of the written model are not the original's. */
async function compare(
  original: OpenedModel,
  output: string,
  places: Places,
  { signal }: CommandContext,
): Promise<{ elements: number; different: number; other_tensors: number }> {
  const counts = { elements: 0, different: 0, other_tensors: 0 };
  const path = original.singleFile ? `${output}/${original.checkpoints[0]!.files[0]!.path}` : output;
  const written = await openModelAt(places, path, "--output");
  const { openSource } = places;
  for await (const { kind, a, difference } of diffModels(original, written, { openSource, signal })) {
    if (kind !== "equal" && kind !== "changed") counts.other_tensors++;
    else {
      counts.elements += a!.shape.reduce((product, size) => product * size, 1);
      counts.different += difference?.changedCount ?? 0;
    }
  }
  return counts;
}

/** What to say where the model's own manifest tells of another merge than the one that is undone. */
async function otherMerge({ model, plan }: PreparedMerge, openSource: OpenSource): Promise<string | null> {
  const entry = (await model.folder.list()).find(({ path }) => path === MANIFEST_FILE);
  if (entry === undefined) return null;
  const file = `${model.name}/${MANIFEST_FILE}`;
  const fields = Fields.ofDocument(
    parseJson(await readSmall(model.folder, entry, openSource), "bad_config", file),
    "bad_config",
    file,
  );
  if (fields.optional("operation", STRING) === "unmerge") return `${file}: the model was unmerged already`;
  const merged = fields.required("adapters", listOf(OBJECT)).map((object) => {
    const adapter = new Fields(object, "bad_config", file);
    return `${adapter.required("digest", STRING)} at ${adapter.optional("strength", NUMBER)}`;
  });
  const undone = plan.adapters.map(({ digest, facts }) => `${digest} at ${facts.strength}`);
  if (undone.every((adapter, index) => adapter === merged.at(-1 - index))) return null;
  return `${file}: merged were ${merged.join(", then ")}; undone are ${undone.join(", then ")}`;
}
