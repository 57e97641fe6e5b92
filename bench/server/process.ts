/** Servers as processes of their own, and what the kernel of the operating system says of them. */
import denoJson from "../../deno.json" with { type: "json" };

/** A server that answers. */
export interface RunningServer extends AsyncDisposable {
  readonly url: string;
  /** Milliseconds from the start of the process to its first line about a port. */
  readonly startMs: number;
  /** The high-water mark of its resident memory so far, in bytes. */
  peakBytes(): number;
}

const ROOT = new URL("../../", import.meta.url).pathname;

/** What `deno task serve` runs, on a free port. */
export function serveCommand(models: string, adapters: string, ...flags: string[]): string[] {
  const words = denoJson.tasks.serve.command.split(" ");
  const command = words.map((word) => word === "deno" ? Deno.execPath() : word === "cli.ts" ? `${ROOT}cli.ts` : word);
  return [...command, "--models", models, "--adapters", adapters, "--port", "0", "-q", ...flags];
}

/** The plain server of one file. */
export function plainCommand(path: string): string[] {
  return [Deno.execPath(), "run", "--allow-read", "--allow-net", `${ROOT}bench/server/plain.ts`, path];
}

/** `deno serve main.ts` on a free port, as an edge node runs it; the folders are variables. */
export function entryCommand(): string[] {
  const rights = ["--allow-read", "--allow-env", "--allow-net"];
  return [Deno.execPath(), "serve", "--no-prompt", "--host", "127.0.0.1", "--port", "0", ...rights, `${ROOT}main.ts`];
}

/** Starts a server and waits until it says where it listens. */
export async function startServer(
  [executable, ...args]: readonly string[],
  env: Record<string, string> = {},
): Promise<RunningServer> {
  const started = performance.now();
  const child = new Deno.Command(executable!, { args, env, stdout: "null", stderr: "piped" }).spawn();
  const lines = child.stderr.pipeThrough(new TextDecoderStream());
  let text = "";
  let port: string | undefined;
  for await (const part of lines.values({ preventCancel: true })) {
    text += part;
    port = /listening on (?:http:\/\/[^:]+:)?(\d+)/i.exec(text)?.[1];
    if (port !== undefined) break;
  }
  if (port === undefined) throw new Error(`${args.join(" ")}: ${text}`);
  const startMs = performance.now() - started;
  const drained = lines.pipeTo(new WritableStream());
  return {
    url: `http://127.0.0.1:${port}`,
    startMs,
    peakBytes() {
      const status = Deno.readTextFileSync(`/proc/${child.pid}/status`);
      return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
      await drained.catch(() => {});
    },
  };
}
