/** A server as a process of its own, with the permissions that `deno task serve` gives it. */
import { fileURLToPath } from "node:url";
import denoJson from "../../deno.json" with { type: "json" };

/** The repository. */
export const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));

/** A process that listens. */
export interface ServerProcess extends AsyncDisposable {
  /** Where it listens, without a slash at the end. */
  readonly url: string;
  /** Its exit code, after it was told to stop. */
  stop(): Promise<number>;
}

/** What a process serves. */
export interface ServedFolders {
  readonly models: string;
  readonly adapters: string;
}

/** Starts a server on a port that is free. @throws where it ends before it listens */
export async function startServer(
  { models, adapters }: ServedFolders,
  env: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  const flags = denoJson.tasks.serve.command.split(" ").filter((word) => word.startsWith("--"));
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", ...flags, `${REPOSITORY}cli.ts`, "serve"],
      ...["--models", models, "--adapters", adapters, "--port", "0", "-q"],
    ],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const read = readLines(child.stderr, resolve).then((text) => reject(new Error(`the server ended: ${text}`)));
  const url = await promise;
  let stopped: Promise<number> | null = null;
  const stop = () => {
    return stopped ??= (async () => {
      child.kill("SIGTERM");
      const { code } = await child.status;
      await read;
      return code;
    })();
  };
  return {
    url,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

/** Waits until a server can answer for all of its models. */
export async function untilReady({ url }: ServerProcess): Promise<void> {
  for (;;) {
    const response = await fetch(`${url}/readyz`);
    await response.body?.cancel();
    if (response.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Reads to the end, and tells of the line that says where the server listens. */
async function readLines(stream: ReadableStream<Uint8Array>, onListening: (url: string) => void): Promise<string> {
  let text = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream() as never) as ReadableStream<string>) {
    text += chunk;
    const url = /^listening on (http:\S+)$/m.exec(text)?.[1];
    if (url !== undefined) onListening(url);
  }
  return text;
}
