/**
 * `deno task test:python [flags of deno test]`: the tests that hold our files against torch, transformers and the
 * reference safetensors library.
 *
 * Python's packages go into `.venv`, once for each version of `tests/python/requirements.txt`. Where they cannot be
 * had, every test that needs them is skipped, the reason is said, and that is no failure.
 */
import { HUB_INTERPRETER_VARIABLE, INTERPRETER_VARIABLE } from "../tests/python/python.ts";
import { runTests } from "./test.ts";

/** A Python environment that the tests use. */
interface Environment {
  readonly folder: string;
  readonly requirements: string;
  /** Imported once, to see that it can be. */
  readonly modules: string;
  /** The variable by which the tests find its interpreter. */
  readonly variable: string;
}

/** The second lies in the first: made anew with it. */
const ENVIRONMENTS: readonly Environment[] = [
  {
    folder: ".venv",
    requirements: "tests/python/requirements.txt",
    modules: "numpy, safetensors.torch, torch, transformers, huggingface_hub, hf_xet",
    variable: INTERPRETER_VARIABLE,
  },
  {
    folder: ".venv/hub-2",
    requirements: "tests/python/requirements_hub_2.txt",
    modules: "huggingface_hub, hf_xet",
    variable: HUB_INTERPRETER_VARIABLE,
  },
];

function interpreterOf({ folder }: Environment): string {
  return `${Deno.cwd()}/${folder}/bin/python`;
}

/** Why an environment cannot be used; undefined if it can. */
async function prepareEnvironment(environment: Environment): Promise<string | undefined> {
  const { folder, requirements, modules } = environment;
  // Holds the digest of the requirements that it was made for; written last: half an environment has none.
  const stamp = `${folder}/requirements.sha256`;
  const digest = await sha256(await Deno.readFile(requirements));
  if (await Deno.readTextFile(stamp).catch(() => undefined) === digest) return undefined;

  await Deno.remove(folder, { recursive: true }).catch(() => {});
  const python = Deno.env.get("PYTHON") ?? "python3";
  const interpreter = interpreterOf(environment);
  console.error(`making ${folder} with ${python} for ${requirements} (some minutes, once)`);
  const problem = await run(python, ["-m", "venv", folder]) ??
    await run(interpreter, [
      ..."-m pip install --quiet --no-input --disable-pip-version-check --retries 1 --only-binary :all:".split(" "),
      "--requirement",
      requirements,
    ]) ??
    await run(interpreter, ["-c", `import ${modules}`]);
  if (problem === undefined) {
    await Deno.writeTextFile(stamp, digest);
  } else {
    await Deno.remove(folder, { recursive: true }).catch(() => {});
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

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

if (import.meta.main) {
  const variables: Record<string, string> = {};
  for (const environment of ENVIRONMENTS) {
    const problem = await prepareEnvironment(environment);
    if (problem === undefined) variables[environment.variable] = interpreterOf(environment);
    else console.log(`the tests of ${environment.requirements} are skipped: ${problem}`);
  }
  Deno.exit(await runTests(["tests/python", ...Deno.args], variables));
}
