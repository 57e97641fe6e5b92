/** A short trial on start: which products are faster on the GPU than here? */
import { type LinearJob, multiplyLinear } from "../apply/linear.ts";
import { PreparedOps } from "../apply/prepared_ops.ts";
import type { StoredWeight } from "../apply/weight_rows.ts";
import { EtherError } from "../error.ts";
import { MemorySource } from "../io/source.ts";
import { loadKernel } from "../kernel/load.ts";
import { Arena } from "../methods/arena.ts";
import { TensorReader } from "../methods/tensor_reader.ts";
import type { Gpu } from "./gpu.ts";
import { WebGpuKernel } from "./kernel.ts";
import { multiplyResident } from "./resident_linear.ts";
import { ResidentWeights } from "./resident_weights.ts";

/** Rows and columns of the matrix that both are tried with. */
const SIZE = 2048;
/** Runs of each; the fastest counts. */
const RUNS = 3;
/** Tokens of the larger product. */
const TOKENS = 64;

/** Milliseconds of products with the trial's matrix: of one token, and of 64. */
export interface TrialTimes {
  readonly gpu: readonly [one: number, many: number];
  readonly here: readonly [one: number, many: number];
}

/** Whether a product is faster on the device. */
export type WorthWhile = (tokenCount: number, inCount: number, outCount: number) => boolean;

/** What came of a trial, in words. */
export function trialText({ gpu, here }: TrialTimes, name: string): string {
  const inWords = ([one, many]: readonly [number, number]) => `${many.toFixed(1)} (${one.toFixed(1)}) ms`;
  return `${TOKENS} tokens (one token) times ${SIZE} × ${SIZE} take ${inWords(gpu)} on the GPU ${name}, ` +
    `${inWords(here)} on the CPU`;
}

/** Times both, the fastest of some runs. @throws {EtherError} where the device gives no product, or a wrong one */
export async function runTrial(gpu: Gpu): Promise<TrialTimes> {
  const kernel = new WebGpuKernel(gpu, loadKernel());
  const arena = new Arena(kernel);
  const refuse = () => {
    throw new TypeError("a trial has no adapter");
  };
  const shop = { kernel, arena, ops: new PreparedOps({ kernel, arena, reader: new TensorReader(refuse) }) };
  // 1.0 in bf16; how long it takes does not depend on the values.
  const bytes = new Uint8Array(new Uint16Array(SIZE * SIZE).fill(0x3f80).buffer);
  const weight: StoredWeight = {
    ...{ source: new MemorySource("trial", bytes), offset: 0, dtype: "BF16", storedInOut: false },
    ...{ inCount: SIZE, outCount: SIZE },
  };
  const weights = new ResidentWeights(gpu, Infinity);
  const fault = (what: string) => {
    return new EtherError("unsupported", `the GPU ${gpu.name} ${what} in a trial`, { field: "webgpu" });
  };
  try {
    const resident = await weights.get({ openSource: refuse, locator: "trial", offset: 0 }, weight);
    const onGpu = async (job: LinearJob) => {
      if (resident === null || !await multiplyResident(job, resident, shop, kernel)) throw fault("gives no product");
      if (job.y.some((value) => value !== SIZE)) throw fault("gives a wrong product");
    };
    const onCpu = async (job: LinearJob) => {
      kernel.pause();
      await multiplyLinear(job, shop).finally(() => kernel.resume());
    };
    const times = async (run: (job: LinearJob) => Promise<void>): Promise<[number, number]> => {
      return [await fastest(() => run(jobOf(weight, 1))), await fastest(() => run(jobOf(weight, TOKENS)))];
    };
    return { gpu: await times(onGpu), here: await times(onCpu) };
  } finally {
    weights.close();
  }
}

/**
 * Tells from a trial which products the device wins. There a product takes a time that no size changes, and one for each
 * token; here one for going over the matrix, and one for each token. All but the first grow with the matrix.
 */
export function winsFrom({ gpu, here }: TrialTimes): WorthWhile {
  const perToken = ([one, many]: readonly [number, number]) => Math.max(0, (many - one) / (TOKENS - 1));
  const [onGpu, onCpu] = [perToken(gpu), perToken(here)];
  return (tokenCount, inCount, outCount) => {
    const size = inCount * outCount / SIZE ** 2;
    return gpu[0] - onGpu + size * tokenCount * onGpu < size * (here[0] - onCpu + tokenCount * onCpu);
  };
}

function jobOf(weight: StoredWeight, tokenCount: number): LinearJob {
  return {
    ...{ weight, adapters: [], groups: [{ adapters: [], tokens: Array.from({ length: tokenCount }, (_, t) => t) }] },
    x: new Float32Array(tokenCount * SIZE).fill(1),
    y: new Float32Array(tokenCount * SIZE),
  };
}

async function fastest(run: () => Promise<void>): Promise<number> {
  let best = Infinity;
  for (let done = 0; done < RUNS; done++) {
    const start = performance.now();
    await run();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}
