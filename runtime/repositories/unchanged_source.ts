/** A base's file that gives bytes only while it is the file that was identified. */
import { EtherError } from "../error.ts";
import type { ByteSource } from "../io/source.ts";

/** How often one read is made again while the file goes on changing into what may be read too. */
const ATTEMPTS = 3;

/** A file, or a model, that is not what was listed. */
export function changed(id: string, path?: string): EtherError {
  const hint = "ask again; a file should be written beside its place and renamed";
  const file = path === undefined ? id : `${id}/${path}`;
  return new EtherError("io_error", "it changed while it was served", { file, hint });
}

/**
 * Opens a file and looks at its mark after each read, so that no byte of another file comes out of it. A source without
 * marks is looked at once, when it is opened.
 *
 * @param open    opens it, perhaps again
 * @param accept  throws unless a file of this mark has the bytes that were identified
 * @throws {EtherError} `io_error` when the file is another; whatever `open` throws
 */
export async function openUnchanged(
  open: () => ByteSource | Promise<ByteSource>,
  accept: (mark: string | undefined) => void | Promise<void>,
): Promise<ByteSource> {
  const openAccepted = async (): Promise<Accepted> => {
    const source = await open();
    try {
      const mark = source.mark?.();
      await accept(mark);
      return { source, mark };
    } catch (error) {
      source.close();
      throw error;
    }
  };
  const first = await openAccepted();
  return first.mark === undefined ? first.source : new UnchangedSource(first, openAccepted);
}

interface Accepted {
  readonly source: ByteSource;
  readonly mark: string | undefined;
}

class UnchangedSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #openAccepted: () => Promise<Accepted>;
  #current: Accepted;
  #closed = false;

  constructor(first: Accepted, openAccepted: () => Promise<Accepted>) {
    this.name = first.source.name;
    this.size = first.source.size;
    this.#current = first;
    this.#openAccepted = openAccepted;
  }

  mark(): string {
    return this.#current.mark!;
  }

  read(offset: number, into: Uint8Array<ArrayBufferLike>): void | Promise<void> {
    let reading: void | Promise<void>;
    try {
      reading = this.#current.source.read(offset, into);
    } catch (error) {
      // A file that is cut short fails to be read: why, its mark says.
      if (this.#isSame()) throw error;
      return this.#readAgain(offset, into);
    }
    if (reading === undefined) return this.#isSame() ? undefined : this.#readAgain(offset, into);
    return this.#finish(reading, offset, into);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#current.source.close();
  }

  #isSame(): boolean {
    const { source, mark } = this.#current;
    return source.mark?.() === mark;
  }

  async #finish(reading: Promise<void>, offset: number, into: Uint8Array<ArrayBufferLike>): Promise<void> {
    try {
      await reading;
    } catch (error) {
      if (this.#isSame()) throw error;
    }
    if (!this.#isSame()) await this.#readAgain(offset, into);
  }

  /** Opened anew, as its handle may be of a file that is no longer there: kept handles outlive the files. */
  async #readAgain(offset: number, into: Uint8Array<ArrayBufferLike>): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const next = await this.#openAccepted();
      if (this.#closed || next.source.size !== this.size) {
        next.source.close();
        break;
      }
      this.#current.source.close();
      this.#current = next;
      await next.source.read(offset, into);
      if (this.#isSame()) return;
    }
    throw changed(this.name);
  }
}
