/**
 * An official checkpoint as an adapter: the config that it would have, and its tensors under the project's names, still
 * in the `.pth` file.
 *
 * Which side a parameter acts on depends on the module that it belongs to, and no flag records it: that knowledge is
 * here, and ends here, as the project's names have the side in them.
 */
import type { HeadCounts } from "../../checkpoints/heads.ts";
import { type Model, type Place, readSmall } from "../../checkpoints/model.ts";
import { EtherError } from "../../error.ts";
import { type StartDigest, toHex } from "../../io/digest.ts";
import { digestOf, digestSource } from "../../io/digest_source.ts";
import type { FolderEntry, OpenSource } from "../../io/folder.ts";
import { JsonNumber, type JsonObject, type JsonValue } from "../../json/value.ts";
import type { SafetensorsHeader } from "../../safetensors/header.ts";
import type { TensorInfo } from "../../safetensors/tensor_info.ts";
import { readStateDict } from "../../torch/state_dict.ts";
import type { Adapter } from "../adapter.ts";
import { PEFT_PREFIX } from "../peft_names.ts";
import { type Family, modulePath } from "./families.ts";
import { findLitConfig, folderNameOf } from "./find.ts";
import { decideFlipSide } from "./flip_side.ts";
import { parseLitConfig } from "./lit_config.ts";
import { decideFamily, headCounts, matrixOf, type NamedLitConfig } from "./model_facts.ts";
import { type LitModule, type OfficialModules, type OfficialType, readOfficialModules } from "./parameters.ts";

/** What else is known when a checkpoint is opened. */
export interface OpenOfficialOptions {
  /** Its `lit_config.json`; null: the one beside it or one folder up, if there is one. */
  readonly litConfig: Place | null;
  /** The model that it is for, if it is known. */
  readonly base: Model | null;
}

type Side = "in" | "out";

/** Variant and prefix of the parameters' names of a type. */
const VARIANTS: Readonly<Record<OfficialType, { readonly variant: string; readonly names: readonly string[] }>> = {
  ether: { variant: "ether", names: ["u"] },
  etherplus: { variant: "etherplus", names: ["u", "v"] },
  etherplusHH: { variant: "etherplus", names: ["u", "v", "u", "v"] },
  oft: { variant: "oft", names: ["R"] },
};

/** The letters of training's flags, in the order in which they stand in a folder's name. */
const TARGET_LETTERS: readonly (readonly [string, (module: LitModule) => boolean])[] = [
  ["q", ({ part }) => part === "q"],
  ["k", ({ part }) => part === "k"],
  ["v", ({ part }) => part === "v"],
  ["p", ({ kind }) => kind === "attn.proj"],
  ["m", ({ kind }) => kind.startsWith("mlp.")],
  ["h", ({ kind }) => kind === "lm_head"],
];

/**
 * Opens the checkpoint at `path` of a place.
 *
 * @throws {EtherError} `bad_pickle`, `bad_config`, `not_found`, `missing_param`, `unused_tensor`, `bad_shape`,
 * `bad_blocks`, `unknown_target`, `io_error`
 */
export async function openOfficial(
  place: Place,
  path: string,
  entries: readonly FolderEntry[],
  openSource: OpenSource,
  startDigest: StartDigest,
  { litConfig, base }: OpenOfficialOptions,
): Promise<Adapter> {
  const file = `${place.folder.name}/${path}`;
  const litFile = await findLitConfig(place, path, entries, litConfig);
  if (litConfig !== null && litFile === null) {
    throw new EtherError("not_found", "no lit_config.json", { file: litConfig.folder.name, field: "--config" });
  }
  const litBytes = litFile === null ? null : await readSmall(litFile.folder, litFile.entry, openSource);
  const litName = litFile === null ? "" : `${litFile.folder.name}/${litFile.entry.path}`;
  const lit = litBytes === null ? null : { config: parseLitConfig(litBytes, litName), file: litName };

  const locator = place.folder.locate(path);
  const source = await openSource(locator);
  try {
    const official = readOfficialModules((await readStateDict(source)).values(), source.name);
    const family = decideFamily(lit, base, file);
    checkFamily(official, family, lit, source.name);
    const folderName = folderNameOf(place, path);
    const flip = decideFlipSide(official, {
      ...{ folderName, file: source.name },
      dimensions: (module) => dimensionsOf(module, family, lit, base),
    });
    const heads = family.fused && official.modules.some(({ kind }) => kind === "attn.attn")
      ? headCounts(lit, base, source.name)
      : null;
    const tensors = official.modules.flatMap((module) => tensorsOf(module, official.type, family, flip.flipped));
    const digest = startDigest();
    digest.update(await digestOf(startDigest, (inner) => digestSource(source, inner)));
    if (litBytes !== null) digest.update(await digestOf(startDigest, (inner) => inner.update(litBytes)));
    if (flip.byName) {
      const bytes = new TextEncoder().encode(folderName);
      digest.update(await digestOf(startDigest, (inner) => inner.update(bytes)));
    }
    return {
      ...{ name: place.folder.name, peftType: "ETHER", configName: source.name, fileName: source.name, locator },
      config: configOf(official, family, heads, flip.flipped, tensors, lit),
      header: headerOf(tensors),
      digest: toHex(digest.finish()),
    };
  } finally {
    source.close();
  }
}

/** A module that the family does not have was trained on another. */
function checkFamily({ modules }: OfficialModules, family: Family, lit: NamedLitConfig | null, file: string): void {
  const stranger = modules.find(({ kind }) => family.modules[kind] === undefined);
  if (stranger === undefined) return;
  const message = `a ${family.name} model has no ${stranger.kind}`;
  const hint = lit === null ? "is this the right base?" : `is ${lit.file} of the model that it was trained on?`;
  throw new EtherError("unknown_target", message, { file, tensor: stranger.key, hint });
}

function pathOf({ kind, layer, expert, part }: LitModule, family: Family): string {
  return modulePath(family.modules[kind]!, layer, expert, part);
}

function dimensionsOf(
  module: LitModule,
  family: Family,
  lit: NamedLitConfig | null,
  base: Model | null,
): { readonly input: number; readonly output: number } | null {
  // The lit_config is part of the adapter's digest: what it says is said for every base.
  if (lit !== null) return { input: lit.config.intermediate, output: lit.config.embedding };
  return base === null ? null : matrixOf(base, pathOf(module, family));
}

/**
 * The side of each parameter. The fused attention acts on its output side first (R, R2), and on its input side with R3
 * and R4; every other module the other way round; a flipped one on its output side alone.
 */
function sideOf({ kind }: LitModule, index: number, flipped: boolean): Side {
  const isFlipped = flipped && (kind === "mlp.proj" || kind === "mlp.experts.proj");
  return (kind === "attn.attn" || isFlipped) === (index < 2) ? "out" : "in";
}

function tensorsOf(module: LitModule, type: OfficialType, family: Family, flipped: boolean): TensorInfo[] {
  const path = pathOf(module, family);
  const part = family.fused && module.part !== "" ? `.${module.part}` : "";
  const { names } = VARIANTS[module.kind === "mlp.gate" ? "ether" : type];
  return module.parameters.map(({ dtype, shape, strides, offset, byteLength }, index) => {
    const name = `${PEFT_PREFIX}${path}${part}.ether_${names[index]}_${sideOf(module, index, flipped)}`;
    return { name, dtype, shape, ...strides === null ? {} : { strides }, offset, byteLength };
  });
}

/** In the order of their bytes, as a safetensors header has them; two views may lie over each other here. */
function headerOf(tensors: readonly TensorInfo[]): SafetensorsHeader {
  const sorted = tensors.toSorted((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  return { headerLength: 0, tensors: sorted, byName: new Map(sorted.map((info) => [info.name, info])), metadata: null };
}

/** The config that the adapter has in the project's format, its keys in order. */
function configOf(
  { type, numBlocks, modules }: OfficialModules,
  family: Family,
  heads: HeadCounts | null,
  flipped: boolean,
  tensors: readonly TensorInfo[],
  lit: NamedLitConfig | null,
): JsonObject {
  const integer = (value: number) => JsonNumber.ofInteger(value);
  const headFields = ({ numHeads, numQueryGroups, headSize }: HeadCounts): [string, JsonValue][] => [
    ["head_size", integer(headSize)],
    ["n_head", integer(numHeads)],
    ["n_query_groups", integer(numQueryGroups)],
  ];
  const letters = TARGET_LETTERS.filter(([, isMeant]) => modules.some(isMeant)).map(([letter]) => letter).join("");
  const note: [string, JsonValue][] = [
    ["Htype", type],
    ["flip_side", flipped],
    ...lit === null ? [] : headFields(lit.config.heads),
    ...lit?.config.mlpClass == null ? [] : [["mlp_class", lit.config.mlpClass] as [string, JsonValue]],
    ["nb", integer(numBlocks)],
    ["targets", letters],
  ];
  const lastParts = new Set(modules.map((module) => pathOf(module, family).split(".").at(-1)!));
  const sides = (["in", "out"] as const).filter((side) => tensors.some(({ name }) => name.endsWith(`_${side}`)));
  const fields: [string, JsonValue][] = [
    ["base_model_name_or_path", lit?.config.hubName ?? null],
    ["bias", "none"],
    ["inference_mode", true],
    ["layout", "reference"],
    ["litgpt", new Map(note.sort(([a], [b]) => a < b ? -1 : 1))],
    ["num_blocks", integer(numBlocks)],
    ["peft_type", "ETHER"],
    ["per_tensor_sides", type !== "etherplusHH"],
    ["sides", [...sides]],
    ["strength", new JsonNumber("1.0")],
    ["target_modules", [...lastParts].sort()],
    ["task_type", "CAUSAL_LM"],
    ["variant", VARIANTS[type].variant],
  ];
  if (heads !== null) {
    const fused = family.modules["attn.attn"]!.split(".").at(-1)!;
    fields.push(["fused_qkv", new Map([[fused, new Map(headFields(heads))]])]);
  }
  if (VARIANTS[type].variant !== "ether" && modules.some(({ kind }) => kind === "mlp.gate")) {
    fields.push(["variant_overrides", new Map([["block_sparse_moe.gate", "ether"]])]);
  }
  return new Map(fields.sort(([a], [b]) => a < b ? -1 : 1));
}
