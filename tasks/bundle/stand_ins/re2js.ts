/** In the place of the engine for patterns in `target_modules`: they are not checked then, and a warning says so. */
export const RE2JS = {
  /** @throws {Error} always: what compiles nothing checks nothing */
  compile(): never {
    throw new Error("this build has no engine for patterns");
  },
};
