/** Marks that tell whether a file or a folder is still the one that was looked at. */

/** What one look at a path showed. */
export interface FileMark {
  /** Another string as soon as the file is another: size, time of its last change, inode. */
  readonly mark: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly changed: number;
  readonly isFile: boolean;
  readonly isFolder: boolean;
}

/** Clocks of file systems tick more coarsely than they write: a change right after a look may leave the time as it was. */
const TICK_MILLISECONDS = 2000;

/** Looks at a path, through links; null where there is nothing that can be looked at. */
export function lookAt(path: string): FileMark | null {
  try {
    const { size, mtime, ino, dev, isFile, isDirectory } = Deno.statSync(path);
    const changed = mtime?.getTime() ?? 0;
    return { mark: `${size}-${changed}-${ino}-${dev}`, size, changed, isFile, isFolder: isDirectory };
  } catch {
    return null;
  }
}

/** What was read at a path, kept for as long as its mark can be relied on. */
export class MarkedCache<T> {
  readonly #kept = new Map<string, { readonly mark: string; readonly value: T }>();

  /**
   * What `read` gave for this path and mark, now or before.
   *
   * @param now  milliseconds since the epoch, from before `found` was looked at
   */
  async get(path: string, found: FileMark, now: number, read: () => T | Promise<T>): Promise<T> {
    const kept = this.#kept.get(path);
    if (kept !== undefined && kept.mark === found.mark) return kept.value;
    const value = await read();
    if (found.changed < now - TICK_MILLISECONDS) this.#kept.set(path, { mark: found.mark, value });
    else this.#kept.delete(path);
    return value;
  }

  /** Forgets every path but these. */
  keepOnly(paths: ReadonlySet<string>): void {
    for (const path of this.#kept.keys()) if (!paths.has(path)) this.#kept.delete(path);
  }
}
