/** Progress on stderr: a bar that redraws itself on a terminal, a line now and then elsewhere. */
import type { Progress } from "../runtime/execute/progress.ts";
import { consoleColumns, writeErr } from "./console.ts";
import { formatBytes, formatSeconds } from "./units.ts";

const REDRAW_MILLISECONDS = 100;
const LINE_MILLISECONDS = 5_000;
const BAR_WIDTH = 24;
const VERBS: Readonly<Record<Progress["phase"], string>> = {
  merge: "merging",
  sha256: "hashing",
  verify: "verifying",
  receipt: "writing the receipt",
  compare: "comparing",
  analyse: "analysing",
};

/** Shows one command's progress. */
export class ProgressLine {
  readonly #terminal = Deno.stderr.isTerminal();
  readonly #quiet: boolean;
  #phase: Progress["phase"] | null = null;
  #started = 0;
  #shown = 0;
  #drawn = false;

  constructor(quiet: boolean) {
    this.#quiet = quiet;
  }

  readonly update = (progress: Progress): void => {
    if (this.#quiet) return;
    const now = performance.now();
    if (progress.phase !== this.#phase) {
      this.end();
      this.#phase = progress.phase;
      this.#started = now;
      this.#shown = now;
    }
    if (now - this.#shown < (this.#terminal ? REDRAW_MILLISECONDS : LINE_MILLISECONDS)) return;
    this.#shown = now;
    const text = describe(progress, (now - this.#started) / 1000);
    if (!this.#terminal) return writeErr(`${text}\n`);
    const filled = Math.round(BAR_WIDTH * fractionOf(progress));
    const bar = `[${"=".repeat(filled)}${" ".repeat(BAR_WIDTH - filled)}]`;
    writeErr(`\r${`${bar} ${text}`.slice(0, consoleColumns() - 1)}\x1b[K`);
    this.#drawn = true;
  };

  /** Wipes the bar. */
  end(): void {
    if (this.#drawn) writeErr("\r\x1b[K");
    this.#drawn = false;
  }
}

function fractionOf({ doneBytes, totalBytes }: Progress): number {
  return totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
}

/** `merging 41 %, 1.2 GB/s, 3 s left` */
function describe(progress: Progress, seconds: number): string {
  const { phase, doneBytes, totalBytes } = progress;
  const rate = doneBytes / seconds;
  const percent = Math.floor(100 * fractionOf(progress));
  const left = formatSeconds(Math.max(0, totalBytes - doneBytes) / rate);
  return `${VERBS[phase]} ${percent} %, ${formatBytes(rate)}/s, ${left} left`;
}
