/** Adapters that are ready to be applied to activations: the third driver of the same Ops, beside merge and stream. */
import type { Targets } from "../adapters/target.ts";
import { EtherError } from "../error.ts";
import { type StartDigest, toHex } from "../io/digest.ts";
import type { OpenSource } from "../io/folder.ts";
import type { ByteSource } from "../io/source.ts";
import { loadKernel } from "../kernel/load.ts";
import { Arena } from "../methods/arena.ts";
import type { CompiledActivations } from "../methods/activation.ts";
import type { CompiledAdapter } from "../methods/method.ts";
import { TensorReader } from "../methods/tensor_reader.ts";
import type { ApplyDevice, BackendChoice, StartableDevices } from "./apply_device.ts";
import { type Layer, layerOfAdapters, layerOfBase, type LayerWeight } from "./layer.ts";
import { type LinearJob, multiplyLinear } from "./linear.ts";
import { PreparedOps } from "./prepared_ops.ts";
import type { ApplyShop } from "./shop.ts";
import { type ActivationSide, transformSide } from "./side.ts";
import { groupTokens, tokenCountOf } from "./tokens.ts";

/** How a call goes. */
export interface ApplyOptions {
  /**
   * For each token the index of its adapter, or −1 for none.
   *
   * @default every token goes through all adapters, in order
   */
  readonly rows?: ArrayLike<number> | undefined;
  /** Stops it between two tiles. */
  readonly signal?: AbortSignal | undefined;
}

/** What {@link PreparedApply} is made of. */
export interface ApplyParts {
  readonly openSource: OpenSource;
  readonly startDigest: StartDigest;
  /** With a base, or of the adapters alone. */
  readonly compiled:
    | { readonly targets: Targets; readonly adapters: readonly CompiledAdapter[] }
    | { readonly targets: null; readonly adapters: readonly CompiledActivations[] };
  /** Bytes of inputs and outputs that one pass over a matrix may hold. @default 256 MiB */
  readonly passByteLength?: number | undefined;
  /** What keeps the base's matrices. @default nothing */
  readonly devices?: StartableDevices | undefined;
  /** They are closed with this. @default false */
  readonly ownsDevices?: boolean | undefined;
  /** Why there are none. @default the CPU was asked for */
  readonly reason?: string | undefined;
}

/**
 * Adapters of one base, or without a base, at work on activations f32 `[tokens, dimension]`, row-major.
 *
 * A token's result depends on the token and its adapters alone: whatever else is in the call, and however tokens are
 * split into calls, the bytes are the same, unless a GPU computes them: then they differ within the tolerance. Calls
 * that overlap run one after the other.
 */
export class PreparedApply {
  /** What the caller should tell the user. */
  readonly warnings: readonly string[];

  readonly #parts: ApplyParts;
  readonly #device: ApplyDevice | null;
  readonly #shop: ApplyShop;
  readonly #reader: TensorReader;
  readonly #layers = new Map<string, Layer>();
  readonly #proven = new Set<string>();
  #source: { readonly locator: string; readonly source: ByteSource } | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** Use `prepareApply`. */
  constructor(parts: ApplyParts) {
    this.#device = parts.devices?.start() ?? null;
    const kernel = this.#device?.kernel ?? loadKernel();
    const arena = new Arena(kernel);
    this.#parts = parts;
    this.#reader = new TensorReader(parts.openSource);
    this.#shop = { kernel, arena, ops: new PreparedOps({ kernel, arena, reader: this.#reader }) };
    this.warnings = parts.compiled.adapters.flatMap(({ warnings }) => warnings);
  }

  /**
   * x ← Hx, what the adapters make of a layer's input.
   *
   * @param module  as the base names it, without `.weight`
   * @param x       f32 `[tokens, in]`
   * @returns f32 `[tokens, in]`
   * @throws {EtherError} `unsupported` where Hx differs from one output feature to another (the reference layout with
   * more than one block, parts of a fused matrix): use {@link linear}; `unknown_target`, `bad_shape`, `usage`
   */
  in(module: string, x: Float32Array, options: ApplyOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    return this.#queue(() => this.#side("in", module, x, options));
  }

  /**
   * y ← H̃y, what the adapters make of a layer's output, before its bias is added.
   *
   * @param y  f32 `[tokens, out]`
   * @returns f32 `[tokens, out]`
   * @throws {EtherError} `unknown_target`, `bad_shape`, `usage`
   */
  out(module: string, y: Float32Array, options: ApplyOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    return this.#queue(() => this.#side("out", module, y, options));
  }

  /**
   * y = H̃(W(Hx)) + b, the layer as it would be if the adapters were merged. W is streamed from the base, once for as
   * many tokens as 256 MiB hold; the sums are f32.
   *
   * @param x  f32 `[tokens, in]`
   * @returns f32 `[tokens, out]`
   * @throws {EtherError} `usage` without a base; `base_mismatch` where an adapter vouches for other bytes of W;
   * `unknown_target`, `bad_shape`, `unsupported_dtype`, `io_error`
   */
  linear(module: string, x: Float32Array, options: ApplyOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    return this.#queue(() => this.#linear(module, x, options));
  }

  /**
   * How long the tokens of a module's activations are, on each side; null where neither base nor adapter says.
   *
   * @throws {EtherError} `unknown_target`, `tied_head`, `bad_shape`, `unsupported_dtype`, `bad_config`
   */
  dimensions(module: string): { readonly in: number | null; readonly out: number | null } {
    const { inCount, outCount } = this.#layer(module);
    return { in: inCount, out: outCount };
  }

  /** Who computes `linear`, and why. */
  backendChoice(): BackendChoice {
    const { devices, reason = "it was asked for, or nothing else was" } = this.#parts;
    return devices?.choice() ?? { name: this.#shop.kernel.name, reason };
  }

  /** Waits for the calls that are under way, and closes the files. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    if (this.#parts.ownsDevices) this.#parts.devices?.close();
    this.#reader.close();
    this.#source?.source.close();
    this.#source = null;
  }

  /** {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #side(
    side: ActivationSide,
    module: string,
    x: Float32Array,
    { rows, signal }: ApplyOptions,
  ): Promise<Float32Array<ArrayBuffer>> {
    const layer = this.#layer(module);
    const { adapters } = layer;
    const dimension = side === "in" ? layer.inCount : layer.outCount;
    if (dimension === null) {
      // Neither base nor adapter says how long a token is, because none acts here.
      if (rows !== undefined) groupTokens(rows, rows.length, adapters.length);
      return x.slice();
    }
    const tokenCount = tokenCountOf(x, dimension, module);
    const groups = groupTokens(rows, tokenCount, adapters.length);
    const used = new Set(groups.flatMap((group) => group.adapters));
    const parts = [...used].flatMap((index) => adapters[index]!);
    if (side === "in") checkOneInput(layer, parts);
    await this.#shop.ops.prepare(
      parts.map((part) => side === "in" ? part.input : part.output).filter((spec) => spec !== null),
      signal,
    );
    const y = new Float32Array(x.length);
    await transformSide({ side, adapters, groups, x, y, dimension, signal }, this.#shop);
    return y;
  }

  async #linear(
    module: string,
    x: Float32Array,
    { rows, signal }: ApplyOptions,
  ): Promise<Float32Array<ArrayBuffer>> {
    const { weight, inCount, outCount, adapters } = this.#layer(module);
    if (weight === null || inCount === null || outCount === null) {
      const hint = "give prepareApply the base, or use in and out around a product of your own";
      throw new EtherError("usage", "linear needs the base's weights", { field: "base", hint });
    }
    const tokenCount = tokenCountOf(x, inCount, module);
    const groups = groupTokens(rows, tokenCount, adapters.length);
    const used = new Set(groups.flatMap((group) => group.adapters));
    const parts = [...used].flatMap((index) => adapters[index]!);
    const specs = parts.flatMap(({ input, output }) => [input, output]).filter((spec) => spec !== null);
    await this.#shop.ops.prepare(specs, signal);
    const { info, file } = weight.tensor;
    const source = await this.#open(file.locator);
    await this.#prove(weight, used, source, signal);
    const y = new Float32Array(tokenCount * outCount);
    const stored = { source, offset: info.offset, dtype: weight.dtype, outCount, inCount };
    const { passByteLength } = this.#parts;
    const device = this.#device;
    const place = { openSource: this.#parts.openSource, locator: file.locator };
    const job: LinearJob = {
      ...{ weight: { ...stored, storedInOut: weight.storedInOut }, adapters, groups, x, y, passByteLength, signal },
    };
    if (device === null) await multiplyLinear(job, this.#shop);
    else if (!await device.multiply(job, { ...place, offset: info.offset }, this.#shop)) {
      await device.here(() => multiplyLinear(job, this.#shop));
    }
    if (weight.bias !== null) addBias(y, await this.#reader.read(weight.bias), outCount);
    return y;
  }

  #layer(module: string): Layer {
    const known = this.#layers.get(module);
    if (known !== undefined) return known;
    const { targets, adapters } = this.#parts.compiled;
    const layer = targets === null ? layerOfAdapters(module, adapters) : layerOfBase(module, targets, adapters);
    this.#layers.set(module, layer);
    return layer;
  }

  async #open(locator: string): Promise<ByteSource> {
    if (this.#source?.locator !== locator) {
      this.#source?.source.close();
      this.#source = null;
      this.#source = { locator, source: await this.#parts.openSource(locator) };
    }
    return this.#source.source;
  }

  /** Holds W's bytes against what the adapters of a call vouch for, the first time. */
  async #prove(
    { tensor }: LayerWeight,
    used: ReadonlySet<number>,
    source: ByteSource,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { targets, adapters } = this.#parts.compiled;
    if (targets === null) return;
    const expected = [...used].flatMap((index) => adapters[index]!.expected).filter((one) => {
      return one.tensor === tensor && !one.overruled;
    });
    const open = expected.filter(({ sha256 }) => !this.#proven.has(`${tensor.info.name} ${sha256}`));
    if (open.length === 0) return;
    const digest = this.#parts.startDigest();
    const { name, offset, byteLength } = tensor.info;
    const buffer = new Uint8Array(Math.min(byteLength, 1 << 20));
    for (let done = 0; done < byteLength; done += buffer.byteLength) {
      signal?.throwIfAborted();
      const part = buffer.subarray(0, Math.min(buffer.byteLength, byteLength - done));
      await source.read(offset + done, part);
      digest.update(part);
    }
    const found = toHex(digest.finish());
    for (const { sha256, file } of open) {
      if (found !== sha256) {
        const message = `the base's bytes have SHA-256 ${found}, the adapter's had ${sha256}`;
        throw new EtherError("base_mismatch", message, { file, tensor: name });
      }
      this.#proven.add(`${name} ${sha256}`);
    }
  }

  /** One kernel does one call at a time. */
  #queue<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new EtherError("usage", "the adapters were closed"));
    const run = this.#last.then(work).catch((error) => {
      this.#device?.discard();
      if (!(error instanceof RangeError && /memory/i.test(error.message))) throw error;
      const hint = "apply fewer tokens at once";
      throw new EtherError("io_error", `out of memory: ${error.message}`, { hint, cause: error });
    });
    this.#last = run.catch(() => {});
    return run;
  }
}

/** Refuses where there is no one Hx. */
function checkOneInput({ module, outCount }: Layer, parts: Layer["adapters"][number]): void {
  for (const { input, inputVaries, features, featureCount } of parts) {
    const ofPart = features !== "all" && featureCount !== outCount;
    if (input === null || !(inputVaries || ofPart)) continue;
    const why = inputVaries
      ? "in the reference layout the input side has more than one block"
      : "the parts of a fused matrix have inputs of their own";
    throw new EtherError("unsupported", `${why}: there is no one Hx`, { tensor: module, hint: "use linear" });
  }
}

/** y ← y + b, never transformed. */
function addBias(y: Float32Array, bias: Float32Array, outCount: number): void {
  for (let start = 0; start < y.length; start += outCount) {
    for (let i = 0; i < outCount; i++) y[start + i]! += bias[i]!;
  }
}
