/** The fields of an ETHER adapter's `adapter_config.json`. */
import type { Adapter } from "../../adapters/adapter.ts";
import { EtherError } from "../../error.ts";
import {
  BOOLEAN,
  describe,
  Fields,
  NUMBER,
  OBJECT,
  oneOf,
  POSITIVE_INTEGER,
  STRING,
  STRING_LIST,
} from "../../json/fields.ts";
import { listOf } from "../../json/fields.ts";

/** `ether`: I − 2ûûᵀ. `etherplus`: I − ûûᵀ + v̂v̂ᵀ. `oft`: a dense orthogonal block. */
export type Variant = "ether" | "etherplus" | "oft";
/** Of W `[out, in]`: `in` is W·H, `out` is H̃·W. */
export type Side = "in" | "out";
/** Which block acts where on the in side; the two differ silently. */
export type Layout = "paper" | "reference";

/** How q, k and v rows lie in a fused matrix. */
export interface FusedQkv {
  readonly numHeads: number;
  readonly numQueryGroups: number;
  readonly headSize: number;
  /** `grouped`: per query group its q heads, then k, then v. `concat`: all q, all k, all v. */
  readonly order: "grouped" | "concat";
}

/** A checked config. */
export interface EtherConfig {
  readonly variant: Variant;
  readonly sides: readonly Side[];
  readonly perTensorSides: boolean;
  readonly numBlocks: number;
  /** null where it makes no difference. */
  readonly layout: Layout | null;
  readonly strength: number;
  readonly fanInFanOut: boolean;
  /** PEFT's list, or its pattern, or null. */
  readonly targetModules: readonly string[] | string | null;
  readonly variantOverrides: ReadonlyMap<string, Variant>;
  readonly fusedQkv: ReadonlyMap<string, FusedQkv>;
  readonly fingerprint: { readonly structure: string; readonly targets: ReadonlyMap<string, string> } | null;
  readonly warnings: readonly string[];
}

const VARIANT = oneOf<Variant>("ether", "etherplus", "oft");

/** Fields that mean something here, or nothing to a merge: PEFT writes these for every method. */
const KNOWN = new Set([
  ...["peft_type", "variant", "sides", "per_tensor_sides", "num_blocks", "layout", "strength", "fan_in_fan_out"],
  ...["target_modules", "base_model_name_or_path", "task_type", "bias", "base_fingerprint", "variant_overrides"],
  ...["fused_qkv", "litgpt", "inference_mode", "auto_mapping", "peft_version", "revision", "runtime_config"],
  ...["exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save", "init_weights", "module_dropout"],
]);

/** @throws {EtherError} `bad_config`, `layout_required`, `unsupported_feature` */
export function readEtherConfig({ config, configName: file, header }: Adapter): EtherConfig {
  const fields = new Fields(config, "bad_config", file);
  const variant = fields.required("variant", VARIANT);
  const sides = readSides(fields);
  const numBlocks = fields.required("num_blocks", POSITIVE_INTEGER);
  const bias = fields.nullable("bias", STRING) ?? "none";
  if (bias !== "none") {
    const hint = "a bias is never transformed; train with bias: none";
    throw new EtherError("unsupported_feature", `bias is ${describe(bias)}`, { file, field: "bias", hint });
  }
  const unknown = [...fields.object.keys()].filter((name) => !KNOWN.has(name));
  return {
    variant,
    sides,
    perTensorSides: fields.nullable("per_tensor_sides", BOOLEAN) ?? false,
    numBlocks,
    layout: readLayout(fields, file, sides, numBlocks),
    strength: fields.nullable("strength", NUMBER) ?? 1,
    fanInFanOut: fields.nullable("fan_in_fan_out", BOOLEAN) ?? false,
    targetModules: readTargetModules(fields),
    variantOverrides: readMap(fields, "variant_overrides", (overrides, key) => overrides.required(key, VARIANT)),
    fusedQkv: readMap(fields, "fused_qkv", (parts, key) => readFusedQkv(parts.within(key))),
    fingerprint: readFingerprint(fields),
    warnings: [
      ...unknown.length === 0
        ? []
        : [`${file}: ignored ${unknown.length === 1 ? "field" : "fields"} ${unknown.join(", ")}`],
      ...unsavedModules(fields, header).map((module) => {
        return `${file}: modules_to_save names ${module}, but the adapter has no tensor of it: the base's stays`;
      }),
    ],
  };
}

/** Modules that training says it saved whole, and that are not there. */
function unsavedModules(fields: Fields, { tensors }: Adapter["header"]): string[] {
  const modules = fields.nullable("modules_to_save", STRING_LIST) ?? [];
  return modules.filter((module) => !tensors.some(({ name }) => `.${name}.`.includes(`.${module}.`)));
}

function readSides(fields: Fields): Side[] {
  const sides = fields.required("sides", listOf(oneOf<Side>("in", "out")));
  if (sides.length === 0 || new Set(sides).size !== sides.length) {
    fields.fail("sides", `sides is ${describe([...sides])}, not one or both of "in" and "out"`);
  }
  return sides;
}

function readLayout(fields: Fields, file: string, sides: readonly Side[], numBlocks: number): Layout | null {
  const layout = fields.nullable("layout", oneOf<Layout>("paper", "reference")) ?? null;
  if (layout === null && sides.includes("in") && numBlocks > 1) {
    throw new EtherError("layout_required", `the input side has ${numBlocks} blocks but no "layout"`, {
      file,
      field: "layout",
      hint: 'official checkpoints are "reference"; the two differ silently',
    });
  }
  return layout;
}

function readTargetModules(fields: Fields): string[] | string | null {
  if (typeof fields.object.get("target_modules") === "string") return fields.required("target_modules", STRING);
  return fields.nullable("target_modules", STRING_LIST) ?? null;
}

function readMap<T>(fields: Fields, name: string, read: (object: Fields, key: string) => T): Map<string, T> {
  const object = fields.nullable(name, OBJECT);
  if (object === undefined) return new Map();
  const within = fields.within(name);
  return new Map([...object.keys()].map((key) => [key, read(within, key)]));
}

function readFusedQkv(fields: Fields): FusedQkv {
  const numHeads = fields.required("n_head", POSITIVE_INTEGER);
  const numQueryGroups = fields.required("n_query_groups", POSITIVE_INTEGER);
  if (numHeads % numQueryGroups !== 0) {
    fields.fail("n_query_groups", `n_query_groups ${numQueryGroups} does not divide n_head ${numHeads}`);
  }
  return {
    numHeads,
    numQueryGroups,
    headSize: fields.required("head_size", POSITIVE_INTEGER),
    order: fields.nullable("order", oneOf("grouped", "concat")) ?? "grouped",
  };
}

function readFingerprint(fields: Fields): EtherConfig["fingerprint"] {
  if (fields.nullable("base_fingerprint", OBJECT) === undefined) return null;
  const fingerprint = fields.within("base_fingerprint");
  const digest = (object: Fields, name: string) => {
    const hex = object.required(name, STRING);
    if (!/^[0-9a-fA-F]{64}$/.test(hex)) object.fail(name, `${object.pathOf(name)} is not a SHA-256 in hex`);
    return hex.toLowerCase();
  };
  return { structure: digest(fingerprint, "structure"), targets: readMap(fingerprint, "targets", digest) };
}
