import { EtherError } from "../error.ts";

/** The Hub that everybody knows. */
export const PUBLIC_ENDPOINT = "https://huggingface.co";

/** The Hub's URL as the operator gave it. @throws {EtherError} `usage` */
export function parseEndpoint(text: string, field: string): string {
  const url = URL.parse(text);
  const wrong = url === null || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "" ||
    url.username !== "" || url.password !== "";
  if (wrong) {
    const hint = "such as https://huggingface.co";
    throw new EtherError("usage", "not the https:// URL of a Hub", { field, hint });
  }
  return (url.origin + url.pathname).replace(/\/+$/, "");
}
