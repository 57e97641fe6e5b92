/** Marks that tell whether a file or a folder is still the one that was looked at. */

/** What one look at a path showed. */
export interface FileMark {
  /** Another string as soon as the file is another: size, times of its last changes, inode. */
  readonly mark: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly changed: number;
  /** The same or later: when the file came to be what it is and where it is, as a renamed one keeps the time it was written. */
  readonly settled: number;
  readonly isFile: boolean;
  readonly isFolder: boolean;
}

/** Clocks of file systems tick more coarsely than they write: a change right after a look may leave the time as it was. */
const TICK_MILLISECONDS = 2000;

/** Looks at a path, through links; null where there is nothing that can be looked at. */
export function lookAt(path: string): FileMark | null {
  try {
    const info = Deno.statSync(path);
    const { size, mtime, isFile, isDirectory } = info;
    // Of a link: what it leads to is as it was, but it may lead there only now.
    const settled = Math.max(settledAt(info), settledAt(Deno.lstatSync(path)));
    return { mark: markOf(info), size, changed: mtime?.getTime() ?? 0, settled, isFile, isFolder: isDirectory };
  } catch {
    return null;
  }
}

/** The mark of what was looked at, by a path or by an open handle: the same for both. */
export function markOf({ size, mtime, ctime, ino, dev }: Deno.FileInfo): string {
  return `${size}-${mtime?.getTime() ?? 0}-${ctime?.getTime() ?? 0}-${ino}-${dev}`;
}

/** True where what a file says of another can be of no earlier one: it was written after the other had settled. */
export function isWrittenAfter(file: FileMark, other: FileMark): boolean {
  return file.changed > other.settled;
}

/** Milliseconds since the epoch. */
function settledAt({ mtime, ctime }: Deno.FileInfo): number {
  const changed = ctime?.getTime() ?? 0;
  // Deno tells this time in whole seconds: it may have been any moment of them.
  const latest = changed % 1000 === 0 ? changed + 999 : changed;
  return Math.max(mtime?.getTime() ?? 0, latest);
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
