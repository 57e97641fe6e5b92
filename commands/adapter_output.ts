/** The folder of an adapter that is written: beside its place, and renamed into it when it is complete. */
import { FileSink } from "../runtime/deno/file_sink.ts";
import { ioError } from "../runtime/deno/io_error.ts";
import { OutputLock } from "../runtime/deno/output_lock.ts";
import { makeParents, parentIsNoFolder, removeParents } from "../runtime/deno/parents.ts";
import { makePartial, PARTIAL_SUFFIX, placePartial, removePartial } from "../runtime/deno/partial_folder.ts";
import { EtherError } from "../runtime/error.ts";
import { baseNameOf } from "../runtime/io/folder.ts";
import type { ByteSink } from "../runtime/io/sink.ts";
import { writeJson } from "../runtime/json/write.ts";
import type { JsonObject } from "../runtime/json/value.ts";

const CONFIG_FILE = "adapter_config.json";
const TENSOR_FILE = "adapter_model.safetensors";
const REPLACED = ".ether-replaced";

/** Where an adapter goes. */
export interface AdapterOutput {
  /** Absolute. */
  readonly path: string;
  /** What messages call it. */
  readonly name: string;
  /** Replace an empty folder, or one that holds an adapter and nothing else. */
  readonly force: boolean;
}

/**
 * Writes a config and the tensors that `writeTensors` puts into the sink.
 *
 * @returns what `writeTensors` does
 * @throws {EtherError} `exists`, `locked`, `io_error`, `no_space`, and whatever `writeTensors` throws
 */
export async function writeAdapter<T>(
  output: AdapterOutput,
  config: JsonObject,
  writeTensors: (sink: ByteSink) => Promise<T>,
): Promise<T> {
  const { path, name } = output;
  const partial = path + PARTIAL_SUFFIX;
  const madeParents = makeParents(path, name);
  let lock: OutputLock | null = null;
  let made = false;
  let done = false;
  try {
    lock = await OutputLock.take(path, name);
    await recover(path, name);
    await checkAdapterPlace(output);
    await makePartial(path, name);
    made = true;
    await Deno.writeTextFile(`${partial}/${CONFIG_FILE}`, `${writeJson(config, 2)}\n`, { createNew: true });
    await Deno.writeFile(`${partial}/${TENSOR_FILE}`, new Uint8Array(0), { createNew: true });
    const sink = new FileSink(`${partial}/${TENSOR_FILE}`);
    const result = await writeTensors(sink).finally(() => sink.close());
    for (const file of [CONFIG_FILE, TENSOR_FILE]) {
      using open = await Deno.open(`${partial}/${file}`, { write: true });
      await open.sync();
    }
    await putInPlace(path);
    done = true;
    return result;
  } catch (error) {
    const { code, message, tensor, field, hint, file } = ioError(error, name);
    // By then the unfinished folder is gone: the output is what the user knows.
    const place = file?.startsWith(partial) ? name + file.slice(partial.length) : file;
    throw new EtherError(code, message, { file: place, tensor, field, hint, cause: error });
  } finally {
    if (!done && made) await removePartial(path);
    lock?.release();
    if (!done) removeParents(madeParents);
  }
}

/** Refuses an output that is there; with `force` one that is more than an adapter. @throws {EtherError} `exists` */
export async function checkAdapterPlace({ path, name, force }: AdapterOutput): Promise<void> {
  let replaceable: boolean | null;
  try {
    replaceable = await isReplaceable(path);
  } catch (error) {
    throw error instanceof Deno.errors.NotADirectory ? parentIsNoFolder(name) : ioError(error, name);
  }
  if (replaceable === null) return;
  if (!force) {
    throw new EtherError("exists", "the output exists", { file: name, hint: "--force replaces an adapter's folder" });
  }
  if (replaceable) return;
  const hint = `--force replaces only a folder with ${CONFIG_FILE} and ${TENSOR_FILE}; name another output`;
  throw new EtherError("exists", "the output exists and is more than an adapter's folder", { file: name, hint });
}

/** True for a folder with an adapter and nothing else, or with nothing; null where nothing is there. */
async function isReplaceable(path: string): Promise<boolean | null> {
  try {
    if (!(await Deno.lstat(path)).isDirectory) return false;
    const children = await Array.fromAsync(Deno.readDir(path));
    return children.every(({ name }) => name === CONFIG_FILE || name === TENSOR_FILE);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** A stopped run left the older output aside: it comes back, or goes where the new one is in its place. */
async function recover(path: string, name: string): Promise<void> {
  const replaced = path + REPLACED;
  const left = await isReplaceable(replaced);
  if (left === null) return;
  if (!left) {
    const hint = "no convert left it: move it away, or name another output";
    throw new EtherError("exists", `${baseNameOf(replaced)} is in the way`, { file: name, hint });
  }
  if (await isReplaceable(path) === null) await Deno.rename(replaced, path);
  else await Deno.remove(replaced, { recursive: true });
}

/** An older output is complete until the new one is: it goes aside first, and away last. */
async function putInPlace(path: string): Promise<void> {
  const replaced = path + REPLACED;
  const old = await isReplaceable(path) !== null;
  if (old) await Deno.rename(path, replaced);
  try {
    await placePartial(path);
  } catch (error) {
    if (old) await Deno.rename(replaced, path);
    throw error;
  }
  if (old) await Deno.remove(replaced, { recursive: true });
}
