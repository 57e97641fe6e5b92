/** How PEFT names and matches modules. */

/** What precedes every module in an adapter's tensor names. */
export const PEFT_PREFIX = "base_model.model.";

/** True where `key` is the whole path or a dotted suffix of it: how list targets match. */
export function matchesModule(key: string, modulePath: string): boolean {
  return modulePath === key || modulePath.endsWith(`.${key}`);
}
