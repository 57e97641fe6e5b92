/** An adapter that somebody sends: every check that a merge makes comes before it can be seen. */
import { EtherError } from "../error.ts";
import { toHex } from "../io/digest.ts";
import { EventTurns } from "../apply/event_turns.ts";
import type { ExpectedBytes, MergePlan } from "../plans/plan.ts";
import { prepareMerge, type Storage } from "../plans/prepare_merge.ts";
import type { BaseRepository } from "./base_repository.ts";
import type { RepositoryLimits } from "./limits.ts";
import { checkMemory } from "./recipe_catalog.ts";
import type { AdapterSnapshot, AdapterSnapshots } from "./snapshots.ts";

/** How much of an adapter's fingerprint of its base was compared. */
export type FingerprintCheck = "none" | "structure" | "targets";

/** An adapter that passed. */
export interface CheckedAdapter {
  /** See {@link Adapter.digest}. */
  readonly digest: string;
  /** What the caller should tell the user. */
  readonly warnings: readonly string[];
  readonly fingerprint: FingerprintCheck;
}

/** What an adapter consists of. */
const FILES = ["adapter_config.json", "adapter_model.safetensors"];
/** An official checkpoint. */
const OFFICIAL_FILES = ["lit_model_ether_finetuned.pth", "lit_config.json"];

/** @throws {EtherError} `usage` for other files than an adapter has, `unsupported_format`, `too_large` */
export function checkFiles(
  files: ReadonlyMap<string, Uint8Array>,
  { maxAdapterBytes }: RepositoryLimits,
  allowPth: boolean,
): void {
  const official = [...files.keys()].find((path) => path.endsWith(".pth"));
  if (official !== undefined && !allowPth) {
    const hint = "convert it first: deno task convert --checkpoint";
    throw new EtherError("unsupported_format", "a .pth file is not taken here", { file: official, hint });
  }
  const expected = official === undefined ? FILES : OFFICIAL_FILES;
  for (const path of files.keys()) {
    if (!expected.includes(path)) throw new EtherError("usage", "no file of an adapter", { file: path });
  }
  for (const path of expected) {
    if (!files.has(path)) throw new EtherError("usage", `no ${path}`, { hint: `send ${expected.join(" and ")}` });
  }
  let byteLength = 0;
  for (const bytes of files.values()) byteLength += bytes.byteLength;
  if (byteLength > maxAdapterBytes) {
    throw new EtherError("too_large", `its files have ${byteLength} bytes, the limit is ${maxAdapterBytes}`);
  }
}

/**
 * Holds an adapter against its base as a merge would, and the bytes of targets that it vouches for where these are near.
 *
 * @param storage  opens the files of bases and of this snapshot
 * @throws {EtherError} whatever is wrong with the adapter, or its fit
 */
export async function checkAdapter(
  snapshot: AdapterSnapshot,
  base: BaseRepository,
  snapshots: AdapterSnapshots,
  storage: Storage,
  limits: RepositoryLimits,
  signal?: AbortSignal,
): Promise<CheckedAdapter> {
  const request = { base: base.model, adapters: [{ place: snapshots.place(snapshot) }], signal };
  const { plan, adapters: [prepared] } = await prepareMerge(request, storage);
  checkMemory(plan, limits.engineBytes);
  const { adapter } = prepared!;
  const recorded = (adapter.config.get("base_fingerprint") ?? null) !== null;
  const compared = recorded && base.local && plan.expected.length > 0;
  if (compared) await checkTargets(plan, storage, signal);
  const fingerprint = !recorded ? "none" : compared ? "targets" : "structure";
  return { digest: adapter.digest, warnings: plan.warnings, fingerprint };
}

/** @throws {EtherError} `base_mismatch` */
async function checkTargets({ expected }: MergePlan, storage: Storage, signal?: AbortSignal): Promise<void> {
  for (const target of expected) {
    const found = await digestOf(target, storage, signal);
    if (found === target.sha256) continue;
    const message = `the base's bytes have SHA-256 ${found}, the adapter's base had ${target.sha256}`;
    const field = "base_fingerprint.targets";
    throw new EtherError("base_mismatch", message, { file: target.file, tensor: target.name, field });
  }
}

async function digestOf(
  { locator, sourceOffset, byteLength }: ExpectedBytes,
  { openSource, startDigest }: Storage,
  signal: AbortSignal | undefined,
): Promise<string> {
  const source = await openSource(locator);
  const turns = new EventTurns();
  try {
    const digest = startDigest();
    const buffer = new Uint8Array(Math.min(byteLength, 1 << 20));
    for (let done = 0; done < byteLength; done += buffer.byteLength) {
      await turns.wait();
      signal?.throwIfAborted();
      const part = buffer.subarray(0, Math.min(buffer.byteLength, byteLength - done));
      await source.read(sourceOffset + done, part);
      digest.update(part);
    }
    return toHex(digest.finish());
  } finally {
    source.close();
  }
}
