/** Runs one of this folder's Python scripts. */
import { fileURLToPath } from "node:url";

/** The variable in which `deno task test:python` names the interpreter that has the requirements. */
export const INTERPRETER_VARIABLE = "ETHER_TEST_PYTHON";

const interpreter = Deno.env.get(INTERPRETER_VARIABLE);

/** A test that needs Python; ignored where `deno task test:python` found none. */
export function pythonTest(name: string, run: () => Promise<void>): void {
  Deno.test({ name, ignore: interpreter === undefined, fn: run });
}

/**
 * Runs a script with one JSON argument.
 *
 * @returns the JSON that it printed
 */
export async function runPython<T>(script: string, argument: unknown): Promise<T> {
  const { success, stdout, stderr } = await new Deno.Command(interpreter!, {
    args: [fileURLToPath(new URL(script, import.meta.url)), JSON.stringify(argument)],
    env: { HF_HUB_OFFLINE: "1", TRANSFORMERS_VERBOSITY: "error", HF_HUB_DISABLE_PROGRESS_BARS: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${script}: ${decoder.decode(stderr)}`);
  return JSON.parse(decoder.decode(stdout)) as T;
}
