/** Text of the document, which is CommonMark: of that, the document uses code between backticks. */
import { html } from "hono/html";
import type { Markup } from "./page.ts";

/** The text, escaped, with its code as such. */
export function coded(text: string): Markup {
  return html`${text.split("`").map((part, at) => at % 2 === 1 ? html`<code>${part}</code>` : part)}`;
}
