/** One ranged request that is read front to back, and asked for again from where it was cut. */
import { EtherError } from "../error.ts";
import { BodyReader } from "./body.ts";
import { parseContentRange } from "./content_range.ts";
import type { RemoteFile } from "./locator.ts";
import { changed, checkPin, type Pin, strongEtag } from "./pin.ts";
import { type RetryPolicy, TransientError, withRetry } from "./retry.ts";
import type { Reply, Session } from "./session.ts";
import { statusError } from "./status.ts";

/** What a run reads with. */
export interface RunParts {
  readonly session: Session;
  readonly retry: RetryPolicy;
  /** The file's pin; null before its first answer. */
  readonly pin: () => Pin | null;
  readonly setPin: (pin: Pin) => void;
}

/** Bytes `[position, end)` of a file, on their way. */
export class RangeRun {
  readonly end: number;
  readonly #file: RemoteFile;
  readonly #parts: RunParts;
  #position: number;
  #body: BodyReader | null = null;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(file: RemoteFile, start: number, end: number, parts: RunParts) {
    this.#file = file;
    this.#position = start;
    this.end = end;
    this.#parts = parts;
  }

  /** The first byte that has not been taken. */
  get position(): number {
    return this.#position;
  }

  /** The next `byteLength` bytes. @throws {EtherError} `source_changed`, `io_error`, ...; then the run is over */
  async take(byteLength: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(byteLength);
    const start = this.#position;
    try {
      await withRetry(this.#parts.retry, this.#file.name, signal, async () => {
        try {
          await this.#fill(bytes, start, signal);
        } catch (error) {
          // What came is kept: the next attempt goes on behind it.
          this.#disconnect();
          throw error;
        }
      });
    } catch (error) {
      this.#disconnect();
      throw error;
    }
    return bytes;
  }

  /** Ends it. */
  cancel(): void {
    this.#disconnect();
  }

  async #fill(bytes: Uint8Array, start: number, signal: AbortSignal): Promise<void> {
    for (let done = this.#position - start; done < bytes.byteLength; done = this.#position - start) {
      this.#body ??= await this.#connect(signal);
      if (this.#rest.byteLength === 0) {
        const piece = await this.#body.read(signal);
        if (piece === null) throw new TransientError(`the answer ended at byte ${this.#position} of ${this.end}`);
        this.#rest = piece;
      }
      const part = this.#rest.subarray(0, bytes.byteLength - done);
      bytes.set(part, done);
      this.#rest = this.#rest.subarray(part.byteLength);
      this.#position += part.byteLength;
    }
    if (this.#position === this.end) await this.#finish(signal);
  }

  /** An answer that is read to its end leaves its connection to others. */
  async #finish(signal: AbortSignal): Promise<void> {
    const more = this.#rest.byteLength > 0 ||
      (await this.#body?.read(signal).catch(() => null) ?? null) !== null;
    if (!more) return void (this.#body = null);
    this.#disconnect();
    throw new EtherError("io_error", "the host sends more bytes than it was asked for", { file: this.#file.name });
  }

  #disconnect(): void {
    this.#body?.cancel();
    this.#body = null;
    this.#rest = new Uint8Array(0);
  }

  async #connect(signal: AbortSignal): Promise<BodyReader> {
    const { session, pin } = this.#parts;
    const headers: Record<string, string> = { range: `bytes=${this.#position}-${this.end - 1}` };
    const etag = pin()?.etag;
    if (etag) headers["if-range"] = etag;
    const url = new URL(this.#file.url);
    const reply = await session.get(url, headers, signal);
    try {
      this.#check(reply);
    } catch (error) {
      reply.abort(error);
      throw error;
    }
    return new BodyReader(reply, session.patience);
  }

  #check(reply: Reply): void {
    const { name, size, sha256 } = this.#file;
    const { status, headers } = reply.response;
    const known = this.#parts.pin();
    const answer = { etag: strongEtag(headers.get("etag")), linkedEtag: strongEtag(reply.linkedEtag) };
    if (status === 416 || status === 412) throw changed(name, "it has no longer the bytes that were asked for");
    if (status === 200) {
      // Where the ETag is another one, the host was right to answer so.
      if (known !== null) checkPin(known, answer, name);
      const hint = "the host must answer Range requests: copy the file to this machine, or use another host";
      throw new EtherError("unsupported", "the host sends the whole file where a part was asked for", {
        file: name,
        hint,
      });
    }
    if (status !== 206) throw statusError(reply, name, this.#parts.session.hasToken);
    const range = parseContentRange(headers.get("content-range"));
    if (range === null) {
      throw new EtherError("io_error", "the host answers a range without saying which", { file: name });
    }
    if (range.size !== size) throw changed(name, `it had ${size} bytes and has ${range.size}`);
    if (range.start !== this.#position || range.end !== this.end) {
      const asked = `${this.#position} to ${this.end - 1}`;
      const message = `the host answers with bytes ${range.start} to ${range.end - 1} where ${asked} were asked for`;
      throw new EtherError("io_error", message, { file: name });
    }
    const linkedSha = /^"([0-9a-f]{64})"$/.exec(answer.linkedEtag ?? "")?.[1];
    if (sha256 !== undefined && linkedSha !== undefined && linkedSha !== sha256) {
      throw changed(name, `its SHA-256 was ${sha256} and is ${linkedSha}`);
    }
    this.#parts.setPin(checkPin(known, answer, name));
  }
}
