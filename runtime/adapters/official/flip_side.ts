/** `flip_side`: whether `mlp.proj` was trained on its output side. The file has no word for it; its shape may tell. */
import { EtherError } from "../../error.ts";
import { quote } from "../../json/quote.ts";
import { parseTrainingName } from "./folder_name.ts";
import type { LitModule, OfficialModules } from "./parameters.ts";

/** What decides. */
export interface FlipEvidence {
  /** In and out dimension of a module's matrix, or null where nothing says them. */
  dimensions(module: LitModule): { readonly input: number; readonly output: number } | null;
  /** Name of the folder that the checkpoint is in. */
  readonly folderName: string | undefined;
  /** The checkpoint, for messages. */
  readonly file: string;
}

/** How it was decided. */
export interface FlipSide {
  readonly flipped: boolean;
  /** The folder's name decided, so that it belongs to the adapter as its bytes do. */
  readonly byName: boolean;
}

/**
 * Decides by the length of the vectors, and where in = out by the folder's name.
 *
 * @throws {EtherError} `bad_blocks` where the vectors fit neither side, `bad_config` where nothing decides
 */
export function decideFlipSide({ type, numBlocks, modules }: OfficialModules, evidence: FlipEvidence): FlipSide {
  // The authors' code ignores it for both sides at once, and reaches nothing but the down projection.
  const projections = type === "etherplusHH"
    ? []
    : modules.filter(({ kind }) => kind === "mlp.proj" || kind === "mlp.experts.proj");
  const votes = new Set<boolean>();
  let undecided: LitModule | null = null;
  for (const module of projections) {
    const dimensions = evidence.dimensions(module);
    const length = numBlocks * module.parameters[0]!.shape[1]!;
    if (dimensions === null) {
      undecided ??= module;
      continue;
    }
    const { input, output } = dimensions;
    if (length !== input && length !== output) {
      const message =
        `${numBlocks} blocks of ${module.parameters[0]!.shape[1]} tile neither the input side's ${input} ` +
        `nor the output side's ${output}`;
      const hint = "is this the lit_config.json, or the base, that it was trained with?";
      throw new EtherError("bad_blocks", message, { file: evidence.file, tensor: module.key, hint });
    }
    if (input === output) undecided ??= module;
    else votes.add(length === output);
  }
  if (votes.size === 2) {
    const message = "some layers' mlp.proj have the input side's length, others the output side's";
    throw new EtherError("bad_blocks", message, { file: evidence.file, tensor: projections[0]!.key });
  }
  // One flag holds for all layers.
  const [vote] = votes;
  if (vote !== undefined) return { flipped: vote, byName: false };
  return undecided === null ? { flipped: false, byName: false } : decideByName(type, numBlocks, undecided, evidence);
}

function decideByName(
  type: string,
  numBlocks: number,
  module: LitModule,
  { dimensions, folderName, file }: FlipEvidence,
): FlipSide {
  const name = folderName === undefined ? null : parseTrainingName(folderName);
  if (name !== null && name.type === type && name.numBlocks === numBlocks) {
    return { flipped: name.flipSide, byName: true };
  }
  const size = dimensions(module)?.input;
  const why = size === undefined ? "nothing says its dimensions" : `both have ${size}`;
  let folder = `the folder's name ${quote(folderName ?? "")} is not one that training gives`;
  if (name !== null) folder = `the folder's name tells of ${name.type} with ${name.numBlocks} blocks`;
  throw new EtherError("bad_config", `mlp.proj acts on its input or on its output side: ${why}, and ${folder}`, {
    ...{ file, tensor: module.key, field: "flip_side" },
    hint: "put it into a folder with the name that training gave it, which ends in _FS where the side was flipped",
  });
}
