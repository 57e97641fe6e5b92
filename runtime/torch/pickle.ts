/**
 * A closed reader of pickles (Python's protocols 2 to 5, as far as `torch.save` uses them).
 *
 * A pickle is a program for a stack machine; the general machine can import and call anything. This one cannot: it has
 * the opcodes of plain data, names are looked up in a short list ({@link globalMeaning}), and what a name "makes" is a
 * record of its arguments. The opcodes that build objects any other way are not there.
 */
import { EtherError } from "../error.ts";
import { quote } from "../json/quote.ts";
import { type Fault, globalMeaning, reduce, storageOf } from "./globals.ts";
import { kindOf, type PickleDict, type PickleList, type PickleValue } from "./value.ts";

/** One tensor takes about 200 bytes of pickle: a file at this limit names 80,000. */
export const MAX_PICKLE_BYTES = 16 << 20;
/** Longest string; a tensor's name has some hundred bytes. */
const MAX_STRING = 1 << 16;
/** Values on the stack at once: SETITEMS is written every 1,000 items, a dict of many calls for some more. */
const MAX_STACK = 1 << 20;
const MAX_MEMO = 1 << 20;
/** Tuples, lists and dicts: one byte makes one, which takes a hundred times as much; a tensor has eight. */
const MAX_OBJECTS = 1 << 20;
/** Marks that are open at once, which is how deeply values are nested: a checkpoint has five. */
const MAX_DEPTH = 256;
/** Protocol 5 adds only buffers outside the file, which are refused as unknown opcodes. */
const PROTOCOLS = [2, 5] as const;

/** The opcodes of `pickletools` that plain data needs. */
const OP = {
  PROTO: 0x80,
  FRAME: 0x95,
  STOP: 0x2e,
  MARK: 0x28,
  NONE: 0x4e,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  BININT: 0x4a,
  BININT1: 0x4b,
  BININT2: 0x4d,
  LONG1: 0x8a,
  BINFLOAT: 0x47,
  BINUNICODE: 0x58,
  SHORT_BINUNICODE: 0x8c,
  EMPTY_TUPLE: 0x29,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  TUPLE: 0x74,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  APPENDS: 0x65,
  EMPTY_DICT: 0x7d,
  SETITEM: 0x73,
  SETITEMS: 0x75,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  MEMOIZE: 0x94,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  GLOBAL: 0x63,
  STACK_GLOBAL: 0x93,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BUILD: 0x62,
} as const;

/**
 * Reads a pickle whole.
 *
 * @param file  for messages
 * @throws {EtherError} `bad_pickle` with the byte at which something is wrong
 */
export function readPickle(bytes: Uint8Array, file: string): PickleValue {
  if (bytes.byteLength > MAX_PICKLE_BYTES) {
    const reason = `a pickle of ${bytes.byteLength} bytes is too large for a checkpoint's`;
    throw new EtherError("bad_pickle", reason, { file });
  }
  return new Machine(bytes, file).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: string;
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #stack: PickleValue[] = [];
  /** Heights of the stack at which a mark stands. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #objectCount = 0;
  #at = 0;
  /** Where the opcode being run begins. */
  #start = 0;

  constructor(bytes: Uint8Array, file: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#file = file;
  }

  run(): PickleValue {
    if (this.#u8() !== OP.PROTO) this.#fail("the pickle does not begin with its protocol");
    this.#protocol();
    while (true) {
      this.#start = this.#at;
      const op = this.#u8();
      if (op === OP.STOP) return this.#stop();
      this.#step(op);
    }
  }

  #step(op: number): void {
    switch (op) {
      case OP.FRAME: {
        // A frame is only how the writer buffered it; it must not pass the end.
        const length = this.#view.getBigUint64(this.#take(8), true);
        if (length > BigInt(this.#bytes.byteLength - this.#at)) this.#fail(`a frame of ${length} bytes passes the end`);
        return;
      }
      case OP.MARK:
        if (this.#marks.length >= MAX_DEPTH) this.#fail(`nested more than ${MAX_DEPTH} deep`);
        this.#marks.push(this.#stack.length);
        return;
      case OP.NONE:
        return this.#push(null);
      case OP.NEWTRUE:
        return this.#push(true);
      case OP.NEWFALSE:
        return this.#push(false);
      case OP.BININT:
        return this.#push(this.#view.getInt32(this.#take(4), true));
      case OP.BININT1:
        return this.#push(this.#u8());
      case OP.BININT2:
        return this.#push(this.#view.getUint16(this.#take(2), true));
      case OP.LONG1:
        return this.#push(this.#long());
      case OP.BINFLOAT:
        return this.#push({ kind: "float", value: this.#view.getFloat64(this.#take(8), false) });
      case OP.BINUNICODE:
        return this.#push(this.#text(this.#u32()));
      case OP.SHORT_BINUNICODE:
        return this.#push(this.#text(this.#u8()));
      case OP.EMPTY_TUPLE:
        return this.#push({ kind: "tuple", items: [] });
      case OP.TUPLE1:
        return this.#push({ kind: "tuple", items: this.#popMany(1) });
      case OP.TUPLE2:
        return this.#push({ kind: "tuple", items: this.#popMany(2) });
      case OP.TUPLE3:
        return this.#push({ kind: "tuple", items: this.#popMany(3) });
      case OP.TUPLE:
        return this.#push({ kind: "tuple", items: this.#popToMark() });
      case OP.EMPTY_LIST:
        return this.#push({ kind: "list", items: [] });
      case OP.APPEND: {
        const items = this.#popMany(1);
        return this.#append(items);
      }
      case OP.APPENDS:
        return this.#append(this.#popToMark());
      case OP.EMPTY_DICT:
        return this.#push({ kind: "dict", entries: new Map(), ordered: false });
      case OP.SETITEM:
        return this.#setItems(this.#popMany(2));
      case OP.SETITEMS:
        return this.#setItems(this.#popToMark());
      case OP.BINPUT:
        return this.#remember(this.#u8());
      case OP.LONG_BINPUT:
        return this.#remember(this.#u32());
      case OP.MEMOIZE:
        return this.#remember(this.#memo.size);
      case OP.BINGET:
        return this.#recall(this.#u8());
      case OP.LONG_BINGET:
        return this.#recall(this.#u32());
      case OP.GLOBAL: {
        const module = this.#line();
        return this.#global(module, this.#line());
      }
      case OP.STACK_GLOBAL: {
        const [module, name] = this.#popMany(2);
        if (typeof module === "string" && typeof name === "string") return this.#global(module, name);
        return this.#fail(`a global's name is ${kindOf(module)} and ${kindOf(name)}`);
      }
      case OP.BINPERSID:
        return this.#push(this.#checked(storageOf(this.#pop())));
      case OP.REDUCE: {
        const [callee, args] = this.#popMany(2);
        return this.#push(this.#checked(reduce(callee!, args!)));
      }
      case OP.BUILD:
        return this.#build();
      case OP.PROTO:
        return this.#fail("a second protocol");
      default:
        return this.#fail(
          `the opcode 0x${op.toString(16).padStart(2, "0")} is none that a file of tensors has`,
          "the file may hold objects besides tensors: torch.save the tensors alone",
        );
    }
  }

  #protocol(): void {
    const protocol = this.#u8();
    const [least, most] = PROTOCOLS;
    if (protocol < least || protocol > most) this.#fail(`protocol ${protocol}, not ${least} to ${most}`);
  }

  #stop(): PickleValue {
    if (this.#stack.length !== 1 || this.#marks.length > 0) {
      this.#fail(`the pickle stops with ${this.#stack.length} values and ${this.#marks.length} marks, not one value`);
    }
    const left = this.#bytes.byteLength - this.#at;
    if (left > 0) this.#fail(`${left} bytes follow the pickle's end`);
    return this.#stack[0]!;
  }

  #push(value: PickleValue): void {
    if (typeof value === "object" && value !== null && ++this.#objectCount > MAX_OBJECTS) {
      this.#fail(`more than ${MAX_OBJECTS} objects`);
    }
    this.#pushAgain(value);
  }

  #pushAgain(value: PickleValue): void {
    if (this.#stack.length >= MAX_STACK) this.#fail(`more than ${MAX_STACK} values on the stack`);
    this.#stack.push(value);
  }

  /** What lies below a mark belongs to whoever set it. */
  #popMany(count: number): PickleValue[] {
    if (this.#stack.length - count < (this.#marks.at(-1) ?? 0)) this.#fail(`too few values for this opcode`);
    return this.#stack.splice(this.#stack.length - count, count);
  }

  #pop(): PickleValue {
    return this.#popMany(1)[0]!;
  }

  #popToMark(): PickleValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) return this.#fail("no mark");
    return this.#stack.splice(mark);
  }

  /** The value under what was just taken, which the opcode changes. */
  #top(): PickleValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) this.#fail("nothing to change");
    return this.#stack.at(-1)!;
  }

  #append(items: readonly PickleValue[]): void {
    const list = this.#top();
    if (!isKind(list, "list")) return this.#fail(`items for ${kindOf(list)}`);
    for (const item of items) (list as PickleList).items.push(item);
  }

  #setItems(items: readonly PickleValue[]): void {
    const dict = this.#top();
    if (!isKind(dict, "dict")) return this.#fail(`keys for ${kindOf(dict)}`);
    if (items.length % 2 !== 0) this.#fail("a key without a value");
    const { entries } = dict as PickleDict;
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i];
      if (typeof key !== "string") return this.#fail(`a key is ${kindOf(key)}, not a string`);
      if (entries.has(key)) this.#fail(`the key ${quote(key)} stands twice`);
      entries.set(key, items[i + 1]!);
    }
  }

  /** An OrderedDict's attributes: torch's `_metadata`, which says nothing about tensors. */
  #build(): void {
    const state = this.#pop();
    const object = this.#top();
    if (isKind(object, "dict") && (object as PickleDict).ordered && isKind(state, "dict")) return;
    this.#fail(`${kindOf(object)} with attributes`);
  }

  #remember(index: number): void {
    if (index > MAX_MEMO) this.#fail(`the memo's place ${index} is above ${MAX_MEMO}`);
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) return this.#fail(`the memo has nothing at ${index}`);
    this.#pushAgain(value);
  }

  #global(module: string, name: string): void {
    const meaning = globalMeaning(module, name);
    if (meaning === undefined) {
      return this.#fail(
        `the name ${quote(`${module}.${name}`)} is not allowed`,
        "only F32, F16 and BF16 tensors in dicts are read; torch.save those alone",
      );
    }
    this.#push({ kind: "global", meaning });
  }

  #checked<T extends PickleValue>(result: T | Fault): T {
    if (typeof result === "object" && result !== null && "fault" in result) return this.#fail(result.fault);
    return result as T;
  }

  /** A little-endian two's complement integer; one that a double does not hold exactly is refused. */
  #long(): number {
    const length = this.#u8();
    const offset = this.#take(length);
    if (length > 8) this.#fail(`an integer of ${length} bytes`);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = value << 8n | BigInt(this.#bytes[offset + i]!);
    const signed = Number(BigInt.asIntN(8 * length, value));
    if (!Number.isSafeInteger(signed)) this.#fail(`the integer ${signed} is too large`);
    return signed;
  }

  #text(length: number): string {
    if (length > MAX_STRING) this.#fail(`a string of ${length} bytes, above ${MAX_STRING}`);
    const offset = this.#take(length);
    return this.#decode(this.#bytes.subarray(offset, offset + length));
  }

  /** Up to the newline, which is not part of it. */
  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end === -1 || end - this.#at > MAX_STRING) return this.#fail("a name without an end");
    const text = this.#decode(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return text;
  }

  #decode(bytes: Uint8Array): string {
    try {
      return this.#utf8.decode(bytes);
    } catch {
      return this.#fail("a string that is no UTF-8");
    }
  }

  #u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  #u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** Where the next bytes lie, which are passed. */
  #take(count: number): number {
    const offset = this.#at;
    if (offset + count > this.#bytes.byteLength) this.#fail("the pickle ends early");
    this.#at += count;
    return offset;
  }

  #fail(reason: string, hint?: string): never {
    throw new EtherError("bad_pickle", `${reason} (byte ${this.#start} of the pickle)`, { file: this.#file, hint });
  }
}

function isKind(value: PickleValue, kind: "dict" | "list"): boolean {
  return typeof value === "object" && value !== null && value.kind === kind;
}
