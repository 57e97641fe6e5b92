/** Merges with a receipt, and undoes it, in memory. */
import { Engine } from "../../../runtime/execute/engine.ts";
import { runMerge } from "../../../runtime/execute/run_merge.ts";
import { type MergeRequest, prepareMerge, usesOf } from "../../../runtime/plans/prepare_merge.ts";
import type { MergePlan } from "../../../runtime/plans/plan.ts";
import { applyReceipt } from "../../../runtime/receipts/apply_receipt.ts";
import { openReceipt } from "../../../runtime/receipts/receipt.ts";
import { readFrom } from "../../../runtime/receipts/undo_files.ts";
import { MemoryOutput } from "../execute/memory_output.ts";
import { type BuiltProblem, sharedKernel } from "../execute/problem.ts";

/** Where {@link mergeWithReceipt} leaves the receipt. */
export const RECEIPT = "receipt";

/** The request of a problem's merge. */
export function requestOf({ storage, problem }: BuiltProblem, base: string): MergeRequest {
  const adapters = problem.adapters.map((_, index) => ({ place: storage.place(`adapter${index}`) }));
  return { base: storage.place(base), adapters };
}

/** Writes a problem's merge below `out/`, and its receipt. @throws {EtherError} `singular` */
export async function mergeWithReceipt(built: BuiltProblem, tileByteLength: number): Promise<MergePlan> {
  const { storage } = built;
  const { plan } = await prepareMerge({ ...requestOf(built, "base"), receipt: true }, storage);
  const output = new MemoryOutput(storage);
  const undo = readFrom(plan.receipt!.undoFiles, (path) => output.locate(path));
  const assignment = { files: [...plan.files, ...undo], output: null, tileByteLength };
  const host = { ...storage, openSource: storage.openSource, kernel: sharedKernel() };
  const engine = new Engine({ ...host, openSink: (path: string) => output.open(path) }, assignment);
  let receipt = new Uint8Array(0);
  const receiptSink = {
    write(offset: number, bytes: Uint8Array) {
      if (offset + bytes.byteLength > receipt.byteLength) {
        const longer = new Uint8Array(offset + bytes.byteLength);
        longer.set(receipt);
        receipt = longer;
      }
      receipt.set(bytes, offset);
    },
    close() {},
  };
  const { openSource, startDigest } = storage;
  await runMerge(plan, output, { runners: [engine], openSource, startDigest, tileByteLength, receiptSink });
  engine.close();
  storage.set(RECEIPT, receipt);
  return plan;
}

/** What undoes the merge below `out/`, with the receipt or without. */
export async function planUndo(built: BuiltProblem, exact: boolean): Promise<MergePlan> {
  const prepared = await prepareMerge({ ...requestOf(built, "out"), undo: true, exact }, built.storage);
  if (!exact) return prepared.plan;
  const receipt = await openReceipt(RECEIPT, RECEIPT, built.storage.openSource);
  return applyReceipt(prepared.plan, receipt, usesOf(prepared.adapters));
}
