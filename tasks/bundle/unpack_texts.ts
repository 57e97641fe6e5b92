/** Texts that `pack_texts.ts` wrote into a bundle, as they were. */
import { inflateSync } from "fflate";

/**
 * The texts, in their order.
 *
 * @param packed  what `packTexts` makes of them
 */
export function unpackTexts(packed: string): string[] {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const [parts, ...texts]: [string[], ...number[][]] = JSON.parse(new TextDecoder().decode(inflateSync(bytes)));
  return texts.map((steps) => {
    let index = -1;
    return steps.map((step) => parts[index += step]).join("");
  });
}
