/** Makes an undoing exact: gives each tensor its part of a receipt, and the files the digests that they must have. */
import { EtherError } from "../error.ts";
import type { AdapterUse, MergePlan, PlannedFile, ProvenFile, Span } from "../plans/plan.ts";
import { entryName, type Receipt } from "./receipt.ts";

/**
 * A plan that undoes a merge, corrected.
 *
 * @param adapters  in the order of the merge
 * @throws {EtherError} `base_mismatch` where receipt, model and adapters do not belong together
 */
export function applyReceipt(plan: MergePlan, receipt: Receipt, adapters: readonly AdapterUse[]): MergePlan {
  checkAdapters(receipt, adapters);
  checkFiles(receipt, plan.files);
  const used = new Set<string>();
  const files = plan.files.map((file): PlannedFile => {
    return { ...file, spans: file.spans.map((span) => corrected(file, span, receipt, used)) };
  });
  const unused = [...receipt.entries.keys()].find((name) => !used.has(name));
  if (unused !== undefined) throw mismatch(receipt, "the adapters do not change a tensor of the receipt", unused);
  const locators = new Map(plan.baseFiles.map(({ path, locator }) => [path, locator]));
  const merged = receipt.merged.map((file) => ({ ...file, locator: locators.get(file.path)! }));
  return { ...plan, files, proof: { file: receipt.name, base: receipt.base, merged } };
}

function corrected(file: PlannedFile, span: Span, receipt: Receipt, used: Set<string>): Span {
  if (span.kind !== "tensor") return span;
  const name = entryName(file.path, span.name);
  const entry = receipt.entries.get(name);
  if (entry === undefined) throw mismatch(receipt, "the receipt lacks a tensor that the adapters change", name);
  used.add(name);
  return { ...span, correction: { locator: receipt.locator, offset: entry.offset, byteLength: entry.byteLength } };
}

function checkAdapters(receipt: Receipt, adapters: readonly AdapterUse[]): void {
  const text = ({ digest, strength }: AdapterUse) => `${digest} at ${strength}`;
  const expected = receipt.adapters.map(text);
  const found = adapters.map(text);
  if (expected.length === found.length && expected.every((one, index) => one === found[index])) return;
  const message = `the receipt is of adapters ${expected.join(", ")}, given are ${found.join(", ")}`;
  throw mismatch(receipt, message, undefined, "give the adapters of the merge, in its order and with its strengths");
}

function checkFiles(receipt: Receipt, files: readonly PlannedFile[]): void {
  const text = ({ path, size }: { path: string; size: number }) => `${path} (${size} bytes)`;
  const byPath = (list: readonly (ProvenFile | PlannedFile)[]) => list.map(text).sort();
  for (const list of [receipt.merged, receipt.base]) {
    const expected = byPath(list);
    const found = byPath(files);
    const missing = expected.find((one) => !found.includes(one)) ?? found.find((one) => !expected.includes(one));
    if (missing === undefined && expected.length === found.length) continue;
    throw mismatch(
      receipt,
      `the model's weight files are not those of the receipt: ${missing ?? "one is named twice"}`,
    );
  }
}

function mismatch(receipt: Receipt, message: string, tensor?: string, hint?: string): EtherError {
  const details = { file: receipt.name, tensor, hint: hint ?? "each merge has a receipt of its own" };
  return new EtherError("base_mismatch", message, details);
}
