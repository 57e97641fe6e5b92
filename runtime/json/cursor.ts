import { type ErrorCode, EtherError } from "../error.ts";
import { quote } from "./quote.ts";
import { SeenKeys } from "./seen_keys.ts";
import { decodeUtf8, utf8Length } from "./utf8.ts";

/** Containers within containers, the outermost counted: what recursion over a document may cost. No real file has 10. */
export const MAX_NESTING = 64;

/** What the next value is, told by its first character. */
export type JsonKind = "object" | "array" | "string" | "number" | "boolean" | "null";

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * Reads one JSON document value by value, so that a reader of hostile bytes keeps what it knows and skips the rest
 * without building it (100 MB of `{},{},…` would be gigabytes of objects).
 *
 * Strict: RFC 8259's grammar and nothing else, strict UTF-8 without a byte order mark, no lone surrogate escapes, no key
 * twice in one object (compared after unescaping), no number that overflows a double, at most {@link MAX_NESTING} levels.
 * Every fault is an {@link EtherError} of the caller's code that names the byte.
 *
 * ```ts
 * cursor.enterObject();
 * for (let key = cursor.nextKey(); key !== undefined; key = cursor.nextKey()) cursor.skip();
 * cursor.end();
 * ```
 */
export class JsonCursor {
  readonly #text: string;
  readonly #code: ErrorCode;
  readonly #file: string;
  readonly #origin: number;
  #at = 0;
  /** True between the opening of a container and its first member. */
  #fresh = false;
  #keyAt = 0;
  /** Keys seen in each open container; `undefined` for arrays. */
  readonly #open: (SeenKeys | undefined)[] = [];

  /**
   * @param origin  place of `bytes[0]` in the file; messages count bytes from the file's start
   * @throws {EtherError} `code` if the bytes are not UTF-8
   */
  constructor(bytes: Uint8Array, code: ErrorCode, file: string, origin: number = 0) {
    this.#text = decodeUtf8(bytes, code, file, origin);
    this.#code = code;
    this.#file = file;
    this.#origin = origin;
  }

  /** The kind of the value that stands next; refuses what cannot begin one. */
  kind(): JsonKind {
    const character = this.#skipSpace();
    switch (character) {
      case 0x7b:
        return "object";
      case 0x5b:
        return "array";
      case QUOTE:
        return "string";
      case 0x74: // t
      case 0x66: // f
        return "boolean";
      case 0x6e: // n
        return "null";
      default:
        if (character === MINUS || isDigit(character)) return "number";
        return this.#expected("a value");
    }
  }

  enterObject(): void {
    this.#enter(0x7b, "an object", new SeenKeys());
  }

  /** The next key, its value standing next; `undefined` where the object ends. */
  nextKey(): string | undefined {
    if (!this.#another(0x7d, '"," or "}"')) return undefined;
    this.#skipSpace();
    this.#keyAt = this.#at;
    const key = this.string();
    if (this.#open[this.#open.length - 1]?.add(key) === false) this.#fail(`duplicate key ${quote(key)}`, this.#keyAt);
    if (this.#skipSpace() !== COLON) this.#expected('":"');
    this.#at++;
    return key;
  }

  enterArray(): void {
    this.#enter(0x5b, "a list", undefined);
  }

  /** True if an item stands next, false where the array ends. */
  nextItem(): boolean {
    return this.#another(0x5d, '"," or "]"');
  }

  string(): string {
    if (this.#skipSpace() !== QUOTE) this.#expected("a string");
    const text = this.#text;
    const opening = this.#at++;
    let start = this.#at;
    let unescaped = "";
    while (true) {
      const character = text.charCodeAt(this.#at); // NaN at the end
      if (character === QUOTE) {
        const tail = text.slice(start, this.#at++);
        return unescaped === "" ? tail : unescaped + tail;
      }
      if (character === BACKSLASH) {
        unescaped += text.slice(start, this.#at) + this.#escape();
        start = this.#at;
      } else if (character >= 0x20) {
        this.#at++;
      } else if (Number.isNaN(character)) {
        this.#fail("a string without an end", opening);
      } else {
        this.#fail(`control character ${hex(character)} in a string`, this.#at);
      }
    }
  }

  /** The text of a number, as it was written. */
  number(): string {
    let character = this.#skipSpace();
    const start = this.#at;
    if (character === MINUS) character = this.#text.charCodeAt(++this.#at);
    if (!isDigit(character)) this.#expected("a digit");
    if (character === ZERO) {
      this.#at++;
      if (isDigit(this.#text.charCodeAt(this.#at))) this.#fail("a number with a leading zero", start);
    } else {
      this.#digits();
    }
    if (this.#text.charCodeAt(this.#at) === 0x2e) {
      this.#at++;
      this.#digits();
    }
    if ((this.#text.charCodeAt(this.#at) | 0x20) === 0x65) { // e, E
      const sign = this.#text.charCodeAt(++this.#at);
      if (sign === MINUS || sign === 0x2b) this.#at++;
      this.#digits();
    }
    const text = this.#text.slice(start, this.#at);
    // The shortest number that overflows is 1e309: anything shorter needs no conversion to know.
    if (text.length >= 5 && !Number.isFinite(Number(text))) this.#fail(`number ${quote(text)} is out of range`, start);
    return text;
  }

  /** `true` or `false`. */
  boolean(): boolean {
    const value = this.#skipSpace() === 0x74;
    this.#word(value ? "true" : "false");
    return value;
  }

  null(): void {
    this.#skipSpace();
    this.#word("null");
  }

  /** Passes over one value, checking all of it. Recursion is bounded by {@link MAX_NESTING}. */
  skip(): void {
    switch (this.kind()) {
      case "object":
        this.enterObject();
        while (this.nextKey() !== undefined) this.skip();
        return;
      case "array":
        this.enterArray();
        while (this.nextItem()) this.skip();
        return;
      case "string":
        this.string();
        return;
      case "number":
        this.number();
        return;
      case "boolean":
        this.boolean();
        return;
      case "null":
        this.null();
        return;
    }
  }

  /** Refuses anything but white space after the document's value. */
  end(): void {
    if (!Number.isNaN(this.#skipSpace())) this.#expected("the end");
  }

  /** Refuses the document, for a reason that this grammar does not know, at the next value. */
  fail(reason: string): never {
    this.#skipSpace();
    this.#fail(reason, this.#at);
  }

  #enter(opening: number, what: string, keys: SeenKeys | undefined): void {
    if (this.#skipSpace() !== opening) this.#expected(what);
    if (this.#open.length === MAX_NESTING) this.#fail(`nested more than ${MAX_NESTING} levels deep`, this.#at);
    this.#open.push(keys);
    this.#at++;
    this.#fresh = true;
  }

  #another(closing: number, expected: string): boolean {
    const character = this.#skipSpace();
    const fresh = this.#fresh;
    this.#fresh = false;
    if (character === closing) {
      this.#at++;
      this.#open.pop();
      return false;
    }
    if (fresh) return true;
    if (character !== COMMA) this.#expected(expected);
    this.#at++;
    return true;
  }

  #escape(): string {
    const start = this.#at;
    const letter = this.#text[start + 1] ?? "";
    if (letter === "u") return this.#unicodeEscape(start);
    const character = ESCAPES[letter];
    if (character === undefined) this.#fail(`unknown escape ${quote(`\\${letter}`)}`, start);
    this.#at = start + 2;
    return character;
  }

  #unicodeEscape(start: number): string {
    const first = this.#hexDigits(start);
    this.#at = start + 6;
    if (first < 0xd800 || first > 0xdfff) return String.fromCharCode(first);
    if (first < 0xdc00 && this.#text.startsWith("\\u", start + 6)) {
      const second = this.#hexDigits(start + 6);
      this.#at = start + 12;
      if (second >= 0xdc00 && second <= 0xdfff) return String.fromCharCode(first, second);
    }
    this.#fail(`lone surrogate escape ${quote(this.#text.slice(start, start + 6))}`, start);
  }

  #hexDigits(start: number): number {
    const digits = this.#text.slice(start + 2, start + 6);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.#fail("a \\u escape without four hexadecimal digits", start);
    return parseInt(digits, 16);
  }

  #digits(): void {
    if (!isDigit(this.#text.charCodeAt(this.#at))) this.#expected("a digit");
    do this.#at++; while (isDigit(this.#text.charCodeAt(this.#at)));
  }

  #word(word: string): void {
    if (!this.#text.startsWith(word, this.#at)) this.#expected(word);
    this.#at += word.length;
  }

  /** Passes white space and gives the character that follows it, NaN at the end. */
  #skipSpace(): number {
    const text = this.#text;
    let character = text.charCodeAt(this.#at);
    while (character === 0x20 || character === 0x0a || character === 0x0d || character === 0x09) {
      character = text.charCodeAt(++this.#at);
    }
    return character;
  }

  #expected(what: string): never {
    const point = this.#text.codePointAt(this.#at);
    const found = point === undefined ? "the end" : quote(String.fromCodePoint(point));
    this.#fail(`expected ${what}, found ${found}`, this.#at);
  }

  #fail(reason: string, at: number): never {
    throw new EtherError(this.#code, `${reason} at byte ${this.#origin + utf8Length(this.#text, at)}`, {
      file: this.#file,
    });
  }
}

function isDigit(character: number): boolean {
  return character >= ZERO && character <= 0x39;
}

function hex(character: number): string {
  return `U+${character.toString(16).toUpperCase().padStart(4, "0")}`;
}
