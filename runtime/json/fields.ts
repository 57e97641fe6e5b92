import { type ErrorCode, EtherError } from "../error.ts";
import { clip, quote } from "./quote.ts";
import { JsonNumber, type JsonObject, type JsonValue } from "./value.ts";

/** What a field may hold. */
export interface FieldKind<T> {
  /** For the message, after "not": `a positive integer`. */
  readonly what: string;
  /** The value, or `undefined` if it is of another kind. */
  read(value: JsonValue): T | undefined;
}

export const STRING: FieldKind<string> = {
  what: "a string",
  read: (value) => typeof value === "string" ? value : undefined,
};

export const BOOLEAN: FieldKind<boolean> = {
  what: "true or false",
  read: (value) => typeof value === "boolean" ? value : undefined,
};

/** A double; JSON has no infinity, and the parser refuses what would round to one. */
export const NUMBER: FieldKind<number> = {
  what: "a number",
  read: (value) => value instanceof JsonNumber ? value.value : undefined,
};

/** Digits with at most a minus sign, exact in a double; `4.0` is a fraction that happens to be whole, and refused. */
export const INTEGER: FieldKind<number> = {
  what: "an integer",
  read(value) {
    const integer = value instanceof JsonNumber ? value.integer : undefined;
    return integer !== undefined && Number.isSafeInteger(Number(integer)) ? Number(integer) : undefined;
  },
};

export const POSITIVE_INTEGER: FieldKind<number> = {
  what: "a positive integer",
  read(value) {
    const integer = INTEGER.read(value);
    return integer !== undefined && integer > 0 ? integer : undefined;
  },
};

export const OBJECT: FieldKind<JsonObject> = {
  what: "an object",
  read: (value) => value instanceof Map ? value : undefined,
};

/** A list whose items are all of one kind. */
export function listOf<T>(kind: FieldKind<T>): FieldKind<T[]> {
  return {
    what: `a list, each item ${kind.what}`,
    read(value) {
      if (!Array.isArray(value)) return undefined;
      const items: T[] = [];
      for (const item of value) {
        const read = kind.read(item);
        if (read === undefined) return undefined;
        items.push(read);
      }
      return items;
    },
  };
}

export const STRING_LIST: FieldKind<string[]> = listOf(STRING);

/** One of a few strings. */
export function oneOf<T extends string>(...choices: readonly T[]): FieldKind<T> {
  return {
    what: `one of ${choices.map(quote).join(", ")}`,
    read: (value) => choices.find((choice) => choice === value),
  };
}

/**
 * The fields of one object of a config, each read as a kind. A field that does not fit throws with the field named and
 * its value shown.
 *
 * ```ts
 * const fields = new Fields(object, "bad_config", "adapter_config.json");
 * const numBlocks = fields.required("num_blocks", POSITIVE_INTEGER);
 * ```
 */
export class Fields {
  readonly object: JsonObject;
  readonly #code: ErrorCode;
  readonly #file: string;
  readonly #path: string;

  /** @param path  the field that holds `object`, for messages: `fused_qkv` */
  constructor(object: JsonObject, code: ErrorCode, file: string, path: string = "") {
    this.object = object;
    this.#code = code;
    this.#file = file;
    this.#path = path;
  }

  /** The fields of a document, which must be an object. */
  static ofDocument(value: JsonValue, code: ErrorCode, file: string): Fields {
    if (value instanceof Map) return new Fields(value, code, file);
    throw new EtherError(code, `the file holds ${describe(value)}, not an object`, { file });
  }

  /** @throws {EtherError} if the field is absent, null, or of another kind */
  required<T>(name: string, kind: FieldKind<T>): T {
    const value = this.object.get(name);
    if (value === undefined) this.fail(name, `${this.pathOf(name)} is missing; it must be ${kind.what}`);
    return this.#read(name, value, kind);
  }

  /** `undefined` if the field is absent. @throws {EtherError} if it is null or of another kind */
  optional<T>(name: string, kind: FieldKind<T>): T | undefined {
    const value = this.object.get(name);
    return value === undefined ? undefined : this.#read(name, value, kind);
  }

  /** `undefined` if the field is absent or null, as Python writes `None`. @throws {EtherError} if of another kind */
  nullable<T>(name: string, kind: FieldKind<T>): T | undefined {
    return this.object.get(name) === null ? undefined : this.optional(name, kind);
  }

  /** The fields of an object within this one. @throws {EtherError} if it is absent or no object */
  within(name: string): Fields {
    return new Fields(this.required(name, OBJECT), this.#code, this.#file, this.pathOf(name));
  }

  /** A field by its full path, as messages name it: `fused_qkv.n_head`. */
  pathOf(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }

  /** Refuses a field for a reason of the caller's. */
  fail(name: string, reason: string, hint?: string): never {
    throw new EtherError(this.#code, reason, { file: this.#file, field: this.pathOf(name), hint });
  }

  #read<T>(name: string, value: JsonValue, kind: FieldKind<T>): T {
    const read = kind.read(value);
    if (read === undefined) this.fail(name, `${this.pathOf(name)} is ${describe(value)}, not ${kind.what}`);
    return read;
  }
}

/** A value in a message: itself if it is short, else what it is. */
export function describe(value: JsonValue): string {
  if (value instanceof JsonNumber) return clip(value.text, 40);
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) {
    const items = value.slice(0, 4).map((item) => item instanceof Map || Array.isArray(item) ? "…" : describe(item));
    return `[${items.join(", ")}${value.length > 4 ? ", …" : ""}]`;
  }
  if (value instanceof Map) return "an object";
  return String(value);
}
