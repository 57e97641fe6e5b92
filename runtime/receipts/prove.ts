import { EtherError } from "../error.ts";
import { runAll } from "../execute/crew.ts";
import type { Runner } from "../execute/task.ts";
import { treeDigest } from "../execute/tree_digest.ts";
import type { StartDigest } from "../io/digest.ts";
import type { Proof, ProvenFile } from "../plans/plan.ts";

/**
 * Holds restored weight files against the digests that a receipt has of the base's.
 *
 * @throws {EtherError} `base_mismatch` if the model that was undone is not the one that the receipt belongs to,
 * `verify_failed` if it is
 */
export async function prove(
  restored: readonly ProvenFile[],
  { file, base, merged }: Proof,
  { runners, startDigest, signal }: {
    readonly runners: readonly Runner[];
    readonly startDigest: StartDigest;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const expected = new Map(base.map(({ path, digest }) => [path, digest]));
  const wrong = restored.find(({ path, digest }) => expected.get(path) !== digest);
  if (wrong === undefined) return;
  const input = merged.find(({ path }) => path === wrong.path)!;
  const task = { kind: "pieces", locator: input.locator, start: 0, end: input.size } as const;
  const [result] = await runAll([task], runners, () => {}, signal);
  const found = treeDigest(startDigest, [result!.pieces]);
  if (found !== input.digest) {
    const message = `${input.path} has digest ${found}, the receipt belongs to ${input.digest}`;
    const hint = "each merge has a receipt of its own; the merged model may have changed since";
    throw new EtherError("base_mismatch", message, { file, hint });
  }
  const message = `${wrong.path} came out as ${wrong.digest}, the base was ${expected.get(wrong.path)}`;
  throw new EtherError("verify_failed", message, { file, hint: "the receipt is damaged" });
}
