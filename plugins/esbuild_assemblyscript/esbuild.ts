/** The part of esbuild's plugin interface that is used here, so that reading this module takes no package. */

/** Where in a file something is. */
export interface Location {
  readonly file: string;
  /** The first is 1. */
  readonly line: number;
  /** In bytes of UTF-8; the first is 0. */
  readonly column: number;
  /** In bytes of UTF-8. */
  readonly length: number;
  readonly lineText: string;
}

/** An error or a warning. */
export interface Message {
  readonly text: string;
  readonly location: Location | null;
  readonly notes?: { readonly text: string; readonly location: Location | null }[];
}

/** What a plugin makes of a file. */
export interface LoadResult {
  readonly contents?: string;
  readonly loader?: "js";
  readonly resolveDir?: string;
  readonly errors?: Message[];
  readonly warnings?: Message[];
  readonly watchFiles?: string[];
}

/** Which of the builds's files a function is for. */
export interface Filter {
  readonly filter: RegExp;
  readonly namespace?: string;
}

/** How the build finds a file. */
export interface ResolveOptions {
  readonly kind: "import-statement";
  readonly importer: string;
  readonly resolveDir: string;
}

/** What the build found. */
export interface Resolved {
  readonly path: string;
  readonly errors: Message[];
}

/** What a plugin makes of an import's path. */
export interface ResolveResult {
  readonly path?: string;
  readonly namespace?: string;
  readonly errors?: Message[];
}

/** A build, as a plugin sees it. */
export interface PluginBuild {
  readonly initialOptions: { absWorkingDir?: string };
  resolve(path: string, options: ResolveOptions): Promise<Resolved>;
  onResolve(
    options: Filter,
    callback: (args: { path: string; importer: string; resolveDir: string }) => Promise<ResolveResult>,
  ): void;
  onLoad(options: Filter, callback: (args: { path: string }) => Promise<LoadResult>): void;
}

/** A plugin. */
export interface Plugin {
  readonly name: string;
  setup(build: PluginBuild): void;
}
