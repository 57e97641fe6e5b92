/** What a file was when it was first read: everything later has to be of the same. */
import { EtherError } from "../error.ts";

/** Marks of one version of a file. */
export interface Pin {
  /** Strong ETag of whoever sends the bytes, with its quotes; null where only the endpoint's is known. */
  readonly etag: string | null;
  /** ETag of the endpoint that redirects to the bytes; null where there is none. */
  readonly linkedEtag: string | null;
}

/** A strong ETag with its quotes; null for a weak one, none, or none that is one. */
export function strongEtag(value: string | null): string | null {
  return value !== null && value.length <= 256 && /^"[\x21\x23-\x7e]*"$/.test(value) ? value : null;
}

/**
 * Holds an answer's marks against a pin, or makes the pin of a first answer.
 *
 * @param known  null for a first answer
 * @param name   what messages call the file
 * @returns the pin of all further answers
 * @throws {EtherError} `source_changed`; `unsupported` where nothing tells one version from another
 */
export function checkPin(known: Pin | null, answer: Pin, name: string): Pin {
  if (answer.etag === null && answer.linkedEtag === null) {
    const hint = "its versions cannot be told apart: copy the file to this machine";
    throw new EtherError("unsupported", "the host sends no strong ETag", { file: name, hint });
  }
  for (const mark of ["etag", "linkedEtag"] as const) {
    const [was, is] = [known?.[mark] ?? null, answer[mark]];
    if (was !== null && is !== null && was !== is) throw changed(name, `its ETag was ${was} and is ${is}`);
  }
  if (
    known !== null && (["etag", "linkedEtag"] as const).every((mark) => known[mark] === null || answer[mark] === null)
  ) {
    throw changed(name, "its ETag is gone");
  }
  return { etag: known?.etag ?? answer.etag, linkedEtag: known?.linkedEtag ?? answer.linkedEtag };
}

/** `source_changed`. */
export function changed(name: string, how: string): EtherError {
  const hint = "nothing of the old version was mixed with the new one: start again";
  return new EtherError("source_changed", `the file changed while it was read: ${how}`, { file: name, hint });
}
