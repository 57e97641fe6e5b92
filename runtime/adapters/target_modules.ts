/** PEFT's `target_modules`, held against the modules that have tensors: the tensors decide, the field must not contradict. */
import { EtherError } from "../error.ts";
import { quote } from "../json/quote.ts";
import type { Adapter } from "./adapter.ts";
import { matchesModule } from "./peft_names.ts";

/**
 * Each entry of a list must mean a module that has tensors, and so must a pattern (PEFT: `re.fullmatch`). Patterns run
 * on a linear-time engine, which no hostile one can stall; where it does not know a construct, the pattern is not checked.
 *
 * @returns warnings. @throws {EtherError} `missing_param`
 */
export async function checkTargetModules(
  adapter: Adapter,
  targetModules: readonly string[] | string | null,
  modules: readonly { readonly path: string }[],
): Promise<string[]> {
  const matchers = new Map<string, (path: string) => boolean>();
  if (typeof targetModules === "string" && targetModules !== "all-linear") {
    const matches = await compilePattern(targetModules);
    if (matches === null) {
      return [`${adapter.configName}: target_modules ${quote(targetModules)} is a pattern that could not be checked`];
    }
    matchers.set(targetModules, matches);
  }
  if (Array.isArray(targetModules)) {
    for (const key of targetModules) matchers.set(key, (path) => matchesModule(key, path));
  }
  for (const [key, matches] of matchers) {
    if (modules.some(({ path }) => matches(path))) continue;
    throw new EtherError("missing_param", `target_modules names ${quote(key)}, but no tensor is of such a module`, {
      file: adapter.configName,
      field: "target_modules",
      hint: "the adapter file may be incomplete",
    });
  }
  return [];
}

/** The engine is loaded only for the few adapters that have a pattern. */
async function compilePattern(pattern: string): Promise<((path: string) => boolean) | null> {
  const { RE2JS } = await import("re2js");
  try {
    const compiled = RE2JS.compile(pattern);
    return (path) => compiled.matches(path);
  } catch {
    return null;
  }
}
