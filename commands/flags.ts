/** Flags that several commands share, and what their values may be. */
import { InvalidArgumentError } from "commander";
import { MAX_WORKERS } from "../runtime/deno/worker_limit.ts";
import { EtherError } from "../runtime/error.ts";
import type { FloatDtype } from "../runtime/safetensors/dtype.ts";

const DTYPES: Readonly<Record<string, FloatDtype | null>> = { keep: null, f32: "F32", f16: "F16", bf16: "BF16" };

/** The values of `--dtype`. */
export const DTYPE_CHOICES: readonly string[] = Object.keys(DTYPES);

/** `keep` → null. */
export function dtypeOf(choice: string): FloatDtype | null {
  return DTYPES[choice]!;
}

/** The values of `--backend`. `auto` is `wasm`, where the bytes are everywhere the same. */
export const BACKEND_CHOICES: readonly string[] = ["auto", "wasm", "webgpu"];

/** Collects a flag that may be repeated. */
export function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...previous ?? [], value];
}

/** A number of workers. */
export function parseCount(text: string): number {
  const count = /^[1-9]\d{0,3}$/.test(text) ? Number(text) : NaN;
  if (!(count <= MAX_WORKERS)) throw new InvalidArgumentError(`It is a number from 1 to ${MAX_WORKERS}.`);
  return count;
}

/**
 * One strength for each adapter: `--strength` once for all of them, or once for each, in order.
 *
 * @throws {EtherError} `usage`
 */
export function strengthsFor(adapterCount: number, texts: readonly string[]): number[] {
  const field = "--strength";
  const strengths = texts.map((text) => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : NaN;
    if (!Number.isFinite(value)) {
      throw new EtherError("usage", `${JSON.stringify(text)} is not a finite number`, { field });
    }
    return value;
  });
  if (strengths.length === 0) return new Array<number>(adapterCount).fill(1);
  if (strengths.length === 1) return new Array<number>(adapterCount).fill(strengths[0]!);
  if (strengths.length === adapterCount) return strengths;
  const message = `given ${strengths.length} times for ${adapterCount} adapters`;
  throw new EtherError("usage", message, { field, hint: "give it once, or once for each --adapter" });
}

/** A receipt is about the base's own bytes. @throws {EtherError} `usage` where the flags ask for others */
export function refuseWithReceipt(
  flags: { readonly dtype: string; readonly untie?: true | undefined; readonly backend?: string | undefined },
): void {
  const hint = "leave out one of the two";
  if (dtypeOf(flags.dtype) !== null) {
    throw new EtherError("usage", "not together with --receipt", { field: `--dtype ${flags.dtype}`, hint });
  }
  if (flags.backend === "webgpu") {
    // A receipt is about bytes that come again anywhere.
    throw new EtherError("usage", "not together with --receipt", { field: "--backend webgpu", hint });
  }
  if (flags.untie) throw new EtherError("usage", "not together with --receipt", { field: "--untie", hint });
}
