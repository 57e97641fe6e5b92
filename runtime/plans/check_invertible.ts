import { EtherError } from "../error.ts";
import { type Amplification, NO_INVERSE, type Stage } from "../methods/method.ts";

/**
 * An inverse that enlarges rounding errors more than this is refused: in bf16 a merged element is right to one part in
 * 512, so that a hundred times that is a fifth of the element. ETHER reaches it within 0.005 of strength 1/2, ETHER+
 * where the strength times the sine of the angle between u and v is above 0.98.
 */
export const MAX_AMPLIFICATION = 100;

/**
 * Refuses to undo what left too little to undo it from. What several adapters do to one tensor multiplies.
 *
 * @param exact  a receipt puts right whatever is enlarged: then each factor alone only has to have an inverse
 * @returns how much rounding errors are enlarged in the worst tensor; 1 where nothing is
 * @throws {EtherError} `singular`
 */
export function checkInvertible(stages: readonly Stage[], exact: boolean): number {
  const totals = new Map<Stage["tensor"], { factor: number; worst: Amplification }>();
  for (const { tensor, amplification } of stages) {
    if (amplification === undefined) continue;
    const { file, block, ofBlock } = amplification;
    if (ofBlock >= NO_INVERSE) {
      const message = `it has no inverse: a direction of ${tensor.info.name} is lost; worst is block ${block}`;
      throw new EtherError("singular", message, { file, tensor: amplification.tensor, hint: "keep the base" });
    }
    const before = totals.get(tensor);
    const factor = amplification.factor * (before?.factor ?? 1);
    const worst = before === undefined || amplification.factor > before.worst.factor ? amplification : before.worst;
    totals.set(tensor, { factor, worst });
  }
  for (const [{ info }, { factor, worst: { file, tensor, block } }] of totals) {
    if (exact || factor <= MAX_AMPLIFICATION) continue;
    const message =
      `undoing it would enlarge rounding errors in ${info.name} ${factor.toPrecision(3)} times; at most ` +
      `${MAX_AMPLIFICATION} times is allowed without a receipt; worst is block ${block}`;
    throw new EtherError("singular", message, { file, tensor, hint: "merge with --receipt, and undo with it" });
  }
  return Math.max(1, ...[...totals.values()].map(({ factor }) => factor));
}
