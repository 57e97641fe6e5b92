/** Which tensor of the base an adapter's module means. */
import type { Model, ModelTensor } from "../checkpoints/model.ts";
import { headState, isHead, untiedHead } from "../checkpoints/tied.ts";
import { EtherError } from "../error.ts";
import { quote } from "../json/quote.ts";
import { nearestName } from "./nearest_name.ts";

/** Where an adapter names a module, for messages. */
export interface NamedBy {
  readonly file: string;
  /** An adapter tensor of the module. */
  readonly tensor: string;
}

/** A base as an adapter's modules see it. */
export class Targets {
  readonly model: Model;
  /** The head that a tied model is to get, or null. */
  readonly untied: ModelTensor | null;
  readonly #tied: boolean;

  /** @param untie  give a tied head a weight of its own. @throws {EtherError} `unsupported`, see `untiedHead` */
  constructor(model: Model, untie: boolean) {
    const state = headState(model);
    this.model = model;
    this.#tied = state.tied;
    this.untied = untie && state.tied ? untiedHead(model, state) : null;
  }

  /**
   * Finds `<module>.weight`: by its exact name, else the one match with or without a leading `model.`.
   *
   * @throws {EtherError} `tied_head`; `unknown_target` if no tensor or more than one is meant, with the nearest name
   */
  find(modulePath: string, by: NamedBy): ModelTensor {
    if (isHead(modulePath) && this.#tied && this.untied === null) {
      const hint = "--untie gives the head a weight of its own";
      throw new EtherError("tied_head", `${modulePath} shares its weight with the input embedding`, { ...by, hint });
    }
    const name = `${modulePath}.weight`;
    const other = name.startsWith("model.") ? name.slice("model.".length) : `model.${name}`;
    for (const candidate of [name, other]) {
      if (candidate === this.untied?.info.name) return this.untied;
      const found = this.model.tensors.get(candidate);
      if (found === undefined) continue;
      if (found.length === 1) return found[0]!;
      const files = found.map((tensor) => tensor.file.path).join(" and ");
      const hint = "name one of the base's folders as the base";
      throw new EtherError("unknown_target", `${candidate} is in ${files} of ${this.model.name}`, { ...by, hint });
    }
    const nearest = nearestName(name, this.model.tensors.keys());
    const hint = nearest === null ? "is this the right base?" : `the nearest name is ${quote(nearest)}`;
    throw new EtherError("unknown_target", `${this.model.name} has no tensor ${quote(name)}`, { ...by, hint });
  }
}
