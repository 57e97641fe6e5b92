/**
 * `deno task test:python [flags of deno test]`: the tests that hold our files against torch, transformers and the
 * reference safetensors library.
 *
 * Python's packages go into `.venv`, once for each version of `tests/python/requirements.txt`. Where they cannot be
 * had, every test is skipped, the reason is said, and that is no failure.
 */
import { INTERPRETER_VARIABLE } from "../tests/python/python.ts";
import { runTests } from "./test.ts";

const ENVIRONMENT = ".venv";
const REQUIREMENTS = "tests/python/requirements.txt";
const INTERPRETER = `${Deno.cwd()}/${ENVIRONMENT}/bin/python`;

/** Holds the digest of the requirements that `.venv` was made for; written last: half an environment has none. */
const STAMP = `${ENVIRONMENT}/requirements.sha256`;

/** Why Python cannot be used; undefined if it can. */
async function prepareEnvironment(): Promise<string | undefined> {
  const digest = await sha256(await Deno.readFile(REQUIREMENTS));
  if (await readStamp() === digest) return undefined;

  await Deno.remove(ENVIRONMENT, { recursive: true }).catch(() => {});
  const python = Deno.env.get("PYTHON") ?? "python3";
  console.error(`making ${ENVIRONMENT} with ${python} for ${REQUIREMENTS} (some minutes, once)`);
  const problem = await run(python, ["-m", "venv", ENVIRONMENT]) ??
    await run(INTERPRETER, [
      ..."-m pip install --quiet --no-input --disable-pip-version-check --retries 1 --only-binary :all:".split(" "),
      "--requirement",
      REQUIREMENTS,
    ]) ??
    await run(INTERPRETER, ["-c", "import numpy, safetensors.torch, torch, transformers"]);
  if (problem === undefined) {
    await Deno.writeTextFile(STAMP, digest);
  } else {
    await Deno.remove(ENVIRONMENT, { recursive: true }).catch(() => {});
  }
  return problem;
}

/** Runs a command to its end; the reason if it failed. */
async function run(command: string, args: string[]): Promise<string | undefined> {
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command(command, { args, stdin: "null" }).output();
  } catch (error) {
    return `${command} cannot be run: ${error instanceof Error ? error.message : error}`;
  }
  if (output.success) return undefined;
  const text = new TextDecoder().decode(output.stdout) + new TextDecoder().decode(output.stderr);
  // pip's warnings about what it tried before are many; its errors, and Python's last words, are what matters.
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const errors = lines.filter((line) => /error/i.test(line) && !line.startsWith("WARNING"));
  const reason = errors.length > 0 ? errors.join("\n") : lines.slice(-12).join("\n");
  return `${command} ${args.slice(0, 3).join(" ")} failed:\n${reason}`;
}

async function readStamp(): Promise<string | undefined> {
  return await Deno.readTextFile(STAMP).catch(() => undefined);
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

if (import.meta.main) {
  const problem = await prepareEnvironment();
  const environment: Record<string, string> = problem === undefined ? { [INTERPRETER_VARIABLE]: INTERPRETER } : {};
  if (problem !== undefined) console.log(`the Python tests are skipped: ${problem}`);
  Deno.exit(await runTests(["tests/python", ...Deno.args], environment));
}
