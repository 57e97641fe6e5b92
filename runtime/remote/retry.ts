/** Failures that may pass, and how often and how long they are given time to. */
import { EtherError } from "../error.ts";

/** A failure that may pass. */
export class TransientError extends Error {
  override readonly name = "TransientError";
  /** Seconds that the host asks to wait; null where it does not say. */
  readonly retryAfter: number | null;

  constructor(message: string, options: { retryAfter?: number | null; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfter = options.retryAfter ?? null;
  }
}

/** How failures are met. */
export interface RetryPolicy {
  /** Waits; rejects when the signal aborts. @default a timer */
  readonly wait?: ((milliseconds: number, signal: AbortSignal) => Promise<void>) | undefined;
  /** Told of each retry. */
  readonly onRetry?: ((message: string) => void) | undefined;
}

/** Attempts beside the first. */
const RETRIES = 5;
/** The first delay; each later one is twice as long: 0.25, 0.5, 1, 2, 4 s. */
const FIRST_DELAY = 250;
/** A host that asks for more patience than this, in seconds, gets an error. */
export const MAX_RETRY_AFTER = 60;

/**
 * Tries until it works, a bounded number of times.
 *
 * @param name     what messages call it
 * @param attempt  throws a {@link TransientError} for what may pass; `retried` counts from 0
 * @throws {EtherError} `io_error` after the last attempt, `interrupted`, and whatever `attempt` throws besides
 */
export async function withRetry<T>(
  { wait = waitFor, onRetry }: RetryPolicy,
  name: string,
  signal: AbortSignal,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let retried = 0;; retried++) {
    try {
      throwIfAborted(signal);
      return await attempt();
    } catch (error) {
      throwIfAborted(signal);
      if (error instanceof EtherError) throw error.within({ file: name });
      if (!(error instanceof TransientError)) throw error;
      if (retried === RETRIES) {
        throw new EtherError("io_error", `${error.message}, ${RETRIES + 1} times`, { file: name, cause: error });
      }
      if ((error.retryAfter ?? 0) > MAX_RETRY_AFTER) {
        const hint = `try again in ${error.retryAfter} s`;
        throw new EtherError("io_error", error.message, { file: name, hint, cause: error });
      }
      const delay = Math.max(FIRST_DELAY * 2 ** retried, (error.retryAfter ?? 0) * 1000);
      onRetry?.(`${name}: ${error.message}; attempt ${retried + 2} in ${delay / 1000} s`);
      await wait(delay, signal);
    }
  }
}

/** @throws {EtherError} `interrupted`, or the reason of the signal where it is one */
export function throwIfAborted(signal: AbortSignal): void {
  if (!signal.aborted) return;
  if (signal.reason instanceof EtherError) throw signal.reason;
  throw new EtherError("interrupted", "stopped while reading from elsewhere", { cause: signal.reason });
}

/** Resolves after some milliseconds, rejects when the signal aborts. */
export function waitFor(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  const timer = setTimeout(resolve, milliseconds);
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  });
}

/**
 * `Retry-After` in whole seconds: a number, or a date.
 *
 * @param now  milliseconds since the epoch
 */
export function parseRetryAfter(value: string | null, now: number): number | null {
  if (value === null) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value);
  const date = /^[A-Z][a-z]{2}, \d/.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(date) ? null : Math.max(0, Math.ceil((date - now) / 1000));
}
