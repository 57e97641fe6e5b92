/** Runs the real `cli.ts` as a process, with the permissions that its task gives it. */
import { fileURLToPath } from "node:url";
import { assertEquals, assertMatch } from "@std/assert";
import denoJson from "../../deno.json" with { type: "json" };
import { newPath } from "./made_files.ts";

/** The repository. */
export const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));

/** How a process ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line on stderr. */
  readonly lastLine: string;
}

/** Where and with what a process runs. */
export interface Surroundings {
  /** @default an empty temporary folder */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A process that is still running. */
export interface Running {
  readonly pid: number;
  readonly kill: (signal: Deno.Signal) => void;
  readonly outcome: Promise<Outcome>;
}

/** The process behind `deno task <command> ...args`, without the task runner. */
export function start(args: readonly string[], { cwd, env = {} }: Surroundings = {}): Running {
  const tasks: Readonly<Record<string, unknown>> = denoJson.tasks;
  const named = tasks[args[0] ?? ""] as { command: string } | undefined;
  const words = (named ?? denoJson.tasks.merge).command.split(" ");
  const flags = words.filter((word) => word.startsWith("--"));
  // A task may be a command with more rights, under a name of its own.
  const command = named === undefined ? args.slice(0, 1) : words.slice(words.indexOf("cli.ts") + 1);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...flags, `${REPOSITORY}cli.ts`, ...command, ...args.slice(1)],
    cwd: cwd ?? (Deno.mkdirSync(empty ??= newPath("empty"), { recursive: true }), empty),
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return { pid: child.pid, kill: (signal) => child.kill(signal), outcome: child.output().then(outcomeOf) };
}

let empty: string | undefined;

/** Runs a command to its end. */
export async function run(args: readonly string[], surroundings?: Surroundings): Promise<Outcome> {
  return await start(args, surroundings).outcome;
}

/** Reads what a process printed. */
export function outcomeOf(
  output: { readonly code: number; readonly stdout: Uint8Array; readonly stderr: Uint8Array },
): Outcome {
  const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
  const lastLine = stderr!.trimEnd().split("\n").at(-1)!;
  return { code: output.code, stdout: stdout!, stderr: stderr!, lastLine };
}

/** A refusal: its exit code, its code, and that the last line on stderr says it; nothing on stdout. */
export function assertRefused(outcome: Outcome, code: number, line: string | RegExp): void {
  const pattern = typeof line === "string" ? new RegExp(`^error: ${line}: `) : line;
  assertMatch(outcome.lastLine, pattern);
  assertEquals([outcome.code, outcome.stdout], [code, ""], outcome.stderr);
  assertEquals(outcome.stderr.split("\n").filter((text) => /^\s+at /.test(text)), [], "a stack trace");
}

/** A success. */
export function assertDone(outcome: Outcome): void {
  assertEquals(outcome.code, 0, outcome.stderr);
}

/** `merge` with its three paths, and more flags. */
export function mergeArgs(base: string, adapter: string, output: string, ...more: string[]): string[] {
  return ["merge", "--base", base, "--adapter", adapter, "--output", output, ...more];
}
