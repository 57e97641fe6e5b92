// deno-std ships no types; these are ours, so that `deno check` sees through an assertion.
// @ts-types="./assert.d.ts"
export * from "deno-std/assert/mod.js";
