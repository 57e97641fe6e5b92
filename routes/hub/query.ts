/** Query booleans: `true` from some clients, `True` from others. */
export function isTrue(text: string | null | undefined): boolean {
  return text != null && /^(true|1)$/i.test(text);
}
