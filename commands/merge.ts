/** `merge`: base + adapters → a merged checkpoint. */
import { refuseWithReceipt } from "./flags.ts";
import { placesFor } from "./inputs.ts";
import { resolvePath } from "./paths.ts";
import type { CommandContext } from "./run_command.ts";
import { formatBytes, formatCount } from "./units.ts";
import { documentOf, printWritten, type WriteFlags, writeModel } from "./write_model.ts";

/** Flags of `merge`. */
export interface MergeFlags extends WriteFlags {
  /** True: beside the output. */
  readonly receipt?: string | true | undefined;
}

/** Merges, or with `--dry-run` says what would be done. */
export async function merge(flags: MergeFlags, context: CommandContext): Promise<void> {
  const { console } = context;
  const receipt = receiptOf(flags);
  if (receipt !== undefined) refuseWithReceipt(flags);
  const places = placesFor({ "--base": flags.base, "--adapter": flags.adapter }, context);
  const written = await writeModel(flags, { places, undo: false, receipt }, context);
  if (written === null) return;
  const made = written.report.receipt;
  if (context.json) {
    return console.result(JSON.stringify({
      ...documentOf(written, flags),
      ...made === null ? {} : {
        receipt: {
          ...{ path: receipt!.name, bytes: made.byteLength, target_bytes: made.targetByteLength },
          ...{ elements: made.elementCount, wrong: made.wrongCount },
        },
      },
    }));
  }
  printWritten(written, "merged", flags, context);
  if (made === null) return;
  const share = made.targetByteLength === 0 ? 0 : 100 * made.byteLength / made.targetByteLength;
  console.result(
    `receipt ${receipt!.name}: ${formatBytes(made.byteLength)}, ${share.toFixed(2)} % of the merged tensors, for ` +
      `${formatCount(made.wrongCount)} of ${formatCount(made.elementCount)} elements`,
  );
}

function receiptOf({ receipt, output }: MergeFlags): { path: string; name: string } | undefined {
  if (receipt === undefined) return undefined;
  const name = receipt === true ? `${output.replace(/\/+$/, "")}.receipt.safetensors` : receipt;
  return { name, path: resolvePath(name, "--receipt") };
}
