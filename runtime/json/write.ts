import { JsonNumber, type JsonValue } from "./value.ts";

/**
 * Writes a value with its keys in order and its numbers as they were written; laid out as `JSON.stringify` and Python's
 * `json.dumps(indent=…)` do. No newline at the end.
 *
 * @param indent  spaces per level; 0 writes one line without spaces
 */
export function writeJson(value: JsonValue, indent: number): string {
  const newline = indent > 0 ? "\n" : "";
  const colon = indent > 0 ? ": " : ":";

  function write(value: JsonValue, depth: number): string {
    if (value instanceof JsonNumber) return value.text;
    if (Array.isArray(value)) return block("[", value.map((item) => write(item, depth + 1)), "]", depth);
    if (value instanceof Map) {
      const members = [...value].map(([key, member]) => `${JSON.stringify(key)}${colon}${write(member, depth + 1)}`);
      return block("{", members, "}", depth);
    }
    return JSON.stringify(value);
  }

  function block(opening: string, members: string[], closing: string, depth: number): string {
    if (members.length === 0) return opening + closing;
    const outer = newline + " ".repeat(indent * depth);
    const inner = newline + " ".repeat(indent * (depth + 1));
    return opening + inner + members.join(`,${inner}`) + outer + closing;
  }

  return write(value, 0);
}
