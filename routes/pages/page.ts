/** One page as one response that needs no other: markup, style and script, and a policy that lets nothing else run. */
import { html, raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";

/** Markup in which every value has been escaped. */
export type Markup = HtmlEscapedString | Promise<HtmlEscapedString>;

/** What a page is made of. */
export interface PageParts {
  readonly title: string;
  readonly styles: readonly string[];
  /** A module without imports. */
  readonly script?: string | undefined;
  readonly body: Markup;
}

/** What is sent. */
export interface Page {
  readonly html: string;
  /** For `Content-Security-Policy`. */
  readonly policy: string;
}

/** A mark for the browser's tab. */
const ICON = "data:image/svg+xml," + encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#0d9488" d="M2 8 8 2l6 6-6 6z"/></svg>',
);

/** Makes a page. */
export async function makePage({ title, styles, script, body }: PageParts): Promise<Page> {
  const style = inlined(styles.join("\n"));
  const code = script === undefined ? undefined : inlined(script);
  const page = await html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta name="referrer" content="no-referrer">
        <title>${title}</title>
        <link rel="icon" href="${ICON}">
        <style>${raw(style)}</style>
      </head>
      <body>
    ${body}
    ${code === undefined ? "" : html`<script type="module">${raw(code)}</script>`}
      </body>
    </html>
  `;
  return { html: String(page), policy: await policyOf(style, code) };
}

/** Only these very texts count as style and script, and a script may ask this server alone. */
async function policyOf(style: string, script: string | undefined): Promise<string> {
  const rules = [
    ...["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "img-src data:"],
    `style-src '${await digestOf(style)}'`,
    ...script === undefined ? [] : [`script-src '${await digestOf(script)}'`, "connect-src 'self'"],
  ];
  return rules.join("; ");
}

async function digestOf(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return `sha256-${btoa(String.fromCharCode(...digest))}`;
}

/** Our own text: that none of it ends its element is a rule, not a matter of escaping. */
function inlined(text: string): string {
  if (/<\/?(script|style|!--)/i.test(text)) throw new TypeError("style and script must not name their own elements");
  return text;
}
