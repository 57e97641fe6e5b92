/** Hands steps to runners, each as soon as what it waits for is there. */
import { EtherError } from "../error.ts";
import { freeArray } from "./free_array.ts";
import type { ExpectedDigest, GroupId, GroupSteps, Step, Steps } from "./steps.ts";
import type { KnownSketch, ResidualResult, ResidualTask, Runner, Task, TaskResult } from "./task.ts";

/** What the caller is told. */
export interface StepEvents {
  readonly onBytes: (count: number) => void;
  /** Something that the user overruled, and should know. */
  readonly onWarning?: (message: string) => void;
  /** A share is written; `pieces` are its pieces' digests. */
  readonly onShare?: (file: number, start: number, result: TaskResult & { pieces: Uint8Array<ArrayBuffer> }) => void;
  /** Some blocks of a tensor are coded. */
  readonly onResidual?: (task: Omit<ResidualTask, "sketches">, result: ResidualResult) => void | Promise<void>;
}

/** A group on its way: its parts, and how many steps still want the sum. */
interface OpenGroup {
  readonly steps: GroupSteps;
  readonly parts: (Float64Array<ArrayBuffer> | null)[];
  missing: number;
  wanted: number;
  sketch: Float64Array<ArrayBuffer> | null;
}

/**
 * Runs every step once.
 *
 * @throws {EtherError} the first error of any step, after the steps that were running have ended
 */
export async function runSteps(
  { steps, groups }: Pick<Steps, "steps" | "groups">,
  runners: readonly Runner[],
  events: StepEvents,
  signal?: AbortSignal,
): Promise<void> {
  await new StepRun(steps, groups, events, signal).run(runners);
}

class StepRun {
  readonly #waiting: Step[];
  readonly #groups = new Map<GroupId, OpenGroup>();
  readonly #events: StepEvents;
  readonly #signal: AbortSignal | undefined;
  #failure: { readonly error: unknown } | null = null;
  /** Runners that found nothing ready. */
  #wake: (() => void)[] = [];

  constructor(
    steps: readonly Step[],
    groups: ReadonlyMap<GroupId, GroupSteps>,
    events: StepEvents,
    signal: AbortSignal | undefined,
  ) {
    this.#waiting = [...steps].reverse();
    this.#events = events;
    this.#signal = signal;
    for (const [id, group] of groups) {
      const parts = new Array<null>(group.parts).fill(null);
      this.#groups.set(id, { steps: group, parts, missing: group.parts, wanted: 0, sketch: null });
    }
    for (const { needs } of steps) {
      for (const id of needs) this.#groups.get(id)!.wanted++;
    }
  }

  async run(runners: readonly Runner[]): Promise<void> {
    await Promise.all(runners.map((runner) => this.#serve(runner)));
    if (this.#failure !== null) throw this.#failure.error;
  }

  async #serve(runner: Runner): Promise<void> {
    while (this.#failure === null && this.#waiting.length > 0) {
      const step = this.#takeReady();
      if (step === null) {
        await new Promise<void>((resolve) => this.#wake.push(resolve));
        continue;
      }
      try {
        this.#signal?.throwIfAborted();
        await this.#runStep(step, runner);
      } catch (error) {
        this.#failure ??= { error };
      }
      for (const wake of this.#wake.splice(0)) wake();
    }
  }

  /** The first step whose groups are finished: sums come before the shares that need them. */
  #takeReady(): Step | null {
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const step = this.#waiting[i]!;
      if (!step.needs.every((id) => this.#groups.get(id)!.sketch !== null)) continue;
      this.#waiting.splice(i, 1);
      return step;
    }
    return null;
  }

  async #runStep(step: Step, runner: Runner): Promise<void> {
    const { onBytes, onShare, onResidual } = this.#events;
    const sketches = step.needs.map((id): KnownSketch => {
      const { steps: { span, key }, sketch } = this.#groups.get(id)!;
      return { span, key, sketch: sketch! };
    });
    if ("makes" in step) {
      const { sketch } = await runner.run({ ...step.task, sketches }, () => {});
      this.#addPart(step.makes.group, step.makes.part, sketch);
    } else if ("expects" in step) {
      const { sha256 } = await runner.run(step.task, () => {});
      this.#compare(step.expects, sha256);
    } else if (step.task.kind === "residual") {
      await onResidual?.(step.task, await runner.run({ ...step.task, sketches }, onBytes));
    } else {
      const task = { ...step.task, sketches } satisfies Task;
      onShare?.(task.file, task.start, await runner.run(task, onBytes));
    }
    for (const id of step.needs) this.#release(id);
  }

  /** @throws {EtherError} `base_mismatch`, unless it is overruled */
  #compare({ name, sha256: expected, file, overruled }: ExpectedDigest, sha256: string): void {
    if (sha256 === expected) return;
    const message = `the base's bytes have SHA-256 ${sha256}, the adapter's had ${expected}`;
    if (overruled) return this.#events.onWarning?.(`${file}: ${name}: ${message}`);
    throw new EtherError("base_mismatch", message, {
      ...{ file, tensor: name, field: "base_fingerprint.targets" },
      hint: "this is not the base that the adapter was trained on; --allow-base-mismatch merges all the same",
    });
  }

  #addPart(id: GroupId, part: number, sketch: Float64Array<ArrayBuffer>): void {
    const group = this.#groups.get(id)!;
    group.parts[part] = sketch;
    if (--group.missing > 0) return;
    const total = new Float64Array(group.steps.sketchLength);
    for (const values of group.parts) {
      for (let i = 0; i < total.length; i++) total[i]! += values![i]!;
      freeArray(values!);
    }
    group.sketch = total;
    group.parts.length = 0;
  }

  /** A sketch that no step wants any more is dropped: memory stays flat however many tensors there are. */
  #release(id: GroupId): void {
    const group = this.#groups.get(id)!;
    if (--group.wanted > 0) return;
    freeArray(group.sketch!);
    this.#groups.delete(id);
  }
}
