import { EtherError } from "../error.ts";
import type { Amplification, Stage } from "../methods/method.ts";

/**
 * An inverse that enlarges rounding errors more than this is refused: in bf16 a merged element is right to one part in
 * 512, so that a hundred times that is a fifth of the element. ETHER reaches it within 0.005 of strength 1/2, ETHER+
 * where the strength times the sine of the angle between u and v is above 0.98.
 */
export const MAX_AMPLIFICATION = 100;

/** Vectors in f32 do not tell a condition above this from infinity. */
export const NO_INVERSE: number = 2 ** 24;

/**
 * Refuses to undo what left too little to undo it from. What several adapters do to one tensor multiplies.
 *
 * @param exact  a receipt puts right whatever is enlarged: then there only has to be an inverse
 * @throws {EtherError} `singular`
 */
export function checkInvertible(stages: readonly Stage[], exact: boolean): void {
  const totals = new Map<Stage["tensor"], { factor: number; worst: Amplification }>();
  for (const { tensor, amplification } of stages) {
    if (amplification === undefined) continue;
    const before = totals.get(tensor);
    const factor = amplification.factor * (before?.factor ?? 1);
    const worst = before === undefined || amplification.factor > before.worst.factor ? amplification : before.worst;
    totals.set(tensor, { factor, worst });
  }
  for (const [{ info }, { factor, worst }] of totals) {
    if (exact ? factor < NO_INVERSE : factor <= MAX_AMPLIFICATION) continue;
    const enlarges = `undoing it would enlarge rounding errors in ${info.name} ${factor.toPrecision(3)} times`;
    const what = factor < NO_INVERSE
      ? `${enlarges}; at most ${MAX_AMPLIFICATION} times is allowed without a receipt`
      : `it has no inverse: a direction of ${info.name} is lost`;
    throw new EtherError("singular", `${what}; worst is block ${worst.block}`, {
      file: worst.file,
      tensor: worst.tensor,
      hint: factor < NO_INVERSE ? "merge with --receipt, and undo with it" : "keep the base",
    });
  }
}
