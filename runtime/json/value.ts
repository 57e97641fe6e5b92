/**
 * A JSON value as it was written: an object keeps the order of its keys and has any key (`__proto__` is a name like
 * another), a number keeps its text.
 */
export type JsonValue = null | boolean | string | JsonNumber | JsonValue[] | JsonObject;

/** A JSON object. To set a field in its place, or at the end, is `object.set(name, value)`. */
export type JsonObject = Map<string, JsonValue>;

/** A number by its text, so that 18446744073709551615 is not 18446744073709551616 and 1.0 is not rewritten as 1. */
export class JsonNumber {
  /** As written; one of RFC 8259's numbers. */
  readonly text: string;

  /** From one of RFC 8259's numbers, as text. */
  constructor(text: string) {
    this.text = text;
  }

  /**
   * The number of an integer that we computed.
   *
   * @throws {RangeError} if it is no integer, or too large to be exact: a mistake of the caller
   */
  static ofInteger(value: number): JsonNumber {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer`);
    return new JsonNumber(value.toFixed(0));
  }

  /** The nearest double; finite. */
  get value(): number {
    return Number(this.text);
  }

  /** The exact integer of digits with at most a minus sign; `undefined` for `4.0`, `4e0` and `-0`. */
  get integer(): bigint | undefined {
    return /^(0|-?[1-9][0-9]*)$/.test(this.text) ? BigInt(this.text) : undefined;
  }
}
