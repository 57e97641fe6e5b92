/** For projects that import AssemblyScript with `?wasm`: reference this file, or copy it. */
declare module "*.ts?wasm" {
  /** The compiled WebAssembly module. */
  const bytes: Uint8Array<ArrayBuffer>;
  export default bytes;
}
