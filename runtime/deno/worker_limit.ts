/** More threads than any machine has cores for; each takes its own memory. */
export const MAX_WORKERS = 256;
