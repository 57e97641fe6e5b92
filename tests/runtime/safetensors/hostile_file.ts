/** A file as fixtures/hostile describes it: whole, or as a header and how many zero bytes follow. */
export interface HostileFile {
  fileHex?: string;
  headerHex?: string;
  header?: string;
  data?: number;
}

/** The bytes of a described file. */
export function hostileBytes(file: HostileFile): Uint8Array<ArrayBuffer> {
  if (file.fileHex !== undefined) return Uint8Array.fromHex(file.fileHex);
  const header = file.headerHex === undefined
    ? new TextEncoder().encode(file.header)
    : Uint8Array.fromHex(file.headerHex);
  const bytes = new Uint8Array(8 + header.byteLength + (file.data ?? 0));
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.byteLength), true);
  bytes.set(header, 8);
  return bytes;
}
