/** The most of a hostile string that a message repeats. */
const QUOTED_LENGTH = 80;

/** Text in quotes for a message: escaped, and cut where it is long. */
export function quote(text: string): string {
  return JSON.stringify(clip(text, QUOTED_LENGTH));
}

/** The start of a long text, with an ellipsis. */
export function clip(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
