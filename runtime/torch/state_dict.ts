/** The tensors of a file that `torch.save` wrote: where each one's bytes lie. Of the bytes nothing is kept. */
import { EtherError } from "../error.ts";
import type { ByteSource } from "../io/source.ts";
import { clip, quote } from "../json/quote.ts";
import { elementByteLength, type FloatDtype } from "../safetensors/dtype.ts";
import { MAX_GATHERED_BYTES, spanOf } from "../safetensors/strided.ts";
import { MAX_PICKLE_BYTES, readPickle } from "./pickle.ts";
import { kindOf, type PickleDict, type PickleTensor, type PickleValue } from "./value.ts";
import { checkEntry, readEntry, readZip, type ZipEntries, type ZipEntry } from "./zip.ts";

/** One tensor of the file. */
export interface TorchTensor {
  readonly name: string;
  readonly dtype: FloatDtype;
  readonly shape: readonly number[];
  /** In elements; null where the elements lie in order, without a gap. */
  readonly strides: readonly number[] | null;
  /** Where the first element's first byte lies in the file. */
  readonly offset: number;
  /** Bytes of its elements, gaps not counted. */
  readonly byteLength: number;
}

/** The most of a hostile tensor name that an error carries. */
const NAMED_LENGTH = 200;
/** torch's own limit is 64; no parameter has more than four. */
const MAX_RANK = 16;

/**
 * Reads `{"model": {name: tensor}}` or `{name: tensor}`. Checks the archive, the CRC-32 of every storage that a tensor
 * lies in, and that each tensor lies in its storage; two tensors may lie in one.
 *
 * @throws {EtherError} `bad_pickle`, `io_error`
 */
export async function readStateDict(source: ByteSource): Promise<ReadonlyMap<string, TorchTensor>> {
  const entries = await readZip(source);
  const root = rootOf(entries, source.name);
  await checkByteOrder(source, entries.get(`${root}byteorder`));
  const pickle = await readEntry(source, entries.get(`${root}data.pkl`)!, MAX_PICKLE_BYTES);
  const { entries: state } = stateOf(readPickle(pickle, source.name), source.name);

  const checked = new Set<ZipEntry>();
  const tensors = new Map<string, TorchTensor>();
  for (const [name, value] of state) {
    const fail = (reason: string): never => {
      throw new EtherError("bad_pickle", reason, { file: source.name, tensor: clip(name, NAMED_LENGTH) });
    };
    if (typeof value !== "object" || value?.kind !== "tensor") return fail(`is ${kindOf(value)}, not a tensor`);
    const entry = entries.get(`${root}data/${value.storage.key}`);
    if (entry === undefined) return fail(`lies in the storage ${quote(value.storage.key)}, which is not there`);
    tensors.set(name, place(name, value, entry, fail));
    if (checked.has(entry)) continue;
    await checkEntry(source, entry);
    checked.add(entry);
  }
  return tensors;
}

/** `<archive>/`: the folder that all entries are in, of the name that the file had when it was saved. */
function rootOf(entries: ZipEntries, file: string): string {
  const roots = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name)).map((name) =>
    name.slice(0, name.indexOf("/") + 1)
  );
  if (roots.length === 1) return roots[0]!;
  const found = roots.length === 0 ? "no data.pkl" : `${roots.length} of data.pkl`;
  throw new EtherError("bad_pickle", `the archive has ${found}: no file of torch.save`, { file });
}

/** Newer torch says in which order bytes were written. */
async function checkByteOrder(source: ByteSource, entry: ZipEntry | undefined): Promise<void> {
  if (entry === undefined) return;
  const order = new TextDecoder().decode(await readEntry(source, entry, 64));
  if (order === "little") return;
  const hint = "load it in Python on a little-endian machine, and save it again";
  throw new EtherError("bad_pickle", `the byte order is ${quote(order)}`, { file: source.name, hint });
}

function stateOf(value: PickleValue, file: string): PickleDict {
  const isDict = (one: PickleValue | undefined): one is PickleDict => typeof one === "object" && one?.kind === "dict";
  if (!isDict(value)) {
    throw new EtherError("bad_pickle", `the file holds ${kindOf(value)}, not a dict of tensors`, { file });
  }
  const model = value.entries.get("model");
  return isDict(model) ? model : value;
}

/** A view by its place in the file. */
function place(name: string, tensor: PickleTensor, entry: ZipEntry, fail: (reason: string) => never): TorchTensor {
  const { storage: { dtype, elementCount }, offset, shape, strides } = tensor;
  const width = elementByteLength(dtype);
  if (elementCount * width !== entry.size) {
    return fail(`its storage is said to have ${elementCount} elements of ${dtype}, but has ${entry.size} bytes`);
  }
  if (shape.length > MAX_RANK) return fail(`has ${shape.length} dimensions`);
  const view = `the view [${shape.join(", ")}] with strides [${strides.join(", ")}] at ${offset}`;
  const span = spanOf(shape, strides);
  // An empty tensor needs no element, but must not point outside either.
  if (offset + span > elementCount) {
    return fail(`${view} passes the end of its storage of ${elementCount} elements`);
  }
  const count = shape.reduce((product, size) => product * size, 1);
  const inOrder = count === 0 || isInOrder(shape, strides);
  if (!inOrder && Math.max(span, count) * width > MAX_GATHERED_BYTES) {
    return fail(`${view} is too large to be gathered`);
  }
  return {
    ...{ name, dtype, shape, strides: inOrder ? null : strides },
    ...{ offset: entry.offset + offset * width, byteLength: count * width },
  };
}

/** Row-major without gaps; the stride of a dimension of one element says nothing. */
function isInOrder(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}
