/** Runtimes that come as npm packages, installed once for each pair of versions outside of the repository. */

/** Where the task says that the packages are. */
export const PACKAGES_VARIABLE = "ETHER_RUNTIME_PACKAGES";

/** The versions that are tested. */
export const PACKAGES: Readonly<Record<string, string>> = { bun: "1.4.5", workerd: "1.20261117.1" };

/** A runtime's executable; null where its package is not installed, or has none for this machine. */
export async function executableOf(name: "bun" | "workerd"): Promise<string | null> {
  const root = Deno.env.get(PACKAGES_VARIABLE);
  if (root === undefined) return null;
  // A package for each platform: npm installs those that may run here.
  const scope = `${root}/node_modules/${name === "bun" ? "@oven" : "@cloudflare"}`;
  const found = await Array.fromAsync(Deno.readDir(scope)).catch(() => []);
  for (
    const entry of found.filter((entry) => entry.name.startsWith(`${name}-`)).sort((a, b) => a.name < b.name ? -1 : 1)
  ) {
    const path = `${scope}/${entry.name}/bin/${name}`;
    const runs = await new Deno.Command(path, { args: ["--version"], stdin: "null" }).output()
      .then(({ success }) => success, () => false);
    if (runs) return path;
  }
  return null;
}
