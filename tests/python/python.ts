/** Runs one of this folder's Python scripts. */
import { fileURLToPath } from "node:url";

/** The variable in which `deno task test:python` names the interpreter that has the requirements. */
export const INTERPRETER_VARIABLE = "ETHER_TEST_PYTHON";

/** The same for an interpreter with the next version of huggingface_hub, and nothing else. */
export const HUB_INTERPRETER_VARIABLE = "ETHER_TEST_PYTHON_HUB";

const interpreters = {
  all: Deno.env.get(INTERPRETER_VARIABLE),
  hub: Deno.env.get(HUB_INTERPRETER_VARIABLE),
};

/** Which interpreter. */
export type Interpreter = keyof typeof interpreters;

/** A test that needs Python; ignored where `deno task test:python` found none. */
export function pythonTest(name: string, run: () => Promise<void>, interpreter: Interpreter = "all"): void {
  Deno.test({ name, ignore: interpreters[interpreter] === undefined, fn: run });
}

/** How a script runs. */
export interface PythonOptions {
  /** @default "all" */
  readonly interpreter?: Interpreter;
  /** Variables to add. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Runs a script with one JSON argument. Nothing is asked of any host, unless `env` names one.
 *
 * @returns the JSON that it printed
 */
export async function runPython<T>(
  script: string,
  argument: unknown,
  { interpreter = "all", env = {} }: PythonOptions = {},
): Promise<T> {
  const { success, stdout, stderr } = await new Deno.Command(interpreters[interpreter]!, {
    args: [fileURLToPath(new URL(script, import.meta.url)), JSON.stringify(argument)],
    env: { HF_HUB_OFFLINE: "1", TRANSFORMERS_VERBOSITY: "error", HF_HUB_DISABLE_PROGRESS_BARS: "1", ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${script}: ${decoder.decode(stderr)}`);
  return JSON.parse(decoder.decode(stdout)) as T;
}
