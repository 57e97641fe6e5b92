/** Each host runs a module of its own in a folder, and prints, answers or returns what the module made, as JSON. */
import { Chromium } from "../browser/chromium.ts";

/** Runs `<folder>/<name>`, which prints JSON on its last line. */
export async function runProcess(executable: string, args: readonly string[], folder: string): Promise<unknown> {
  const { success, stdout, stderr } = await new Deno.Command(executable, {
    args: [...args],
    ...{ cwd: folder, stdin: "null", env: { NO_COLOR: "1" } },
  }).output();
  const printed = new TextDecoder().decode(stdout);
  if (!success) throw new Error(`${executable} failed:\n${printed}${new TextDecoder().decode(stderr)}`);
  return JSON.parse(printed.trim().split("\n").at(-1)!);
}

/** How workerd takes a file that a module imports. */
export type WorkerModule = "esModule" | "data" | "wasm" | "json";

/** What a worker answered, and what its process held at most; null where the system does not tell. */
export interface WorkerAnswer {
  readonly response: Response;
  readonly peakBytes: number | null;
}

/**
 * Serves a worker and asks it once.
 *
 * @param modules   the files that it is made of, the first is its entry
 * @param bindings  texts of its environment
 */
export async function askWorker(
  executable: string,
  folder: string,
  modules: Readonly<Record<string, WorkerModule>>,
  bindings: Readonly<Record<string, string>> = {},
): Promise<WorkerAnswer> {
  const port = freePort();
  const list = Object.entries(modules).map(([name, kind]) => `(name = "${name}", ${kind} = embed "${name}")`);
  const texts = Object.entries(bindings).map(([name, text]) => `(name = "${name}", text = "${text}")`);
  await Deno.writeTextFile(
    `${folder}/config.capnp`,
    `using Workerd = import "/workerd/workerd.capnp";
    const config :Workerd.Config = (
      services = [
        (name = "main", worker = .main),
        (name = "internet", network = (allow = ["private", "public"])),
      ],
      sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
    );
    const main :Workerd.Worker = (
      modules = [${list.join(", ")}],
      bindings = [${texts.join(", ")}],
      compatibilityDate = "2026-07-01",
    );`,
  );
  const child = new Deno.Command(executable, {
    args: ["serve", "config.capnp"],
    ...{ cwd: folder, stdin: "null", stdout: "null", stderr: "piped" },
  }).spawn();
  const said = new Response(child.stderr).text();
  let ended = false;
  child.status.then(() => ended = true);
  try {
    for (;;) {
      try {
        const response = await fetch(`http://127.0.0.1:${port}/`);
        const whole = new Response(await response.arrayBuffer(), { status: response.status });
        return { response: whole, peakBytes: await peakOf(child.pid) };
      } catch (error) {
        // Until it listens; what cannot start ends.
        if (ended) throw new Error(`workerd ended: ${await said}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  } finally {
    if (!ended) child.kill("SIGTERM");
    await child.status;
    await said;
  }
}

async function peakOf(pid: number): Promise<number | null> {
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/status`], stderr: "null" }).output();
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(new TextDecoder().decode(stdout));
  return line === null ? null : Number(line[1]) * 1024;
}

/** Serves a folder, and gives what an expression is in a page of it. */
export async function evaluateInPage(executable: string, folder: string, expression: string): Promise<unknown> {
  const types: Readonly<Record<string, string>> = {
    js: "text/javascript",
    html: "text/html",
    wasm: "application/wasm",
  };
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/") {
      return new Response("<!doctype html><title>core</title>", { headers: { "content-type": "text/html" } });
    }
    const file = await Deno.readFile(folder + pathname).catch(() => null);
    const type = types[pathname.slice(pathname.lastIndexOf(".") + 1)] ?? "application/octet-stream";
    return file === null
      ? new Response(null, { status: 404 })
      : new Response(file, { headers: { "content-type": type } });
  });
  try {
    await using browser = await Chromium.start(executable);
    await using page = await browser.open(`http://127.0.0.1:${server.addr.port}/`);
    return await page.evaluate(expression);
  } finally {
    await server.shutdown();
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
