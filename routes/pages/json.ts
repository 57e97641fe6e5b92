/** Reading a JSON document of which nothing is taken for granted: what is not there is empty. */

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** The value if it is an object, else an empty one. */
export function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Json : {};
}

/** The value if it is a list, else an empty one. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The value if it is text, else none. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
