/** Models that are elsewhere: a small JSON file says where. */
import { EtherError } from "../error.ts";
import { Fields, STRING } from "../json/fields.ts";
import { parseJson } from "../json/parse.ts";
import type { OpenedReference } from "../remote/open_reference.ts";
import { isReference, parseReference } from "../remote/reference.ts";

/** Follows `hf://owner/repo[@revision]` or an `https://` URL, on a host that the operator allows. */
export type FollowReference = (source: string) => Promise<OpenedReference>;

/** A reference larger than this is not one. */
export const MAX_REFERENCE_BYTES = 64 * 1024;

/**
 * Reads `{"source": "hf://owner/repo@revision"}`; the source may also be the `https://` URL of a folder.
 *
 * @param file  what messages call it
 * @throws {EtherError} `bad_config`
 */
export function parseModelReference(bytes: Uint8Array, file: string): string {
  const fields = Fields.ofDocument(parseJson(bytes, "bad_config", file), "bad_config", file);
  for (const name of fields.object.keys()) {
    if (name !== "source") fields.fail(name, `${name} is no field of a reference`, 'write {"source": "hf://..."}');
  }
  const source = fields.required("source", STRING);
  if (!isReference(source)) fields.fail("source", "neither hf://owner/repo nor the https:// URL of a folder");
  try {
    parseReference(source);
  } catch (error) {
    if (!(error instanceof EtherError)) throw error;
    fields.fail("source", error.message, error.hint);
  }
  return source;
}
