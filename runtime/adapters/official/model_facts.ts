/** What must be known of a model to place an official checkpoint's parameters in it. */
import { type HeadCounts, headsOfCheckpoint, headsText } from "../../checkpoints/heads.ts";
import type { Model } from "../../checkpoints/model.ts";
import { EtherError } from "../../error.ts";
import { FAMILIES, type Family, familyOfConfig, familyOfModel } from "./families.ts";
import type { LitConfig } from "./lit_config.ts";

/** A `lit_config.json` with the name that messages give it. */
export interface NamedLitConfig {
  readonly config: LitConfig;
  readonly file: string;
}

/**
 * The family: by the base's tensors where there is a base, else by lit_config.json.
 *
 * @throws {EtherError} `not_found` where there is neither, `bad_config` where neither decides
 */
export function decideFamily(lit: NamedLitConfig | null, base: Model | null, file: string): Family {
  const found = (base === null ? null : familyOfModel(base)) ?? (lit === null ? null : familyOfConfig(lit.config));
  if (found !== null) return found;
  const known = Object.values(FAMILIES).map(({ name }) => name).join(", ");
  if (lit !== null) {
    const { mlpClass, name } = lit.config;
    const message = `cannot tell the family of model ${JSON.stringify(name)} with _mlp_class ${mlpClass ?? "absent"}`;
    const hint = base === null ? "name the base, whose tensors tell it, with --base" : `known: ${known}`;
    throw new EtherError("bad_config", message, { file: lit.file, field: "_mlp_class", hint });
  }
  if (base !== null) {
    const message = `the tensors of ${base.name} are not named as those of ${known}, and there is no lit_config.json`;
    throw new EtherError("not_found", message, { file, hint: "name it with --config" });
  }
  throw new EtherError("not_found", "no lit_config.json beside it or one folder up", {
    file,
    hint: "name it with --config; training's checkpoint folder has it. A link out of the folder is not followed",
  });
}

/**
 * How a fused matrix is cut, by lit_config.json or by the base's config.json; where there are both they must agree, as
 * other heads cut the same rows without a word.
 *
 * @throws {EtherError} `bad_config`
 */
export function headCounts(lit: NamedLitConfig | null, base: Model | null, file: string): HeadCounts {
  const fromBase = base === null ? null : headsOfCheckpoint(base, base.checkpoints[0]!);
  if (lit === null) {
    if (fromBase !== null) return fromBase;
    const message = "q, k and v are one matrix, and nothing says how many heads it has";
    throw new EtherError("bad_config", message, { file, field: "n_head", hint: "name lit_config.json with --config" });
  }
  const { heads, embedding } = lit.config;
  const place = { file: lit.file, field: "n_head" };
  if (heads.numHeads * heads.headSize !== embedding) {
    const message = `${heads.numHeads} heads of ${heads.headSize} are not n_embd = ${embedding}`;
    const hint = "the authors' code cannot train q, k and v of such a model";
    throw new EtherError("bad_config", message, { ...place, hint });
  }
  if (fromBase !== null && headsText(fromBase) !== headsText(heads)) {
    const message = `says ${headsText(heads)}, the config.json of ${base!.name} ${headsText(fromBase)}`;
    throw new EtherError("bad_config", message, { ...place, hint: "is this the base that it was trained on?" });
  }
  return heads;
}

/** Rows and columns of a module's matrix in a base, if it has exactly one. */
export function matrixOf(base: Model, path: string): { readonly input: number; readonly output: number } | null {
  const name = `${path}.weight`;
  const other = name.startsWith("model.") ? name.slice("model.".length) : `model.${name}`;
  const found = base.tensors.get(name) ?? base.tensors.get(other);
  const shape = found?.length === 1 ? found[0]!.info.shape : [];
  return shape.length === 2 ? { output: shape[0]!, input: shape[1]! } : null;
}
