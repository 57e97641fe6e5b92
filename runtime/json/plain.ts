import { JsonNumber, type JsonValue } from "./value.ts";

/**
 * The value as `JSON.parse` would give it, for printing: numbers become doubles. Objects have no prototype, so that
 * `__proto__` stays a name.
 */
export function toPlain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return value.value;
  if (Array.isArray(value)) return value.map(toPlain);
  if (!(value instanceof Map)) return value;
  const plain: Record<string, unknown> = Object.create(null);
  for (const [key, member] of value) plain[key] = toPlain(member);
  return plain;
}
