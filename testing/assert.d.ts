/** The part of deno-std's assertions that the tests use. */
export class AssertionError extends Error {}
export function assert(condition: unknown, message?: string): asserts condition;
export function assertEquals<T>(actual: T, expected: T, message?: string): void;
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void;
export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T;
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, message?: string): void;
export function assertStringIncludes(actual: string, expected: string, message?: string): void;
export function assertMatch(actual: string, expected: RegExp, message?: string): void;
export function assertThrows(fn: () => unknown, message?: string): unknown;
export function assertThrows<E extends Error>(
  fn: () => unknown,
  // deno-lint-ignore no-explicit-any -- a class of errors may take any arguments
  errorClass: new (...args: any[]) => E,
  messageIncludes?: string,
  message?: string,
): E;
export function assertRejects(fn: () => PromiseLike<unknown>, message?: string): Promise<unknown>;
export function assertRejects<E extends Error>(
  fn: () => PromiseLike<unknown>,
  // deno-lint-ignore no-explicit-any -- a class of errors may take any arguments
  errorClass: new (...args: any[]) => E,
  messageIncludes?: string,
  message?: string,
): Promise<E>;
export function fail(message?: string): never;
