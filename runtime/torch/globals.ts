/**
 * The names that may stand in a checkpoint, each with its one meaning. Nothing is looked up or called: a name outside
 * this list is refused, and a name inside it is a constant.
 */
import { type GlobalMeaning, kindOf, type PickleStorage, type PickleValue } from "./value.ts";

/** By module and name, with the newline between them that the GLOBAL opcode has. */
const ALLOWED: ReadonlyMap<string, GlobalMeaning> = new Map<string, GlobalMeaning>([
  ["collections\nOrderedDict", "OrderedDict"],
  ["torch._utils\n_rebuild_tensor_v2", "rebuild_tensor"],
  // torch ≥ 2 for an nn.Parameter that was not detached.
  ["torch._utils\n_rebuild_parameter", "rebuild_parameter"],
  ["torch\nFloatStorage", "F32"],
  ["torch\nHalfStorage", "F16"],
  ["torch\nBFloat16Storage", "BF16"],
]);

/** What a name stands for, if it may stand there at all. */
export function globalMeaning(module: string, name: string): GlobalMeaning | undefined {
  return ALLOWED.get(`${module}\n${name}`);
}

/** A reason why something cannot be what the file says it is. */
export interface Fault {
  readonly fault: string;
}

/** A persistent id: `("storage", <storage class>, key, location, element count)`. */
export function storageOf(id: PickleValue): PickleStorage | Fault {
  if (typeof id !== "object" || id?.kind !== "tuple" || id.items.length !== 5 || id.items[0] !== "storage") {
    return { fault: `a persistent id is ${kindOf(id)}, not that of a storage` };
  }
  const [, type, key, location, elementCount] = id.items;
  const meaning = typeof type === "object" && type?.kind === "global" ? type.meaning : undefined;
  if (meaning !== "F32" && meaning !== "F16" && meaning !== "BF16") {
    return { fault: `a storage's class is ${kindOf(type)}` };
  }
  if (typeof key !== "string" || typeof location !== "string") return { fault: "a storage has no key or no place" };
  if (!isCount(elementCount)) return { fault: `a storage has ${kindOf(elementCount)} ${elementCount} for its size` };
  return { kind: "storage", dtype: meaning, key, elementCount };
}

/** What REDUCE makes of an allowed global and its arguments. */
export function reduce(callee: PickleValue, args: PickleValue): PickleValue | Fault {
  const meaning = typeof callee === "object" && callee?.kind === "global" ? callee.meaning : undefined;
  if (typeof args !== "object" || args?.kind !== "tuple") {
    return { fault: `arguments are ${kindOf(args)}, not a tuple` };
  }
  const { items } = args;
  if (meaning === "OrderedDict") return orderedDict(items);
  if (meaning === "rebuild_tensor") return rebuildTensor(items);
  if (meaning === "rebuild_parameter") {
    const [tensor] = items;
    if (items.length === 3 && typeof tensor === "object" && tensor?.kind === "tensor") return tensor;
    return { fault: `a parameter is made of ${kindOf(tensor)}` };
  }
  return { fault: `${kindOf(callee)} is nothing that makes a value` };
}

/** `OrderedDict()`; Python pickles the items behind it. */
function orderedDict(items: readonly PickleValue[]): PickleValue | Fault {
  if (items.length !== 0) return { fault: `an OrderedDict is made of ${items.length} arguments` };
  return { kind: "dict", entries: new Map(), ordered: true };
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks[, metadata])`. */
function rebuildTensor(items: readonly PickleValue[]): PickleValue | Fault {
  const [storage, offset, size, stride] = items;
  if (items.length < 6 || items.length > 7) return { fault: `a tensor is made of ${items.length} arguments` };
  if (typeof storage !== "object" || storage?.kind !== "storage") {
    return { fault: `a tensor's storage is ${kindOf(storage)}` };
  }
  const shape = countsOf(size);
  const strides = countsOf(stride);
  if (!isCount(offset) || shape === null || strides === null || shape.length !== strides.length) {
    return { fault: "a tensor's offset, size or stride is no tuple of integers from 0 up, all of one rank" };
  }
  return { kind: "tensor", storage, offset, shape, strides };
}

function countsOf(value: PickleValue | undefined): number[] | null {
  if (typeof value !== "object" || value?.kind !== "tuple") return null;
  return value.items.every(isCount) ? [...value.items] as number[] : null;
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
