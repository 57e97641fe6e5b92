/** How far a long piece of work is. */
export interface Progress {
  readonly phase: "merge" | "sha256" | "verify";
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Counts bytes of one phase. */
export class ProgressCount {
  #doneBytes = 0;
  readonly #report: (doneBytes: number) => void;

  constructor(onProgress: ((progress: Progress) => void) | undefined, phase: Progress["phase"], totalBytes: number) {
    this.#report = (doneBytes) => onProgress?.({ phase, doneBytes, totalBytes });
  }

  readonly add = (count: number): void => {
    this.#doneBytes += count;
    this.#report(this.#doneBytes);
  };
}
