/** From a model and compiled adapters to a {@link MergePlan}. */
import type { Adapter } from "../adapters/adapter.ts";
import type { Targets } from "../adapters/target.ts";
import type { Checkpoint, Model, ModelTensor, WeightFile } from "../checkpoints/model.ts";
import { headState } from "../checkpoints/tied.ts";
import { EtherError } from "../error.ts";
import type { CompiledAdapter, Stage } from "../methods/method.ts";
import type { OpSpec } from "../methods/op.ts";
import { DTYPE_BITS, type FloatDtype, isFloatDtype } from "../safetensors/dtype.ts";
import type { TensorInfo } from "../safetensors/tensor_info.ts";
import { encodeHeader } from "../safetensors/write.ts";
import { type DocumentEdits, editConfig, editIndex } from "./edit_documents.ts";
import {
  type BaseFile,
  type CopySpan,
  type LiteralSpan,
  type MergePlan,
  outputDtype,
  type PlannedFile,
  type PlannedSmallFile,
  type Span,
  type TensorSpan,
} from "./plan.ts";

/** What a plan is made of. */
export interface PlanInput {
  readonly targets: Targets;
  /** In order of application. */
  readonly adapters: readonly { readonly adapter: Adapter; readonly compiled: CompiledAdapter }[];
  /** The dtype of every float tensor of the output; null keeps each one's own. */
  readonly dtype: FloatDtype | null;
}

/** Decides every byte of a merge. @throws {EtherError} `not_found`, `bad_header`, `tied_head` */
export function planMerge({ targets, adapters, dtype }: PlanInput): MergePlan {
  const { model } = targets;
  const builder = new PlanBuilder(targets, adapters.map(({ compiled }) => compiled.stages), dtype);
  const files = model.checkpoints.flatMap((checkpoint) => checkpoint.files.map((file) => builder.file(file)));
  return {
    files,
    smallFiles: builder.smallFiles(),
    leftOut: model.leftOut,
    baseFiles: baseFiles(model),
    adapters: adapters.map(({ adapter, compiled }) => {
      return { digest: `sha256:${adapter.digest}`, peftType: adapter.peftType, facts: compiled.facts };
    }),
    expected: adapters.flatMap(({ compiled }) =>
      compiled.expected.map(({ tensor, sha256, file, overruled }) => ({
        ...{ name: tensor.info.name, locator: tensor.file.locator, sourceOffset: tensor.info.offset },
        ...{ byteLength: tensor.info.byteLength, sha256, file, overruled },
      }))
    ),
    transformed: builder.transformed,
    copiedCount: builder.copiedCount,
    castCount: builder.castCount,
    warnings: [
      ...adapters.flatMap(({ compiled }) => compiled.warnings),
      ...builder.warnings,
      ...(model.unnameable ?? []).map((path) => `${model.name}: ${path} stays behind: its name is no UTF-8`),
      ...tiedEmbeddingWarnings(targets, builder.transformed),
    ],
  };
}

/**
 * A change of a tied model's embedding changes its output head too, which whoever adapted it may not have meant.
 *
 * @throws {EtherError} `tied_head` where the model also stores a head: some loaders tie all the same, others take the
 * stored head as soon as the two differ, so that the merged model would be one model here and another there
 */
function tiedEmbeddingWarnings({ model, untied }: Targets, transformed: readonly { name: string }[]): string[] {
  // An encoder has an embedding and no head at all: only the config knows.
  if (untied !== null || !model.checkpoints.some(({ config }) => config?.tied === true)) return [];
  const names = new Set(transformed.map(({ name }) => name));
  const { head, embeddings } = headState(model);
  return embeddings.filter(({ info }) => names.has(info.name)).map(({ info }) => {
    if (head !== null) {
      const message =
        `tie_word_embeddings says that ${head.info.name} is this tensor, which changes, but it is stored ` +
        "too: some loaders take the one, some the other";
      const hint = `--untie sets tie_word_embeddings to false and keeps ${head.info.name} as it is`;
      throw new EtherError("tied_head", message, { file: model.name, tensor: info.name, hint });
    }
    return `${model.name}: ${info.name} is the output head too, which changes with it; --untie keeps the head as it is`;
  });
}

function baseFiles(model: Model): BaseFile[] {
  const weights = model.checkpoints.flatMap(({ files }) => files).map((file) => ({
    ...{ path: file.path, size: file.size, locator: file.locator },
    ...{ headerLength: file.header.headerLength, sha256: file.sha256 },
  }));
  const indexes = model.checkpoints.flatMap(({ index }) => index === null ? [] : [index.entry]);
  const small = [...model.smallFiles, ...indexes].map(({ path, size, sha256 }) => ({
    ...{ path, size, locator: model.folder.locate(path), headerLength: null, sha256: sha256 ?? null },
  }));
  return [...weights, ...small].sort((a, b) => a.path < b.path ? -1 : 1);
}

class PlanBuilder {
  readonly transformed: { name: string; file: string; ops: string[] }[] = [];
  readonly warnings: string[] = [];
  copiedCount = 0;
  castCount = 0;

  readonly #targets: Targets;
  readonly #stages: Map<ModelTensor, (readonly OpSpec[])[]>;
  readonly #dtype: FloatDtype | null;
  /** The head that is written beside the embedding, if it has no tensor yet. */
  readonly #newHead: ModelTensor | null;

  constructor(targets: Targets, stages: readonly (readonly Stage[])[], dtype: FloatDtype | null) {
    this.#targets = targets;
    this.#dtype = dtype;
    const { untied, model } = targets;
    this.#newHead = untied !== null && !model.tensors.has(untied.info.name) ? untied : null;
    this.#stages = new Map();
    for (const { tensor, ops } of stages.flat()) {
      this.#stages.set(tensor, [...this.#stages.get(tensor) ?? [], ops]);
    }
  }

  file(file: WeightFile): PlannedFile {
    const tensors = file.header.tensors.map((info) => this.#modelTensor(info));
    if (this.#newHead?.file === file) tensors.push(this.#newHead);
    const written = tensors.map(({ info }) => this.#writtenInfo(info));
    const verbatim = tensors.length === file.header.tensors.length &&
      written.every((info, i) => info.dtype === tensors[i]!.info.dtype);
    const spans = new SpanList();
    if (verbatim) {
      spans.copy(file.locator, 0, file.header.headerLength);
    } else {
      spans.literal(encodeHeader(written, file.header.metadata));
    }
    for (const [i, tensor] of tensors.entries()) this.#addTensor(spans, file, tensor, written[i]!);
    return { path: file.path, size: spans.size, spans: spans.spans };
  }

  /** The very object that stages refer to. */
  #modelTensor(info: TensorInfo): ModelTensor {
    return this.#targets.model.tensors.get(info.name)!.find((tensor) => tensor.info === info)!;
  }

  #writtenInfo(info: TensorInfo): TensorInfo {
    const dtype = outputDtype(info.dtype, this.#dtype);
    return { ...info, dtype, byteLength: info.byteLength * DTYPE_BITS[dtype] / DTYPE_BITS[info.dtype] };
  }

  #addTensor(spans: SpanList, file: WeightFile, tensor: ModelTensor, written: TensorInfo): void {
    const { info } = tensor;
    const stages = this.#stages.get(tensor) ?? [];
    const cast = written.dtype !== info.dtype;
    if (stages.length === 0 && !cast) {
      this.copiedCount++;
      spans.copy(file.locator, info.offset, info.byteLength);
      return;
    }
    if (stages.length === 0) this.castCount++;
    else this.transformed.push({ name: info.name, file: file.path, ops: stages.flat().map(({ label }) => label) });
    if (!isFloatDtype(info.dtype) || !isFloatDtype(written.dtype)) throw new TypeError(`${info.name} is no float`);
    const elementCount = info.byteLength * 8 / DTYPE_BITS[info.dtype];
    spans.tensor({
      ...{ name: info.name, locator: file.locator, sourceOffset: info.offset, sourceDtype: info.dtype },
      ...{ dtype: written.dtype, byteLength: written.byteLength, stages },
      rowCount: stages.length === 0 ? elementCount : info.shape[0]!,
      columnCount: stages.length === 0 ? 1 : info.shape[1]!,
    });
  }

  smallFiles(): PlannedSmallFile[] {
    const { model } = this.#targets;
    const written = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const checkpoint of model.checkpoints) {
      const edits = this.#editsOf(checkpoint);
      const config = editConfig(checkpoint, edits);
      if (config !== null && !model.singleFile) written.set(`${checkpoint.folder}config.json`, config);
      const index = editIndex(checkpoint, edits);
      if (index !== null && checkpoint.index !== null) written.set(checkpoint.index.entry.path, index);
      if (edits.untie && model.singleFile) {
        this.warnings.push("set tie_word_embeddings to false in the config that goes with the merged file");
      }
    }
    if (this.#targets.untied !== null && !model.singleFile && model.checkpoints[0]!.config === null) {
      throw new EtherError("not_found", "--untie has to set tie_word_embeddings, but there is no config.json", {
        file: model.name,
      });
    }
    const indexes = model.checkpoints.flatMap(({ index }) => index === null ? [] : [index.entry]);
    return [...model.smallFiles, ...indexes].map(({ path, size }): PlannedSmallFile => {
      const bytes = written.get(path);
      if (bytes !== undefined) return { path, size: bytes.byteLength, content: { bytes } };
      return { path, size, content: { locator: model.folder.locate(path) } };
    }).sort((a, b) => a.path < b.path ? -1 : 1);
  }

  #editsOf(checkpoint: Checkpoint): DocumentEdits {
    const infos = checkpoint.files.flatMap(({ header }) => header.tensors);
    const newHead = this.#newHead !== null && checkpoint.files.includes(this.#newHead.file) ? this.#newHead : null;
    const written = [...infos, ...newHead === null ? [] : [newHead.info]].map((info) => this.#writtenInfo(info));
    return {
      dtype: this.#dtype,
      untie: this.#targets.untied !== null && checkpoint.files.includes(this.#targets.untied.file),
      newHead,
      totalSize: written.reduce((sum, { byteLength }) => sum + byteLength, 0),
    };
  }
}

/** Spans end to end; copies that continue each other become one. */
class SpanList {
  readonly spans: Span[] = [];
  size = 0;

  literal(bytes: Uint8Array<ArrayBuffer>): void {
    this.#push({ kind: "literal", offset: this.size, byteLength: bytes.byteLength, bytes } satisfies LiteralSpan);
  }

  copy(locator: string, sourceOffset: number, byteLength: number): void {
    const last = this.spans.at(-1);
    if (last?.kind === "copy" && last.locator === locator && last.sourceOffset + last.byteLength === sourceOffset) {
      this.spans[this.spans.length - 1] = { ...last, byteLength: last.byteLength + byteLength };
      this.size += byteLength;
      return;
    }
    this.#push({ kind: "copy", offset: this.size, byteLength, locator, sourceOffset } satisfies CopySpan);
  }

  tensor(span: Omit<TensorSpan, "kind" | "offset">): void {
    this.#push({ kind: "tensor", offset: this.size, ...span });
  }

  #push(span: Span): void {
    if (span.byteLength === 0) return;
    this.spans.push(span);
    this.size += span.byteLength;
  }
}
