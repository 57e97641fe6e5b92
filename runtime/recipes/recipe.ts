/**
 * A recipe names adapters and strengths in order of application, in one word that fits a revision, a path and a file
 * name: `poet`, `poet@0.5`, `poet+brief@-1.25`.
 *
 *     recipe  = part *("+" part)
 *     part    = name ["@" decimal]
 *     name    = [A-Za-z0-9][A-Za-z0-9._-]{0,63}, never `main`, `HEAD` or 40 hex
 *     decimal = -?[0-9]{1,2}(.[0-9]{1,4})?
 */
import { EtherError } from "../error.ts";
import { quote } from "../json/quote.ts";

/** One adapter of a recipe. */
export interface RecipePart {
  /** The adapter's id. */
  readonly name: string;
  /** 10⁴ × strength: an integer, −999,999 to 999,999. */
  readonly tenThousandths: number;
}

/** In order of application; empty for the base (`main`, `HEAD`). */
export type Recipe = readonly RecipePart[];

/** Revisions that mean the base. */
const BASE_REVISIONS = ["main", "HEAD"];

/** A chain of more adapters is a mistake; each one costs checks, and each sum another reading of the base. */
const MAX_PARTS = 16;

/** The unit of strengths. */
const ONE = 10_000;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const COMMIT = /^[0-9a-f]{40}$/;
const DECIMAL = /^(-?)([0-9]{1,2})(?:\.([0-9]{1,4}))?$/;

/** True for a name that an adapter may have. */
export function isAdapterId(text: string): boolean {
  return NAME.test(text) && !BASE_REVISIONS.includes(text) && !/^[0-9a-fA-F]{40}$/.test(text);
}

/** True for a revision that is a commit: 40 lower-case hex. */
export function isCommit(text: string): boolean {
  return COMMIT.test(text);
}

/**
 * Reads a recipe.
 *
 * @returns its parts, `poet`, `poet@1` and `poet@1.0` being the same one; none for `main` and `HEAD`
 * @throws {EtherError} `bad_recipe`
 */
export function parseRecipe(text: string): Recipe {
  if (BASE_REVISIONS.includes(text)) return [];
  const parts = text.split("+");
  checkLength(parts);
  return parts.map((part) => {
    const at = part.indexOf("@");
    const name = at === -1 ? part : part.slice(0, at);
    if (!isAdapterId(name)) {
      throw bad(`${quote(name)} is no adapter's name`, "letters, digits, '.', '_' and '-', at most 64");
    }
    return { name, tenThousandths: at === -1 ? ONE : parseStrength(part.slice(at + 1)) };
  });
}

/** @throws {EtherError} `bad_recipe` for more parts than a recipe may have */
export function checkLength({ length }: { readonly length: number }): void {
  if (length > MAX_PARTS) throw bad(`${length} adapters in one recipe are more than ${MAX_PARTS}`);
}

/**
 * Reads a strength as recipes have it.
 *
 * @returns 10⁴ × the strength
 * @throws {EtherError} `bad_recipe`
 */
export function parseStrength(text: string): number {
  const match = DECIMAL.exec(text);
  if (match === null) {
    const hint = "a decimal number with at most two digits before the point and four after it, such as 0.5 or -1.25";
    throw bad(`${quote(text)} is no strength`, hint);
  }
  const [, sign, whole, fraction = ""] = match;
  const value = Number(whole) * ONE + Number(fraction.padEnd(4, "0"));
  return sign === "-" && value !== 0 ? -value : value;
}

/** The one form of a recipe: a strength of 1 is left out, others have no zeros at their end; `main` for the base. */
export function formatRecipe(recipe: Recipe): string {
  if (recipe.length === 0) return "main";
  return recipe.map(({ name, tenThousandths }) => {
    return tenThousandths === ONE ? name : `${name}@${formatStrength(tenThousandths)}`;
  }).join("+");
}

/** The strength as a number: the double that is nearest to the decimal, as any reader of that decimal gets it. */
export function strengthOf({ tenThousandths }: Pick<RecipePart, "tenThousandths">): number {
  return tenThousandths / ONE;
}

function formatStrength(tenThousandths: number): string {
  const size = Math.abs(tenThousandths);
  const fraction = String(size % ONE).padStart(4, "0").replace(/0+$/, "");
  const whole = Math.floor(size / ONE);
  return `${tenThousandths < 0 ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}

function bad(message: string, hint = "name[@strength], joined by +, such as poet@0.5+brief"): EtherError {
  return new EtherError("bad_recipe", message, { hint });
}
