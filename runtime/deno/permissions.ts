/** True where a path may be written without asking anybody; a server has nobody to ask. */
export function mayWrite(path: string): boolean {
  return Deno.permissions.querySync({ name: "write", path }).state === "granted";
}
