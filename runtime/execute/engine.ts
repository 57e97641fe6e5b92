/** One kernel at work: computes any byte range of any planned file. Not re-entrant: one task at a time. */
import { EtherError } from "../error.ts";
import { type StartDigest, toHex } from "../io/digest.ts";
import type { OpenSource } from "../io/folder.ts";
import type { OpenSink } from "../io/sink.ts";
import type { ByteSource } from "../io/source.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { Arena } from "../methods/arena.ts";
import { TensorReader } from "../methods/tensor_reader.ts";
import type { Workshop } from "../methods/workshop.ts";
import type { CopySpan, PlannedFile, TensorSpan } from "../plans/plan.ts";
import { CorrectedTensor } from "../receipts/corrected_tensor.ts";
import { ResidualEncoder } from "../receipts/residual_encoder.ts";
import type {
  Assignment,
  DigestTask,
  KnownSketch,
  OnBytes,
  Overflow,
  PiecesTask,
  ResidualTask,
  Runner,
  ShareTask,
  SumTask,
  Task,
  TaskResult,
} from "./task.ts";
import { firstSpanAt, pieceEnd } from "./pieces.ts";
import type { SketchStore } from "./sketch_store.ts";
import { type EmitBytes, type SharedSketches, TensorTransform } from "./tensor.ts";
import { PieceDigests } from "./tree_digest.ts";

/** What an engine needs of its host. */
export interface EngineHost {
  readonly kernel: Kernel;
  readonly openSource: OpenSource;
  readonly openSink: OpenSink;
  readonly startDigest: StartDigest;
}

/** One piece of a file, see {@link Engine.piece}. */
export interface PieceWish {
  readonly file: PlannedFile;
  /** What the file is made of, in a name; its sketches are found by it. */
  readonly contentName: string;
  /** The first byte. */
  readonly start: number;
  /** No byte from here on. */
  readonly end: number;
  /** Where sketches come from and go to. */
  readonly sketches: SketchStore;
  /** Bytes of its tiles. @default those of the assignment */
  readonly tileByteLength?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A tensor whose Ops' state is at the bottom of the arena. */
interface PreparedSpan {
  readonly span: TensorSpan;
  readonly tileByteLength: number;
  readonly transform: TensorTransform;
}

/**
 * Bytes that are copied or digested at once. Whole megabytes at whole megabytes make the system look for room in one
 * piece for each: they were written at half the speed.
 */
const COPY_BYTES = 64 << 10;
/** Files that stay open between tasks. */
const MAX_OPEN_SOURCES = 4;

/** Runs tasks in this thread. */
export class Engine implements Runner {
  readonly #host: EngineHost;
  readonly #assignment: Assignment;
  readonly #arena: Arena;
  /** The arena when nothing is in it. */
  readonly #bottom: number;
  readonly #reader: TensorReader;
  readonly #signal: AbortSignal | undefined;
  readonly #open = new Map<string, ByteSource>();
  /** Room that residual tasks use one after the other. */
  #encoder: ResidualEncoder | null = null;
  #basePiece = new Uint8Array(0);
  /** What the last piece was of: the next one begins there, as a rule. */
  #prepared: PreparedSpan | null = null;

  constructor(host: EngineHost, assignment: Assignment, signal?: AbortSignal) {
    this.#host = host;
    this.#assignment = assignment;
    this.#arena = new Arena(host.kernel);
    this.#bottom = this.#arena.mark();
    this.#reader = new TensorReader(host.openSource);
    this.#signal = signal;
  }

  async run<T extends Task>(task: T, onBytes: OnBytes): Promise<TaskResult<T>> {
    const mark = this.#arena.mark();
    try {
      return await this.#dispatch(task, onBytes) as TaskResult<T>;
    } catch (error) {
      throw outOfMemory(error) ?? error;
    } finally {
      this.#arena.release(mark);
    }
  }

  /** Closes the files that it has open, which may have been deleted; what comes next opens its own. */
  rest(): void {
    this.#reader.close();
    for (const source of this.#open.values()) source.close();
    this.#open.clear();
  }

  close(): void {
    this.#forget();
    this.rest();
  }

  /** Computes bytes `[start, end)` of a planned file and gives them away in order. */
  async produce(
    file: PlannedFile,
    start: number,
    end: number,
    emit: EmitBytes,
    sketches: readonly KnownSketch[] = [],
  ): Promise<Overflow[]> {
    const overflows: Overflow[] = [];
    for (let index = firstSpanAt(file, start); index < file.spans.length; index++) {
      const span = file.spans[index]!;
      if (span.offset >= end) break;
      this.#signal?.throwIfAborted();
      const from = Math.max(start, span.offset) - span.offset;
      const to = Math.min(end, span.offset + span.byteLength) - span.offset;
      const emitHere: EmitBytes = (offset, bytes) => emit(span.offset + offset, bytes);
      if (span.kind === "literal") await emitHere(from, span.bytes.subarray(from, to));
      else if (span.kind === "copy") await this.#copy(span, from, to, emitHere);
      else {
        const known = sketches.filter((sketch) => sketch.span === index);
        const overflow = await this.#transform(span, from, to, emitHere, known);
        if (overflow > 0) overflows.push({ name: span.name, count: overflow });
      }
    }
    return overflows;
  }

  /**
   * Computes one piece of a file, from `start` to where it may end at no cost: a tile, and at least 256 KiB, unless a row
   * or a group that is computed as one has more. Its bytes are the caller's.
   *
   * The tensor that it ends in stays prepared.
   *
   * @throws {EtherError} `io_error`; the signal's reason
   */
  async piece(wish: PieceWish): Promise<Uint8Array<ArrayBuffer>> {
    const { file, start, end, signal, tileByteLength = this.#assignment.tileByteLength } = wish;
    const stop = pieceEnd(file, start, end, tileByteLength);
    let piece: Uint8Array<ArrayBuffer> | null = null;
    const room = () => piece ??= new Uint8Array(stop - start);
    try {
      for (let index = firstSpanAt(file, start); index < file.spans.length; index++) {
        const span = file.spans[index]!;
        if (span.offset >= stop) break;
        signal?.throwIfAborted();
        const from = Math.max(start, span.offset);
        const to = Math.min(stop, span.offset + span.byteLength);
        if (span.kind === "literal") {
          room().set(span.bytes.subarray(from - span.offset, to - span.offset), from - start);
        } else if (span.kind === "copy") {
          const source = await this.#source(span.locator);
          await source.read(span.sourceOffset + from - span.offset, room().subarray(from - start, to - start));
        } else {
          const transform = await this.#resume(span, { ...wish, tileByteLength });
          await transform.produce(from - span.offset, to - span.offset, (offset, bytes) => {
            // As a rule a piece is one tile: a copy of it needs no room that is made of zeros first.
            if (bytes.byteLength === stop - start) piece = new Uint8Array(bytes);
            else room().set(bytes, span.offset + offset - start);
          });
        }
      }
      return room();
    } catch (error) {
      this.#forget();
      throw outOfMemory(error) ?? error;
    } finally {
      // An adapter's file is not kept for the sake of state that is made already.
      this.#reader.close();
    }
  }

  /** A tensor with its Ops prepared; that of the last piece is. */
  async #resume(
    span: TensorSpan,
    { contentName, sketches, signal, tileByteLength }: PieceWish & { readonly tileByteLength: number },
  ): Promise<TensorTransform> {
    if (span.correction !== undefined) throw new TypeError("a receipt's tensors are not streamed piece by piece");
    const source = await this.#source(span.locator);
    if (this.#prepared?.span === span && this.#prepared.tileByteLength === tileByteLength) {
      this.#prepared.transform.resume(source, signal);
      return this.#prepared.transform;
    }
    this.#forget();
    const shared = { store: sketches, prefix: `${contentName}/${span.offset}` };
    const transform = await this.#prepare(span, [], tileByteLength, shared, signal);
    this.#prepared = { span, tileByteLength, transform };
    return transform;
  }

  /** Gives back all of the arena. */
  #forget(): void {
    this.#prepared = null;
    this.#arena.release(this.#bottom);
  }

  async #dispatch(task: Task, onBytes: OnBytes): Promise<TaskResult> {
    switch (task.kind) {
      case "share":
        return await this.#share(task, onBytes);
      case "sum":
        return await this.#sum(task);
      case "digest":
        return await this.#digest(task, onBytes);
      case "pieces":
        return await this.#pieces(task, onBytes);
      case "residual":
        return await this.#residual(task, onBytes);
    }
  }

  async #share(task: ShareTask, onBytes: OnBytes): Promise<TaskResult<ShareTask>> {
    const file = this.#assignment.files[task.file]!;
    const digests = new PieceDigests(this.#host.startDigest);
    const sink = await this.#host.openSink(file.path);
    try {
      const overflows = await this.produce(file, task.start, task.end, async (offset, bytes) => {
        await sink.write(offset, bytes);
        digests.update(bytes);
        await onBytes(bytes.byteLength);
      }, task.sketches);
      return { pieces: digests.finish(), overflows };
    } finally {
      sink.close();
    }
  }

  async #sum(task: SumTask): Promise<TaskResult<SumTask>> {
    const span = this.#assignment.files[task.file]!.spans[task.span] as TensorSpan;
    const transform = await this.#prepare(span, task.sketches);
    const sketch = new Float64Array(span.stages[task.stage]![task.op]!.sketchLength);
    await transform.addSpan(task.stage, task.op, task.rows, sketch);
    return { sketch };
  }

  async #digest(task: DigestTask, onBytes: OnBytes): Promise<TaskResult<DigestTask>> {
    const digest = this.#host.startDigest();
    await this.#read(task.locator, task.offset, task.offset + task.byteLength, async (_, bytes) => {
      digest.update(bytes);
      await onBytes(bytes.byteLength);
    });
    return { sha256: toHex(digest.finish()) };
  }

  async #pieces(task: PiecesTask, onBytes: OnBytes): Promise<TaskResult<PiecesTask>> {
    const digests = new PieceDigests(this.#host.startDigest);
    await this.#read(task.locator, task.start, task.end, async (_, bytes) => {
      digests.update(bytes);
      await onBytes(bytes.byteLength);
    });
    return { pieces: digests.finish() };
  }

  async #residual(task: ResidualTask, onBytes: OnBytes): Promise<TaskResult<ResidualTask>> {
    const file = this.#assignment.files[task.file]!;
    const span = file.spans[task.span] as TensorSpan;
    const base = await this.#source(task.base.locator);
    const encoder = this.#encoder ??= new ResidualEncoder();
    encoder.start(span.dtype);
    await this.produce(file, task.start, task.end, async (offset, undone) => {
      if (this.#basePiece.byteLength < undone.byteLength) this.#basePiece = new Uint8Array(undone.byteLength);
      const bytes = this.#basePiece.subarray(0, undone.byteLength);
      await base.read(task.base.offset + offset - task.start, bytes);
      encoder.add(bytes, undone);
      await onBytes(undone.byteLength);
    }, task.sketches);
    const residuals = encoder.finish();
    return { residuals, blockByteLengths: encoder.blockByteLengths, wrongCount: encoder.wrongCount };
  }

  async #transform(
    span: TensorSpan,
    from: number,
    to: number,
    emit: EmitBytes,
    sketches: readonly KnownSketch[],
  ): Promise<number> {
    const mark = this.#arena.mark();
    try {
      // First, so that the tensor's own source, opened last, stays open.
      const receipt = span.correction === undefined ? null : await this.#source(span.correction.locator);
      const transform = await this.#prepare(span, sketches);
      if (receipt === null) await transform.produce(from, to, emit);
      else {
        const corrected = await CorrectedTensor.open(span, receipt);
        await corrected.produce(from, to, emit, (start, end, emitUndone) => transform.produce(start, end, emitUndone));
      }
      return transform.overflowCount;
    } finally {
      this.#arena.release(mark);
    }
  }

  async #prepare(
    span: TensorSpan,
    sketches: readonly KnownSketch[],
    tileByteLength: number = this.#assignment.tileByteLength,
    shared?: SharedSketches,
    signal: AbortSignal | undefined = this.#signal,
  ): Promise<TensorTransform> {
    const shop: Workshop = { kernel: this.#host.kernel, arena: this.#arena, reader: this.#reader };
    const source = await this.#source(span.locator);
    const transform = await TensorTransform.prepare(span, source, shop, tileByteLength, signal, shared);
    for (const { key, sketch } of sketches) transform.addSketch(key, sketch);
    return transform;
  }

  async #copy(span: CopySpan, from: number, to: number, emit: EmitBytes): Promise<void> {
    await this.#read(span.locator, span.sourceOffset + from, span.sourceOffset + to, (offset, bytes) => {
      return emit(offset - span.sourceOffset, bytes);
    });
  }

  /** Reads bytes `[start, end)` of a file into the kernel's memory, block by block. */
  async #read(locator: string, start: number, end: number, emit: EmitBytes): Promise<void> {
    const source = await this.#source(locator);
    const mark = this.#arena.mark();
    try {
      const blockByteLength = Math.min(COPY_BYTES, end - start);
      const block = this.#arena.take(blockByteLength);
      for (let offset = start; offset < end; offset += blockByteLength) {
        this.#signal?.throwIfAborted();
        const bytes = this.#host.kernel.bytes.subarray(block, block + Math.min(blockByteLength, end - offset));
        await source.read(offset, bytes);
        await emit(offset, bytes);
      }
    } finally {
      this.#arena.release(mark);
    }
  }

  async #source(locator: string): Promise<ByteSource> {
    let source = this.#open.get(locator);
    if (source !== undefined) this.#open.delete(locator);
    else {
      source = await this.#host.openSource(locator);
      for (const [oldest, unused] of this.#open) {
        if (this.#open.size < MAX_OPEN_SOURCES) break;
        unused.close();
        this.#open.delete(oldest);
      }
    }
    // The most recently used last: a task's two or three are never closed under it.
    this.#open.set(locator, source);
    return source;
  }
}

/** What a host says when a kernel cannot grow, as an error of ours; null for any other error. */
function outOfMemory(error: unknown): EtherError | null {
  if (!(error instanceof RangeError && /memory|allocation/i.test(error.message))) return null;
  const hint = "give it more, or a smaller --max-memory, which makes smaller tiles";
  return new EtherError("io_error", `out of memory: ${error.message}`, { hint, cause: error });
}
