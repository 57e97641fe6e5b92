/** Where an official checkpoint and its `lit_config.json` are. */
import type { Place } from "../../checkpoints/model.ts";
import { baseNameOf, type Folder, type FolderEntry, parentOf } from "../../io/folder.ts";

/** What training calls the final checkpoint. */
export const OFFICIAL_FILE = "lit_model_ether_finetuned.pth";
/** The model's description, as lit-gpt's converter writes it beside the model. */
export const LIT_CONFIG_FILE = "lit_config.json";

const PEFT_CONFIG = "adapter_config.json";

/** A `.pth` that was named, or training's in a folder that is no adapter folder; null for anything else. */
export function officialPath({ file }: Pick<Place, "file">, entries: readonly FolderEntry[]): string | null {
  if (file !== null) return file.endsWith(".pth") ? file : null;
  const has = (path: string) => entries.some((entry) => entry.path === path);
  return has(OFFICIAL_FILE) && !has(PEFT_CONFIG) ? OFFICIAL_FILE : null;
}

/** The `.pth` files of a folder that was named, the newest step last: each of them would be read, if it were named. */
export function otherCheckpoints({ file }: Pick<Place, "file">, entries: readonly FolderEntry[]): string[] {
  if (file !== null) return [];
  const paths = entries.map(({ path }) => path).filter((path) => path.endsWith(".pth"));
  // Steps are padded with zeros, but not to one length.
  const step = (path: string) => Number(/\d+/.exec(baseNameOf(path))?.[0] ?? -1);
  return paths.sort((a, b) => step(a) - step(b) || (a < b ? -1 : 1));
}

/** True where a place holds an official checkpoint, by its files' names. */
export async function isOfficial(place: Place): Promise<boolean> {
  return officialPath(place, await place.folder.list()) !== null;
}

/** One file of a folder. */
export interface FoundFile {
  readonly folder: Folder;
  readonly entry: FolderEntry;
}

/**
 * `lit_config.json`: the one that was named, else beside the checkpoint, else one folder up.
 *
 * @param named  a file, or a folder that holds one
 */
export async function findLitConfig(
  { folder }: Place,
  path: string,
  entries: readonly FolderEntry[],
  named: Place | null,
): Promise<FoundFile | null> {
  if (named !== null) {
    const file = named.file ?? LIT_CONFIG_FILE;
    return entryOf(named.folder, file, await named.folder.list());
  }
  const beside = entryOf(folder, parentOf(path) + LIT_CONFIG_FILE, entries);
  if (beside !== null) return beside;
  if (parentOf(path) !== "") {
    return entryOf(folder, parentOf(parentOf(path).slice(0, -1)) + LIT_CONFIG_FILE, entries);
  }
  const above = folder.above?.(LIT_CONFIG_FILE);
  return above === undefined ? null : entryOf(above, LIT_CONFIG_FILE, await above.list());
}

function entryOf(folder: Folder, path: string, entries: readonly FolderEntry[]): FoundFile | null {
  const entry = entries.find((one) => one.path === path);
  return entry === undefined ? null : { folder, entry };
}

/** Name of the folder that a checkpoint is in, which tells how it was trained. */
export function folderNameOf({ folder }: Place, path: string): string | undefined {
  const parent = parentOf(path);
  return parent === "" ? folder.ownName : baseNameOf(parent.slice(0, -1));
}
