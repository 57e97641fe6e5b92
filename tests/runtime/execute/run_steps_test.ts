/** Scheduling, with runners that only say what they were asked. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { EtherError } from "../../../runtime/error.ts";
import { runAll } from "../../../runtime/execute/crew.ts";
import { runSteps } from "../../../runtime/execute/run_steps.ts";
import { sketchKey } from "../../../runtime/execute/sketches.ts";
import type { GroupSteps, Step } from "../../../runtime/execute/steps.ts";
import type { DigestTask, Runner, Task, TaskResult } from "../../../runtime/execute/task.ts";

/** What a fake runner does with a task; the k-th microtask is when it ends. */
type Act = (task: Task) => TaskResult | Promise<TaskResult>;

class FakeRunner implements Runner {
  busy = false;
  readonly #act: Act;

  constructor(act: Act) {
    this.#act = act;
  }

  async run<T extends Task>(task: T): Promise<TaskResult<T>> {
    assert(!this.busy, "one task at a time");
    this.busy = true;
    try {
      return await this.#act(task) as TaskResult<T>;
    } finally {
      this.busy = false;
    }
  }

  close(): void {}
}

const EVENTS = { onBytes: () => {}, onShare: () => {} };

function shareStep(start: number, needs: readonly string[]): Step {
  return { task: { kind: "share", file: 0, start, end: start + 1 }, needs };
}

function sumStep(group: string, part: number, needs: readonly string[]): Step {
  const task = { kind: "sum", file: 0, span: 0, stage: 0, op: Number(group), rows: { start: part, count: 1 } } as const;
  return { task, needs, makes: { group, part } };
}

/** Groups whose parts need some earlier groups, and shares that need some of all. */
const graphs = fc.record({
  groups: fc.array(
    fc.record({ parts: fc.integer({ min: 1, max: 4 }), needs: fc.array(fc.nat({ max: 9 }), { maxLength: 3 }) }),
    { maxLength: 7 },
  ),
  shares: fc.array(fc.array(fc.nat({ max: 9 }), { maxLength: 4 }), { minLength: 1, maxLength: 8 }),
}).map(({ groups, shares }) => {
  const steps: Step[] = [];
  const byId = new Map<string, GroupSteps>();
  const earlier = (picks: readonly number[], count: number) =>
    count === 0 ? [] : [...new Set(picks.map((pick) => String(pick % count)))];
  // Only groups that somebody needs exist.
  const wanted = new Set<string>();
  const shareNeeds = shares.map((picks) => earlier(picks, groups.length));
  for (const id of shareNeeds.flat()) wanted.add(id);
  for (let i = groups.length - 1; i >= 0; i--) {
    if (wanted.has(String(i))) { for (const id of earlier(groups[i]!.needs, i)) wanted.add(id); }
  }
  for (const [i, { parts, needs }] of groups.entries()) {
    const id = String(i);
    if (!wanted.has(id)) continue;
    byId.set(id, { id, span: 0, key: sketchKey(0, i, 0), sketchLength: 2, parts });
    for (let part = 0; part < parts; part++) steps.push(sumStep(id, part, earlier(needs, i)));
  }
  for (const [start, needs] of shareNeeds.entries()) steps.push(shareStep(start, needs));
  return { steps, groups: byId };
});

/** Lets other runners go on for a while that depends on the task. */
async function pause(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}

Deno.test("runSteps: every step runs once, with the sums that it needs, whatever ends first", async () => {
  await fc.assert(
    fc.asyncProperty(
      graphs,
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.nat({ max: 20 }), { minLength: 5 }),
      async (graph, runnerCount, pauses) => {
        const started: Task[] = [];
        const act: Act = async (task) => {
          started.push(structuredClone(task));
          await pause(pauses[started.length % pauses.length]!);
          if (task.kind === "share") return { pieces: new Uint8Array(32), overflows: [] };
          assert(task.kind === "sum");
          return { sketch: Float64Array.of(10 ** task.rows.start, task.op) };
        };
        const shares: number[] = [];
        const onShare = (_: number, start: number) => shares.push(start);
        const runners = Array.from({ length: runnerCount }, () => new FakeRunner(act));
        await runSteps(graph, runners, { ...EVENTS, onShare });
        assertEquals(started.length, graph.steps.length);
        const shareCount = graph.steps.filter(({ task }) => task.kind === "share").length;
        assertEquals(shares.sort((a, b) => a - b), Array.from({ length: shareCount }, (_, i) => i));
        for (const task of started) {
          if (task.kind !== "share" && task.kind !== "sum") throw new Error(task.kind);
          const step = graph.steps.find(({ task: own }) =>
            own.kind === task.kind &&
            (task.kind === "share"
              ? (own as typeof task).start === task.start
              : (own as typeof task).op === task.op && (own as typeof task).rows.start === task.rows.start)
          )!;
          const expected = step.needs.map((id) => {
            const { parts } = graph.groups.get(id)!;
            const total = Number("1".repeat(parts));
            return { span: 0, key: sketchKey(0, Number(id), 0), sketch: Float64Array.of(total, parts * Number(id)) };
          });
          assertEquals(task.sketches, expected);
        }
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("runSteps: the parts of a sum are added in their order, whichever comes first", async () => {
  const parts = [1e16, 1, -1e16];
  for (const order of [[0, 1, 2], [2, 0, 1], [1, 2, 0]]) {
    const steps = [...order.map((part) => sumStep("0", part, [])), shareStep(0, ["0"])];
    const groups = new Map([["0", { id: "0", span: 0, key: sketchKey(0, 0, 0), sketchLength: 1, parts: 3 }]]);
    let sum: number | undefined;
    const act: Act = (task) => {
      if (task.kind === "sum") return { sketch: Float64Array.of(parts[task.rows.start]!) };
      sum = task.kind === "share" ? task.sketches[0]!.sketch[0] : undefined;
      return { pieces: new Uint8Array(), overflows: [] };
    };
    await runSteps({ steps, groups }, [new FakeRunner(act)], EVENTS);
    assertEquals(sum, (1e16 + 1) - 1e16);
  }
});

Deno.test("runSteps: the first error wins, nothing new is begun, and what was running is awaited", async () => {
  for (const runnerCount of [1, 2, 3]) {
    const steps = Array.from({ length: 9 }, (_, start) => shareStep(start, []));
    let running = 0;
    let begun = 0;
    const act: Act = async (task) => {
      begun++;
      running++;
      await pause(task.kind === "share" ? 3 * task.start : 0);
      running--;
      if (task.kind === "share" && task.start === 1) throw new Error("first");
      if (task.kind === "share" && task.start === 2) throw new Error("second");
      return { pieces: new Uint8Array(), overflows: [] };
    };
    const runners = Array.from({ length: runnerCount }, () => new FakeRunner(act));
    await assertRejects(() => runSteps({ steps, groups: new Map() }, runners, EVENTS), Error, "first");
    assertEquals(running, 0);
    assert(begun <= 2 + runnerCount, `${begun} steps were begun`);
  }
});

Deno.test("runSteps: an error of a sum ends those who wait for it", async () => {
  const steps = [sumStep("0", 0, []), shareStep(0, ["0"]), shareStep(1, ["0"])];
  const groups = new Map([["0", { id: "0", span: 0, key: sketchKey(0, 0, 0), sketchLength: 1, parts: 1 }]]);
  const act: Act = async (task) => {
    await pause(5);
    if (task.kind === "sum") throw new Error("disk");
    throw new Error("a share ran without its sum");
  };
  const runners = [new FakeRunner(act), new FakeRunner(act), new FakeRunner(act)];
  await assertRejects(() => runSteps({ steps, groups }, runners, EVENTS), Error, "disk");
});

Deno.test("runSteps: an abort stops before the next step, with the signal's reason", async () => {
  const abort = new AbortController();
  let begun = 0;
  const act: Act = () => {
    if (++begun === 2) abort.abort(new Error("enough"));
    return { pieces: new Uint8Array(), overflows: [] };
  };
  const steps = Array.from({ length: 9 }, (_, start) => shareStep(start, []));
  const run = () => runSteps({ steps, groups: new Map() }, [new FakeRunner(act)], EVENTS, abort.signal);
  await assertRejects(run, Error, "enough");
  assertEquals(begun, 2);
});

Deno.test("runSteps: a listener that throws ends the run with its error", async () => {
  const onShare = () => {
    throw new Error("no room");
  };
  const runner = new FakeRunner(() => ({ pieces: new Uint8Array(), overflows: [] }));
  const steps = [shareStep(0, []), shareStep(1, [])];
  await assertRejects(() => runSteps({ steps, groups: new Map() }, [runner], { ...EVENTS, onShare }), Error, "no room");
});

Deno.test("runSteps: bytes that are not those an adapter vouches for are base_mismatch", async () => {
  const task: DigestTask = { kind: "digest", locator: "base", offset: 0, byteLength: 1 };
  const step = (sha256: string): Step => ({
    task,
    needs: [],
    expects: { name: "w", sha256, file: "config", overruled: false },
  });
  const runner = new FakeRunner(() => ({ sha256: "aa" }));
  await runSteps({ steps: [step("aa")], groups: new Map() }, [runner], EVENTS);
  const error = await assertRejects(
    () => runSteps({ steps: [step("bb")], groups: new Map() }, [runner], EVENTS),
    EtherError,
  );
  assertEquals([error.code, error.tensor, error.file], ["base_mismatch", "w", "config"]);
});

Deno.test("runSteps: a mismatch that the user overruled is a warning that shows both digests", async () => {
  const task: DigestTask = { kind: "digest", locator: "base", offset: 0, byteLength: 1 };
  const expects = { name: "w", sha256: "bb", file: "config", overruled: true };
  const warnings: string[] = [];
  const events = { ...EVENTS, onWarning: (message: string) => void warnings.push(message) };
  await runSteps({ steps: [{ task, needs: [], expects }], groups: new Map() }, [
    new FakeRunner(() => ({ sha256: "aa" })),
  ], events);
  assertEquals(warnings, ["config: w: the base's bytes have SHA-256 aa, the adapter's had bb"]);
});

Deno.test("runAll: results in the order of the tasks, for any number of runners", async () => {
  const tasks = Array.from({ length: 12 }, (_, offset): DigestTask => {
    return { kind: "digest", locator: "x", offset, byteLength: 1 };
  });
  const act: Act = async (task) => {
    if (task.kind !== "digest") throw new Error(task.kind);
    await pause(task.offset * 7 % 5);
    return { sha256: String(task.offset) };
  };
  for (const runnerCount of [1, 2, 5, 20]) {
    const runners = Array.from({ length: runnerCount }, () => new FakeRunner(act));
    const results = await runAll(tasks, runners, () => {});
    assertEquals(results.map(({ sha256 }) => sha256), tasks.map(({ offset }) => String(offset)));
  }
  assertEquals(await runAll([], [new FakeRunner(act)], () => {}), []);
});

Deno.test("runAll: the first error in time is the one that is thrown, after the others have ended", async () => {
  const tasks = [5, 1, 9].map((offset): DigestTask => ({ kind: "digest", locator: "x", offset, byteLength: 1 }));
  let running = 0;
  const act: Act = async (task) => {
    running++;
    await pause(task.kind === "digest" ? task.offset * 4 : 0);
    running--;
    throw new Error(`task ${task.kind === "digest" ? task.offset : ""}`);
  };
  const runners = [new FakeRunner(act), new FakeRunner(act), new FakeRunner(act)];
  await assertRejects(() => runAll(tasks, runners, () => {}), Error, "task 1");
  assertEquals(running, 0);
});
