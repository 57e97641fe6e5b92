/** How far a long piece of work is. */
export interface Progress {
  /** What is being done. */
  readonly phase: "merge" | "sha256" | "verify" | "receipt" | "compare" | "analyse";
  /** Bytes of this phase that are done. */
  readonly doneBytes: number;
  /** Bytes of this phase. */
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
