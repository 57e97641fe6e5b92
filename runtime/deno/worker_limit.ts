/** More threads than any machine has cores for; each takes its own memory. */
export const MAX_WORKERS = 256;

/** More threads than this wait for the memory bus, not for a core. */
const MAX_DEFAULT_WORKERS = 4;

/** Workers where the user says nothing: one for each core, up to four. */
export function defaultWorkerCount(): number {
  return Math.min(MAX_DEFAULT_WORKERS, navigator.hardwareConcurrency);
}
