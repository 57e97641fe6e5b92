/** The files of a revision as the Hub lists them: a tree of directories, with git's names where they are known. */
import type { Repository, RepositoryFile } from "../../runtime/repositories/repository.ts";
import { sha1Hex } from "./sha1.ts";

/** What the Hub says of a file's large content. */
export interface LfsFacts {
  /** SHA-256 in hex. */
  readonly oid: string;
  readonly size: number;
  readonly pointerSize: number;
}

/** One entry of a tree, or of `paths-info`. */
export interface Entry {
  readonly type: "file" | "directory";
  /** 40 hex. */
  readonly oid: string;
  readonly size: number;
  readonly path: string;
  readonly lfs?: LfsFacts;
  readonly lastCommit?: { readonly id: string; readonly title: string; readonly date: string };
  readonly securityFileStatus?: {
    readonly status: "unscanned";
    readonly avScan: null;
    readonly pickleImportScan: null;
  };
}

/** Bytes of the pointer that git keeps in a large file's place. */
export function lfsFacts({ sha256, size }: RepositoryFile): { lfs: LfsFacts } | Record<never, never> {
  if (sha256 === null) return {};
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`;
  return { lfs: { oid: sha256, size, pointerSize: pointer.length } };
}

/**
 * What a directory holds, sorted by path; all that lies below it if `recursive`.
 *
 * @param directory  empty for the root
 * @returns null where there is no such directory
 */
export async function listTree(
  repository: Repository,
  directory: string,
  { recursive, expand }: { readonly recursive: boolean; readonly expand: boolean },
): Promise<Entry[] | null> {
  const prefix = directory === "" ? "" : `${directory}/`;
  const inside = repository.files.filter(({ path }) => path.startsWith(prefix));
  if (inside.length === 0 && directory !== "") return null;
  const entries: Entry[] = [];
  for (const file of inside) {
    if (recursive || !file.path.slice(prefix.length).includes("/")) entries.push(fileEntry(repository, file, expand));
  }
  for (const path of directoriesOf(inside, prefix)) {
    if (recursive || !path.slice(prefix.length).includes("/")) {
      entries.push(await directoryEntry(repository, path, expand));
    }
  }
  return entries.sort((a, b) => a.path < b.path ? -1 : 1);
}

/** The named files and directories; names that are not there are left out. */
export async function listPaths(repository: Repository, paths: readonly string[], expand: boolean): Promise<Entry[]> {
  const entries: Entry[] = [];
  const directories = directoriesOf(repository.files, "");
  for (const path of new Set(paths)) {
    const file = repository.file(path);
    if (file !== undefined) entries.push(fileEntry(repository, file, expand));
    else if (directories.has(path)) entries.push(await directoryEntry(repository, path, expand));
  }
  return entries;
}

function fileEntry(repository: Repository, file: RepositoryFile, expand: boolean): Entry {
  const { oid, size, path } = file;
  return { type: "file", oid, size, path, ...lfsFacts(file), ...expanded(repository, expand) };
}

async function directoryEntry(repository: Repository, path: string, expand: boolean): Promise<Entry> {
  const inside = repository.files.filter((file) => file.path.startsWith(`${path}/`));
  const oid = await sha1Hex(inside.map((file) => `${file.oid} ${file.path.slice(path.length + 1)}\n`).join(""));
  return { type: "directory", oid, size: 0, path, ...expanded(repository, expand) };
}

function expanded({ commit, revision, lastModified }: Repository, expand: boolean) {
  if (!expand) return {};
  return {
    lastCommit: { id: commit, title: revision, date: lastModified.toISOString() },
    securityFileStatus: { status: "unscanned", avScan: null, pickleImportScan: null },
  } as const;
}

/** Every directory between a prefix and the files below it. */
function directoriesOf(files: readonly RepositoryFile[], prefix: string): Set<string> {
  const directories = new Set<string>();
  for (const { path } of files) {
    for (let at = path.indexOf("/", prefix.length); at !== -1; at = path.indexOf("/", at + 1)) {
      directories.add(path.slice(0, at));
    }
  }
  return directories;
}
