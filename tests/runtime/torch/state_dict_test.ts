/** What torch wrote is read, and what it never would is refused. */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import * as fc from "fast-check";
import { EtherError } from "../../../runtime/error.ts";
import { MemorySource } from "../../../runtime/io/source.ts";
import { TensorReader } from "../../../runtime/methods/tensor_reader.ts";
import { readStateDict, type TorchTensor } from "../../../runtime/torch/state_dict.ts";
import {
  bytesOf,
  dict,
  integer,
  little,
  type MadeEnd,
  type MadeEntry,
  pickle,
  tensor,
  text,
  torchFile,
  torchFileOf,
  tuple,
  zipOf,
} from "./torch_file.ts";

const FIXTURES = new URL("../../../fixtures/torch/", import.meta.url);

const read = (file: Uint8Array) => readStateDict(new MemorySource("f.pth", file));

/** A tensor's values, read the way a merge reads them. */
async function valuesOf(file: Uint8Array, { name, strides, ...place }: TorchTensor): Promise<number[]> {
  const reader = new TensorReader(() => new MemorySource("f.pth", file));
  const ref = { name, locator: "f.pth", ...place, ...strides === null ? {} : { strides } };
  return [...await reader.read(ref)];
}

/** Every tensor of a file. */
async function allValues(file: Uint8Array): Promise<Record<string, number[]>> {
  const values: Record<string, number[]> = {};
  for (const [name, found] of await read(file)) values[name] = await valuesOf(file, found);
  return values;
}

const f32 = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const EIGHT = f32(0, 1, 2, 3, 4, 5, 6, 7);

/** A file of one tensor `t` over the storage of eight elements. */
function oneView(view: Partial<Parameters<typeof tensor>[0]>, storage: Uint8Array = EIGHT): Uint8Array {
  const full = { dtype: "F32" as const, key: "0", elementCount: 8, shape: [8], ...view };
  return torchFileOf(pickle(dict([["t", tensor(full)]])), { "0": storage });
}

/** What the files in fixtures/torch hold; `make_fixtures.py` beside them makes them so. */
const WRITTEN = {
  plain: [0, 1, 2, 3, 4, 5],
  bf16: [1, -2, 0.5],
  half: [1, -2, 0.5, 65504],
  row: [14, 15, 16, 17, 18, 19, 20],
  transposed: [0, 7, 14, 1, 8, 15, 2, 9, 16, 3, 10, 17, 4, 11, 18, 5, 12, 19, 6, 13, 20],
  every_other: [0, 2, 4, 6, 7, 9, 11, 13, 14, 16, 18, 20],
  broadcast: [3, 3, 3, 3],
  empty: [],
  scalar: [2.5],
};

for await (const { name } of Deno.readDir(FIXTURES)) {
  if (!name.endsWith(".pth")) continue;
  Deno.test(`readStateDict reads ${name} as torch does, views and all`, async () => {
    const file = await Deno.readFile(new URL(name, FIXTURES));
    const { parameter, ...values } = await allValues(file);
    assertEquals(values, WRITTEN);
    assertEquals(parameter, [1, 1]);
  });
}

Deno.test("readStateDict: two views of one storage lie where torch says", async () => {
  const views: [string, Uint8Array][] = [
    ["a", tensor({ dtype: "F32", key: "0", elementCount: 8, offset: 2, shape: [2, 2] })],
    ["b", tensor({ dtype: "F32", key: "0", elementCount: 8, offset: 3, shape: [2, 2], strides: [1, 2] })],
  ];
  const file = torchFileOf(pickle(dict(views)), { "0": EIGHT });
  assertEquals(await allValues(file), { a: [2, 3, 4, 5], b: [3, 5, 4, 6] });
});

Deno.test("readStateDict takes the dict under model, or the dict itself, and leaves the rest of a wrapper", async () => {
  const t = tensor({ dtype: "F32", key: "0", elementCount: 8, shape: [8] });
  const wrapped = dict([["model", dict([["t", t]])], ["step", integer(7)], ["rate", bytesOf("G", new Uint8Array(8))]]);
  const state = bytesOf(
    ...["ccollections\nOrderedDict\n)R(", text("t"), t, "u}(", text("_metadata"), "}ub"],
  );
  for (const value of [wrapped, dict([["t", t]]), state, dict([["model", state]])]) {
    assertEquals([...(await read(torchFileOf(pickle(value), { "0": EIGHT }))).keys()], ["t"]);
  }
});

Deno.test("readStateDict reads protocol 4, with frames, memo and names from the stack", async () => {
  const short = (value: string) => bytesOf(0x8c, value.length, value);
  const global = (module: string, name: string) => bytesOf(short(module), short(name), 0x93, 0x94);
  const body = bytesOf(
    ...["}", 0x94, short("t"), 0x94, global("torch._utils", "_rebuild_tensor_v2"), "((", short("storage"), 0x94],
    ...[global("torch", "FloatStorage"), short("0"), short("cpu"), "K", 8, "t", 0x94, "Q"],
    ...["K", 0, "K", 8, 0x85, "K", 1, 0x85, 0x89, global("collections", "OrderedDict"), ")RtRs."],
  );
  const data = bytesOf(0x80, 4, 0x95, little(body.length, 8), body);
  assertEquals(await allValues(torchFileOf(data, { "0": EIGHT })), { t: [0, 1, 2, 3, 4, 5, 6, 7] });
});

for (const end of [{}, { zip64: "there" }, { zip64: "needed" }, { comment: "PK\x05\x06 hello" }] satisfies MadeEnd[]) {
  Deno.test(`readStateDict reads an archive that ends with ${JSON.stringify(end)}`, async () => {
    const data = pickle(dict([["t", tensor({ dtype: "F32", key: "0", elementCount: 8, shape: [2, 4] })]]));
    const more = [{ name: "archive/byteorder", bytes: bytesOf("little") }];
    assertEquals((await allValues(torchFileOf(data, { "0": EIGHT }, more, end))).t!.length, 8);
  });
}

const T = tensor({ dtype: "F32", key: "0", elementCount: 8, shape: [8] });
const DATA = pickle(dict([["t", T]]));
const good = (more: readonly MadeEntry[] = [], end?: MadeEnd) => torchFileOf(DATA, { "0": EIGHT }, more, end);
const storage = (entry: Partial<MadeEntry>, end?: MadeEnd) =>
  zipOf([{ name: "a/data.pkl", bytes: DATA }, { name: "a/data/0", bytes: EIGHT, ...entry }], end);
const pickled = (...parts: readonly (number | string | Uint8Array)[]) => torchFileOf(pickle(...parts), { "0": EIGHT });
const raw = (...parts: readonly (number | string | Uint8Array)[]) => torchFileOf(bytesOf(...parts), { "0": EIGHT });
const view = (shape: number[], strides: number[], offset = 0) => oneView({ shape, strides, offset });
const patch = (bytes: Uint8Array, at: number, ...values: number[]) => {
  const copy = bytes.slice();
  copy.set(values, at < 0 ? copy.length + at : at);
  return copy;
};
const GADGET = `cos\nsystem\n(${"X"}\u0002\0\0\0idtR`;
const END = good().length - 22;

/** The data of one entry is another entry, which the directory has too. */
function nested(): Uint8Array<ArrayBuffer> {
  const headerLength = 30 + "a/inner".length;
  const inner = { name: "a/inner", bytes: EIGHT };
  const data = zipOf([inner]).slice(0, headerLength + EIGHT.length);
  return zipOf([{ name: "a/outer", bytes: data }, { ...inner, headerOffset: headerLength }]);
}

/** Each is refused as `bad_pickle`, for the reason given. */
const HOSTILE: readonly (readonly [what: string, file: Uint8Array, reason: RegExp])[] = [
  // Archives.
  ["an empty file", new Uint8Array(0), /no zip archive/],
  ["a text", bytesOf("hello world, this is no archive at all"), /no zip archive.*cut short/],
  ["a file of old torch", bytesOf(0x80, 2, 0x8a, 10, new Uint8Array(40)), /torch before 1\.6/],
  ["an end record alone", good().slice(-22), /do not end where/],
  ["a file cut short", good().slice(0, -1), /no zip archive/],
  ["a file cut in its middle", good().slice(0, 300), /no zip archive/],
  ["a file with its beginning cut", good().slice(1), /do not end where|another local header/],
  ["bytes before the archive", bytesOf("x", good()), /do not end where/],
  ["several disks", patch(good(), END + 4, 1), /one part of several/],
  ["a wrong count", good([], { count: 2 }), /bytes after its 2 entries/],
  ["too high a count", good([], { count: 9 }), /ends after 3 of 9/],
  ["a huge count", good([], { zip64: "there", count: 0xffff }), /64-bit|ends after/],
  ["a directory elsewhere", good([], { directoryOffset: 3 }), /do not end/],
  ["a directory behind the end", patch(good(), END + 16, 255, 255, 255, 127), /do not end/],
  ["no 64-bit record where one is needed", patch(good(), END + 16, 255, 255, 255, 255), /64-bit end record is missing/],
  ["a 64-bit directory of 2^60 bytes", hugeDirectory(), /do not end/],
  ["a compressed entry", storage({ method: 8 }), /compressed \(method 8\)/],
  ["an encrypted entry", storage({ flags: 0x809 }), /flags 0x809/],
  ["a wrong CRC", storage({ crc: 1 }), /CRC-32 .* directory says 00000001; the file is damaged/],
  ["a byte of a storage changed", flipByteOf(good(), EIGHT), /"archive\/data\/0" has the CRC-32/],
  ["two sizes of a stored entry", storage({ compressedSize: 31 }), /takes 31 bytes for 32/],
  ["an entry that passes the end", storage({ size: 5000 }), /passes the data's end/],
  ["an entry of 2^62 bytes", storage({ size: 2 ** 62 }, { zip64: "needed" }), /passes the data's end/],
  ["a local header behind the end", storage({ headerOffset: 1e6 }), /lies behind the data's end/],
  ["a local header where none is", storage({ headerOffset: 3 }), /another local header|overlaps/],
  ["an entry over another", storage({ headerOffset: 0, localName: "a/data.pkl" }), /overlaps|another local header/],
  ["an entry within another, with a local header of its own", nested(), /"a\/inner" overlaps the one before it/],
  ["another local name", storage({ localName: "a/data/1" }), /another local header/],
  [
    "a name that is no UTF-8",
    replaceAll(good(), bytesOf("archive/version"), bytesOf("archive/versio", 255)),
    /no UTF-8/,
  ],
  [
    "two entries of one name",
    good([{ name: "archive/version", bytes: EIGHT }]),
    /two entries are called "archive\/version"/,
  ],
  ["no data.pkl", zipOf([{ name: "a/version", bytes: EIGHT }]), /no data\.pkl/],
  ["two of data.pkl", good([{ name: "other/data.pkl", bytes: EIGHT }]), /2 of data\.pkl/],
  ["big-endian bytes", good([{ name: "archive/byteorder", bytes: bytesOf("big") }]), /byte order is "big"/],
  ["an archive of nothing", zipOf([]), /no data\.pkl/],
  // Pickles.
  ["an empty pickle", torchFileOf(new Uint8Array(0)), /ends early/],
  ["no protocol", raw("}."), /begin with its protocol/],
  ["protocol 1", raw(0x80, 1, "}."), /protocol 1, not 2 to 5/],
  ["protocol 6", raw(0x80, 6, "}."), /protocol 6/],
  ["two protocols", pickled("}", 0x80, 2), /a second protocol/],
  ["no end", raw(0x80, 2, "}"), /ends early/],
  ["bytes after the end", raw(DATA, "x"), /1 bytes follow the pickle's end/],
  ["nothing at the end", pickled(""), /stops with 0 values/],
  ["two values at the end", pickled("}}"), /stops with 2 values/],
  ["an open mark at the end", pickled("}("), /1 marks/],
  ["os.system", pickled(GADGET), /"os\.system" is not allowed/],
  ["builtins.eval from the stack", pickled(0x8c, 8, "builtins", 0x8c, 4, "eval", 0x93), /"builtins\.eval" is not/],
  ["a name of a name", pickled(")", text("x"), 0x93), /name is a tuple and a string/],
  ["a storage of doubles", pickled("ctorch\nDoubleStorage\n"), /"torch\.DoubleStorage" is not allowed .*; only F32/],
  ["a name that looks allowed", pickled("ctorch._utils \n_rebuild_tensor_v2\n"), /not allowed/],
  ["a name without an end", pickled("ctorch"), /a name without an end/],
  ["INST", pickled("(ios\nsystem\n"), /opcode 0x69/],
  ["OBJ", pickled("(co"), /without an end|opcode/],
  ["NEWOBJ", pickled("ccollections\nOrderedDict\n)", 0x81), /opcode 0x81/],
  ["EXT1", pickled(0x82, 1), /opcode 0x82/],
  ["a persistent id in text", pickled("P0\n"), /opcode 0x50/],
  ["an out-of-band buffer", pickled(0x97), /opcode 0x97/],
  ["POP", pickled("}}0"), /opcode 0x30/],
  ["an unknown opcode", pickled(0xff), /opcode 0xff/],
  ["REDUCE of a string", pickled(text("x"), ")R"), /a string is nothing that makes a value/],
  ["REDUCE of a storage class", pickled("ctorch\nFloatStorage\n)R"), /the global F32 is nothing that makes/],
  ["REDUCE of a tensor", pickled(T, ")R"), /a tensor is nothing that makes a value/],
  ["REDUCE with a list", pickled("ccollections\nOrderedDict\n]R"), /arguments are a list/],
  ["REDUCE with nothing", pickled("R"), /too few values/],
  ["an OrderedDict of something", pickled("ccollections\nOrderedDict\n]", 0x85, "R"), /made of 1 arguments/],
  [
    "a tensor of three arguments",
    pickled("ctorch._utils\n_rebuild_tensor_v2\n", ")))", 0x87, "R"),
    /made of 3 arguments/,
  ],
  ["a tensor without a storage", pickled("ctorch._utils\n_rebuild_tensor_v2\n(NK\0))", 0x89, "NtR"), /storage is None/],
  [
    "a parameter of a string",
    pickled("ctorch._utils\n_rebuild_parameter\n(", text("x"), 0x88, "NtR"),
    /made of a string/,
  ],
  ["BUILD on a plain dict", pickled("}}b"), /a dict with attributes/],
  ["BUILD with a tuple", pickled("ccollections\nOrderedDict\n)R)b"), /with attributes/],
  ["a persistent id that is a string", pickled(text("0"), "Q"), /persistent id is a string/],
  ["a persistent id of a module", pickled("(", text("module"), "NNNNtQ"), /persistent id is a tuple/],
  ["a storage of no class", pickled("(", text("storage"), "N", text("0"), text("cpu"), "K\x01tQ"), /class is None/],
  ["a storage of -1 elements", oneView({ elementCount: -1 }), /storage has a number -1 for its size/],
  ["memo out of range", pickled("h", 9), /memo has nothing at 9/],
  ["memo far out of range", pickled("j", little(0xffffffff, 4)), /memo has nothing at 4294967295/],
  ["a memo of 2^32 places", pickled("}r", little(0xffffffff, 4)), /memo's place 4294967295 is above/],
  ["memo of nothing", pickled("q", 0), /nothing to change/],
  ["a value from below a mark", pickled("}(q", 0), /nothing to change/],
  ["a tuple over a mark", pickled("}}(", 0x86), /too few values/],
  ["a tuple without a mark", pickled("}t"), /no mark/],
  ["keys for a tuple", pickled(")", text("k"), text("v"), "s"), /keys for a tuple/],
  ["items for a dict", pickled("}", text("v"), "a"), /items for a dict/],
  ["a key without a value", pickled("}(", text("k"), "u"), /a key without a value/],
  ["a key that is a number", pickled("}K\x01K\x02s"), /a key is a number/],
  ["a key twice", pickled(dict([["k", T], ["k", T]])), /the key "k" stands twice/],
  ["marks without end", pickled("(".repeat(1000)), /nested more than/],
  ["values without end", pickled(new Uint8Array(1_100_000).fill(0x4e)), /values on the stack/],
  [
    "objects without end",
    pickled("](", bytesOf(...new Array<string>(1100).fill(")".repeat(1000) + "e(")), "e"),
    /objects/,
  ],
  ["a string of 4 GB", pickled("X", little(0xffffffff, 4)), /a string of 4294967295 bytes/],
  ["a string past the end", pickled("X", little(1000, 4), "abc"), /ends early/],
  ["a string that is no UTF-8", pickled("X", little(1, 4), 0xff), /no UTF-8/],
  ["an integer of 255 bytes", pickled(0x8a, 255, new Uint8Array(255)), /an integer of 255 bytes/],
  ["an integer of 2^62", pickled(integer(2 ** 62)), /too large/],
  ["a frame past the end", raw(0x80, 4, 0x95, little(1000, 8), "}."), /a frame of 1000 bytes/],
  // Tensors.
  ["a list in the file", pickled("]"), /holds a list, not a dict of tensors/],
  ["a number for a tensor", pickled(dict([["t", integer(1)]])), /t: is a number, not a tensor/],
  ["a storage that is not there", oneView({ key: "1" }), /storage "1", which is not there/],
  ["a storage elsewhere", oneView({ key: "../version" }), /which is not there/],
  ["a storage of another size", oneView({ elementCount: 9 }), /said to have 9 elements of F32, but has 32 bytes/],
  ["a storage of another dtype", oneView({ dtype: "F16" }), /8 elements of F16, but has 32/],
  ["a view past the end", view([9], [1]), /passes the end of its storage of 8/],
  ["an offset past the end", view([8], [1], 1), /passes the end/],
  ["an empty view past the end", view([0], [1], 9), /passes the end/],
  ["a stride past the end", view([2, 2], [7, 1]), /passes the end/],
  ["a stride of 2^53 - 1", view([2, 2], [2 ** 53 - 1, 1]), /passes the end/],
  ["a negative size", view([-1], [1]), /integers from 0 up/],
  ["a negative stride", view([8], [-1], 7), /integers from 0 up/],
  ["a negative offset", view([8], [1], -1), /integers from 0 up/],
  ["another rank of strides", view([8], [1, 1]), /one of rank|all of one rank/],
  ["a size that is no integer", oneViewWith("G\0\0\0\0\0\0\0\0"), /integers from 0 up/],
  ["2^100 elements by a stride of 0", view([2 ** 50, 2 ** 50], [0, 0]), /too large to be gathered/],
  ["17 dimensions", view(new Array<number>(17).fill(1), new Array<number>(17).fill(1)), /has 17 dimensions/],
];

/** The good file's one view, with opcodes of the caller's for its size. */
function oneViewWith(size: string): Uint8Array {
  const whole = tensor({ dtype: "F32", key: "0", elementCount: 8, shape: [8] });
  return pickled(dict([["t", replaceAll(whole, tuple([8]), bytesOf("(", size, "t"))]]));
}

function hugeDirectory(): Uint8Array {
  const file = good([], { zip64: "needed" });
  const record = file.length - 22 - 20 - 56;
  return patch(file, record + 40, 0, 0, 0, 0, 0, 0, 0, 16);
}

function indexOf(bytes: Uint8Array, part: Uint8Array, from = 0): number {
  for (let i = from; i + part.length <= bytes.length; i++) {
    if (part.every((byte, j) => bytes[i + j] === byte)) return i;
  }
  return -1;
}

function replaceAll(bytes: Uint8Array, part: Uint8Array, by: Uint8Array): Uint8Array {
  let result = bytes.slice();
  for (let at = indexOf(result, part); at !== -1; at = indexOf(result, part, at + by.length)) {
    result = bytesOf(result.slice(0, at), by, result.slice(at + part.length));
  }
  return result;
}

function flipByteOf(bytes: Uint8Array, part: Uint8Array): Uint8Array {
  const at = indexOf(bytes, part);
  return patch(bytes, at, bytes[at]! ^ 1);
}

for (const [what, file, reason] of HOSTILE) {
  Deno.test(`bad_pickle: ${what}`, async () => {
    const error = await assertRejects(() => read(file), EtherError);
    assertEquals(error.code, "bad_pickle", error.toLine());
    assertMatch(error.toLine(), reason);
    assertMatch(error.toLine(), /^bad_pickle: f\.pth: /);
  });
}

Deno.test("the files that the hostile ones were made of are good", async () => {
  for (const file of [good(), storage({}), oneView({}), storage({}, { zip64: "needed" })]) {
    assertEquals([...(await read(file)).keys()], ["t"]);
  }
});

Deno.test("whatever is done to a file, it is read or refused with bad_pickle, and every tensor lies in the file", async () => {
  const fixture = await Deno.readFile(new URL("current.pth", FIXTURES));
  const made = torchFile({
    a: { dtype: "F32", shape: [2, 4], bytes: EIGHT },
    b: { dtype: "BF16", shape: [1, 2, 8], bytes: EIGHT },
  });
  const change = fc.record({
    at: fc.nat(),
    byte: fc.nat(255),
    kind: fc.constantFrom("set", "cut", "insert", "delete"),
  });
  const changes = fc.array(change, { minLength: 1, maxLength: 4 });
  const file = fc.constantFrom(fixture, made, good([], { zip64: "needed" }));
  await fc.assert(
    fc.asyncProperty(file, changes, async (original, list) => {
      let bytes = new Uint8Array(original);
      for (const { at, byte, kind } of list) {
        const place = at % (bytes.length + 1);
        const [before, after] = [bytes.slice(0, place), bytes.slice(place)];
        if (kind === "set") bytes = bytesOf(before, byte, after.slice(1));
        else if (kind === "cut") bytes = before;
        else bytes = kind === "insert" ? bytesOf(before, byte, after) : bytesOf(before, after.slice(1));
      }
      await readOrRefuse(bytes);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("whatever pickle an archive holds, it is read or refused with bad_pickle", async () => {
  const opcodes = [...new TextEncoder().encode("}()]atsuQRbqrhjcXKMJGN."), 0x80, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a];
  const byte = fc.oneof(fc.constantFrom(...opcodes, 0x8c, 0x93, 0x94, 0x95), fc.nat(255));
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 3 }).map((bytes) => bytesOf(bytes)),
    byte.map((one) => Uint8Array.of(one)),
    fc.constantFrom(T, text("t"), integer(8), tuple([8]), bytesOf("ccollections\nOrderedDict\n)R"), bytesOf("}(")),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 20 }), async (pieces) => {
      await readOrRefuse(torchFileOf(pickle(...pieces), { "0": EIGHT }));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("whatever byte of a pickle is another, it is read or refused with bad_pickle", async () => {
  for (let at = 0; at < DATA.length; at++) {
    for (const byte of [0, 1, 7, 8, 9, 0x28, 0x29, 0x2e, 0x52, 0x68, 0x74, 0x7d, 0x7f, 0x80, 0x8a, 0x95, 0xff]) {
      await readOrRefuse(torchFileOf(patch(DATA, at, byte), { "0": EIGHT }));
    }
  }
});

async function readOrRefuse(bytes: Uint8Array): Promise<void> {
  let tensors: ReadonlyMap<string, TorchTensor>;
  try {
    tensors = await read(bytes);
  } catch (error) {
    assert(error instanceof EtherError, String(error));
    assertStrictEquals(error.code, "bad_pickle");
    return;
  }
  for (const found of tensors.values()) {
    assert(found.offset >= 0 && found.offset <= bytes.length, found.name);
    if (found.strides === null) assert(found.offset + found.byteLength <= bytes.length, found.name);
    const values = await valuesOf(bytes, found);
    assertEquals(values.length, found.shape.reduce((product, size) => product * size, 1));
  }
}
