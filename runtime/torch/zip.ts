/**
 * The zip archives that `torch.save` writes, and no others: stored entries, found through the central directory.
 *
 * Sizes come from there alone. A local header is asked for one thing, how long it is, and must agree with the directory
 * where both say something; torch writes its sizes behind the data (flag bit 3), so that it has none to say.
 */
import { EtherError } from "../error.ts";
import type { ByteSource } from "../io/source.ts";
import { quote } from "../json/quote.ts";
import { crc32 } from "./crc32.ts";

/** One stored entry. */
export interface ZipEntry {
  readonly name: string;
  /** Where its first byte lies in the file. */
  readonly offset: number;
  /** How many bytes it has. */
  readonly size: number;
  readonly crc32: number;
}

/** The entries of an archive by name. */
export type ZipEntries = ReadonlyMap<string, ZipEntry>;

/** A directory larger than this is no adapter's: 100 bytes for each of some thousand tensors are usual. */
const MAX_DIRECTORY_BYTES = 64 << 20;
const MAX_ENTRIES = 200_000;
/** A comment's length is 16 bits. */
const MAX_COMMENT = 0xffff;

const END = { signature: 0x06054b50, length: 22 };
const END64 = { signature: 0x06064b50, length: 56 };
const LOCATOR64 = { signature: 0x07064b50, length: 20 };
const CENTRAL = { signature: 0x02014b50, length: 46 };
const LOCAL = { signature: 0x04034b50, length: 30 };
const ZIP64_EXTRA = 0x0001;
/** Bits of an entry's flags that change nothing for us: its sizes follow its data, its name is UTF-8. */
const HARMLESS_FLAGS = 0x0808;

/** A record of the directory before its local header has been looked at. */
interface CentralRecord {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly headerOffset: number;
  readonly size: number;
  readonly crc32: number;
}

/**
 * Reads the directory and every local header; of the data not a byte.
 *
 * @throws {EtherError} `bad_pickle`, `io_error`
 */
export async function readZip(source: ByteSource): Promise<ZipEntries> {
  const directory = await findDirectory(source);
  const bytes = await readPart(source, directory.offset, directory.size);
  const records = readDirectory(bytes, directory.count, source.name);
  records.sort((a, b) => a.headerOffset - b.headerOffset);
  const entries = new Map<string, ZipEntry>();
  let end = 0;
  for (const record of records) {
    const { name } = record;
    if (entries.has(name)) fail(source.name, `two entries are called ${quote(name)}`);
    if (record.headerOffset < end) fail(source.name, `the entry ${quote(name)} overlaps the one before it`);
    const offset = await dataOffset(source, record, directory.offset);
    end = offset + record.size;
    entries.set(name, { name, offset, size: record.size, crc32: record.crc32 });
  }
  return entries;
}

/** Reads an entry whole. @throws {EtherError} `bad_pickle` where it is too large or damaged */
export async function readEntry(
  source: ByteSource,
  entry: ZipEntry,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (entry.size > maxBytes) {
    fail(source.name, `${quote(entry.name)} has ${entry.size} bytes, above the limit of ${maxBytes}`);
  }
  const bytes = await readPart(source, entry.offset, entry.size);
  checkSum(source, entry, crc32(bytes));
  return bytes;
}

/** Reads an entry a megabyte at a time, and keeps nothing. @throws {EtherError} `bad_pickle` where it is damaged */
export async function checkEntry(source: ByteSource, entry: ZipEntry): Promise<void> {
  const buffer = new Uint8Array(Math.min(entry.size, 1 << 20));
  let sum = 0;
  for (let done = 0; done < entry.size; done += buffer.byteLength) {
    const part = buffer.subarray(0, Math.min(buffer.byteLength, entry.size - done));
    await source.read(entry.offset + done, part);
    sum = crc32(part, sum);
  }
  checkSum(source, entry, sum);
}

function checkSum(source: ByteSource, entry: ZipEntry, found: number): void {
  if (found === entry.crc32) return;
  const hex = (value: number) => value.toString(16).padStart(8, "0");
  const reason = `${quote(entry.name)} has the CRC-32 ${hex(found)}, its directory says ${hex(entry.crc32)}`;
  fail(source.name, reason, "the file is damaged: download it again");
}

/** Where the central directory lies: what the end record says, or its 64-bit twin. */
async function findDirectory(source: ByteSource): Promise<{ offset: number; size: number; count: number }> {
  const file = source.name;
  const tailLength = Math.min(source.size, END.length + MAX_COMMENT);
  const tailOffset = source.size - tailLength;
  const tail = await readPart(source, tailOffset, tailLength);
  const view = viewOf(tail);
  let at = tailLength - END.length;
  // A comment that looks like an end record does not end where the file does.
  const isEnd = (i: number) =>
    view.getUint32(i, true) === END.signature && i + END.length + view.getUint16(i + 20, true) === tailLength;
  while (at >= 0 && !isEnd(at)) at--;
  if (at < 0) {
    const legacy = source.size >= 2 && (await readPart(source, 0, 2))[0] === 0x80;
    const hint = legacy
      ? "torch before 1.6 wrote it: load it in Python and torch.save it again"
      : "it may be cut short, or no torch checkpoint";
    fail(file, "the file is no zip archive, as torch.save writes one", hint);
  }
  const endOffset = tailOffset + at;
  const disks = view.getUint16(at + 4, true) | view.getUint16(at + 6, true);
  let count = view.getUint16(at + 10, true);
  if (disks !== 0 || view.getUint16(at + 8, true) !== count) fail(file, "the archive is one part of several");
  let size = view.getUint32(at + 12, true);
  let offset = view.getUint32(at + 16, true);
  let directoryEnd = endOffset;
  if (count === 0xffff || size === 0xffffffff || offset === 0xffffffff) {
    ({ count, size, offset, directoryEnd } = await readEnd64(source, endOffset));
  } else if (offset + size !== endOffset) {
    // A 64-bit end record may stand between, though nothing needs it: torch writes one.
    const twin = offset + size + END64.length + LOCATOR64.length === endOffset;
    if (!twin) fail(file, `the directory's ${size} bytes at ${offset} do not end where the end record begins`);
    directoryEnd = offset + size;
  }
  if (offset + size !== directoryEnd) {
    fail(file, `the directory's ${size} bytes at ${offset} do not end at ${directoryEnd}`);
  }
  if (size > MAX_DIRECTORY_BYTES || count > MAX_ENTRIES) {
    fail(file, `${count} entries in a directory of ${size} bytes are too many for a checkpoint`);
  }
  return { offset, size, count };
}

async function readEnd64(
  source: ByteSource,
  endOffset: number,
): Promise<{ offset: number; size: number; count: number; directoryEnd: number }> {
  const file = source.name;
  const locatorOffset = endOffset - LOCATOR64.length;
  if (locatorOffset < END64.length) fail(file, "the 64-bit end record is missing");
  const locator = viewOf(await readPart(source, locatorOffset, LOCATOR64.length));
  if (locator.getUint32(0, true) !== LOCATOR64.signature) fail(file, "the 64-bit end record is missing");
  const directoryEnd = numberOf(locator.getBigUint64(8, true));
  if (directoryEnd !== locatorOffset - END64.length) fail(file, "the 64-bit end record is not where its locator says");
  const end = viewOf(await readPart(source, directoryEnd, END64.length));
  if (end.getUint32(0, true) !== END64.signature) fail(file, "the 64-bit end record has a wrong signature");
  const count = numberOf(end.getBigUint64(32, true));
  const disks = locator.getUint32(4, true) | end.getUint32(16, true) | end.getUint32(20, true);
  if (disks !== 0 || numberOf(end.getBigUint64(24, true)) !== count) fail(file, "the archive is one part of several");
  return {
    count,
    size: numberOf(end.getBigUint64(40, true)),
    offset: numberOf(end.getBigUint64(48, true)),
    directoryEnd,
  };
}

function readDirectory(bytes: Uint8Array, count: number, file: string): CentralRecord[] {
  const view = viewOf(bytes);
  const records: CentralRecord[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL.length > bytes.byteLength || view.getUint32(at, true) !== CENTRAL.signature) {
      fail(file, `the directory ends after ${i} of ${count} entries`);
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const extraOffset = at + CENTRAL.length + nameLength;
    const next = extraOffset + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.byteLength) fail(file, `the directory ends within its entry ${i}`);
    const nameBytes = bytes.subarray(at + CENTRAL.length, extraOffset);
    const name = decodeName(nameBytes, file);
    const flags = view.getUint16(at + 8, true);
    if ((flags & ~HARMLESS_FLAGS) !== 0) {
      fail(file, `the entry ${quote(name)} has flags 0x${flags.toString(16)}: encrypted or patched`);
    }
    const method = view.getUint16(at + 10, true);
    if (method !== 0) {
      const hint = "torch.save never compresses: unzip it, and zip it again with zip -0";
      fail(file, `the entry ${quote(name)} is compressed (method ${method})`, hint);
    }
    const sizes = {
      size: view.getUint32(at + 24, true),
      compressedSize: view.getUint32(at + 20, true),
      headerOffset: view.getUint32(at + 42, true),
    };
    const whole = widen(sizes, view, extraOffset, extraLength, name, file);
    if (whole.compressedSize !== whole.size) {
      fail(file, `the stored entry ${quote(name)} takes ${whole.compressedSize} bytes for ${whole.size}`);
    }
    if (view.getUint16(at + 34, true) !== 0) fail(file, "the archive is one part of several");
    records.push({
      name,
      nameBytes,
      headerOffset: whole.headerOffset,
      size: whole.size,
      crc32: view.getUint32(at + 16, true),
    });
    at = next;
  }
  if (at !== bytes.byteLength) {
    fail(file, `the directory has ${bytes.byteLength - at} bytes after its ${count} entries`);
  }
  return records;
}

type Sizes = Record<"size" | "compressedSize" | "headerOffset", number>;

/** Numbers that did not fit 32 bits stand in an extra field, in this order and only those. */
function widen(sizes: Sizes, view: DataView, offset: number, length: number, name: string, file: string): Sizes {
  const wide = (["size", "compressedSize", "headerOffset"] as const).filter((key) => sizes[key] === 0xffffffff);
  if (wide.length === 0) return sizes;
  for (let at = offset; at + 4 <= offset + length;) {
    const fieldLength = view.getUint16(at + 2, true);
    if (at + 4 + fieldLength > offset + length) break;
    if (view.getUint16(at, true) === ZIP64_EXTRA && fieldLength >= 8 * wide.length) {
      const whole = { ...sizes };
      for (const [i, key] of wide.entries()) whole[key] = numberOf(view.getBigUint64(at + 4 + 8 * i, true));
      return whole;
    }
    at += 4 + fieldLength;
  }
  return fail(file, `the entry ${quote(name)} lacks its 64-bit sizes`);
}

/** Where an entry's data begins: behind its local header, whose own lengths say how long it is. */
async function dataOffset(source: ByteSource, record: CentralRecord, directoryOffset: number): Promise<number> {
  const { name, nameBytes, headerOffset, size } = record;
  const nameEnd = headerOffset + LOCAL.length + nameBytes.byteLength;
  if (nameEnd > directoryOffset) fail(source.name, `the entry ${quote(name)} lies behind the data's end`);
  const local = await readPart(source, headerOffset, LOCAL.length + nameBytes.byteLength);
  const view = viewOf(local);
  const sameName = view.getUint16(26, true) === nameBytes.byteLength &&
    nameBytes.every((byte, i) => byte === local[LOCAL.length + i]);
  if (view.getUint32(0, true) !== LOCAL.signature || !sameName || view.getUint16(8, true) !== 0) {
    fail(source.name, `the entry ${quote(name)} has another local header than the directory says`);
  }
  const offset = nameEnd + view.getUint16(28, true);
  if (offset + size > directoryOffset) {
    fail(source.name, `the entry ${quote(name)} with its ${size} bytes passes the data's end`);
  }
  return offset;
}

function decodeName(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return fail(file, "an entry's name is no UTF-8");
  }
}

/** Above 2^53 a number is only ever too large. */
function numberOf(value: bigint): number {
  return Number(value);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes that are in the file, whatever a record claims. */
async function readPart(source: ByteSource, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  if (!(offset >= 0 && offset + length <= source.size)) {
    fail(source.name, `${length} bytes at ${offset} pass the end of the file, which has ${source.size}`);
  }
  const bytes = new Uint8Array(length);
  await source.read(offset, bytes);
  return bytes;
}

function fail(file: string, reason: string, hint?: string): never {
  throw new EtherError("bad_pickle", reason, { file, hint });
}
