import { type ErrorCode, EtherError } from "../error.ts";
import { JsonCursor } from "./cursor.ts";
import { JsonNumber, type JsonObject, type JsonValue } from "./value.ts";

/**
 * The most values of a document that is built whole: a config or an index. An index has one per tensor; a hostile one
 * of three bytes per object would otherwise take a hundred times its size in memory.
 */
export const MAX_VALUES = 2_000_000;

/** The most bytes of such a document: a header's limit; past 512 MB a string has no room, and would fail as bad UTF-8. */
export const MAX_DOCUMENT_LENGTH = 100_000_000;

/**
 * Parses a whole JSON document, as strictly as {@link JsonCursor} does.
 *
 * @param code  what kind of file is wrong if this one is
 * @param file  the file as the user knows it
 * @throws {EtherError} `code`, with the reason and the byte
 */
export function parseJson(bytes: Uint8Array, code: ErrorCode, file: string): JsonValue {
  if (bytes.byteLength > MAX_DOCUMENT_LENGTH) {
    throw new EtherError(code, `the file has ${bytes.byteLength} bytes, above ${MAX_DOCUMENT_LENGTH}`, { file });
  }
  const cursor = new JsonCursor(bytes, code, file);
  let valueCount = 0;

  function readValue(): JsonValue {
    if (++valueCount > MAX_VALUES) cursor.fail(`more than ${MAX_VALUES} values`);
    switch (cursor.kind()) {
      case "object": {
        const object: JsonObject = new Map();
        cursor.enterObject();
        for (let key = cursor.nextKey(); key !== undefined; key = cursor.nextKey()) object.set(key, readValue());
        return object;
      }
      case "array": {
        const items: JsonValue[] = [];
        cursor.enterArray();
        while (cursor.nextItem()) items.push(readValue());
        return items;
      }
      case "string":
        return cursor.string();
      case "number":
        return new JsonNumber(cursor.number());
      case "boolean":
        return cursor.boolean();
      case "null":
        cursor.null();
        return null;
    }
  }

  const value = readValue();
  cursor.end();
  return value;
}
