/** Runs the real server as a process, with the permissions that its task gives it. */
import denoJson from "../../deno.json" with { type: "json" };
import { REPOSITORY } from "./command_line.ts";

/** A server that is listening. */
export interface ServerProcess {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  readonly pid: number;
  readonly kill: (signal: Deno.Signal) => void;
  /** What it wrote so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Its exit code, when it has ended. */
  readonly ended: Promise<number>;
  /** Stops it, if it still runs. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A server that ended before it listened. */
export class ServerEnded extends Error {
  /** Its exit code. */
  readonly code: number;
  /** What it wrote on stderr. */
  readonly stderr: string;

  constructor(code: number, stderr: string) {
    super(`the server ended with ${code}: ${stderr}`);
    this.code = code;
    this.stderr = stderr;
  }
}

/** How a server is started. */
export interface ServerOptions {
  /** @default serve */
  readonly task?: "serve" | "serve:write";
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** The process behind `deno task serve ...args` on a free port. @throws {ServerEnded} */
export async function startServer(
  args: readonly string[],
  { task = "serve", env = {}, cwd = REPOSITORY }: ServerOptions = {},
): Promise<ServerProcess> {
  const flags = denoJson.tasks[task].command.split(" ").filter((word) => word.startsWith("--"));
  const port = args.includes("--port") ? [] : ["--port", "0"];
  return await listening(["run", ...flags, `${REPOSITORY}cli.ts`, "serve", ...port, ...args], env, cwd);
}

/** The process behind `deno serve main.ts` on a free port, with more flags of Deno's. @throws {ServerEnded} */
export async function startEntry(
  flags: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  const args = ["serve", "--host", "127.0.0.1", "--port", "0", ...flags, `${REPOSITORY}main.ts`];
  return await listening(args, env, REPOSITORY);
}

async function listening(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string,
): Promise<ServerProcess> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    // Nothing that this machine has set changes what is served.
    env: { NO_COLOR: "1", HF_ENDPOINT: "", HF_TOKEN: "", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const found = Promise.withResolvers<string>();
  const written = { stdout: "", stderr: "" };
  const collect = async (name: "stdout" | "stderr") => {
    for await (const text of child[name].pipeThrough(new TextDecoderStream())) {
      written[name] += text;
      const url = /listening on (http:\/\/\S+?)\/?\s/i.exec(written.stderr)?.[1];
      if (url !== undefined) found.resolve(url);
    }
  };
  const done = Promise.all([child.status, collect("stdout"), collect("stderr")]);
  const ended = done.then(([{ code }]) => code);
  ended.then((code) => found.reject(new ServerEnded(code, written.stderr)));
  const kill = (signal: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch {
      // It has ended by itself.
    }
  };
  const url = await found.promise;
  return {
    ...{ url, pid: child.pid, kill, ended, stdout: () => written.stdout, stderr: () => written.stderr },
    async [Symbol.asyncDispose]() {
      kill("SIGKILL");
      await ended;
    },
  };
}
