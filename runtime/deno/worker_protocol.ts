/** What main thread and worker say to each other. */
import type { ErrorCode } from "../error.ts";
import type { Assignment, Task, TaskResult } from "../execute/task.ts";
import type { Pin } from "../remote/pin.ts";
import type { RemoteAccess } from "../remote/remote_storage.ts";

/** What a worker needs to read files elsewhere; locators hold no secrets. */
export interface RemoteStart {
  readonly access: RemoteAccess;
  /** What files were when the plan was made. */
  readonly pins: ReadonlyMap<string, Pin>;
}

/** To the worker: what it works on, then one task at a time. */
export type WorkerRequest =
  | { readonly kind: "assignment"; readonly assignment: Assignment; readonly remote?: RemoteStart | undefined }
  | { readonly kind: "task"; readonly task: Task };

/** From the worker: progress and what happens, then the result or the error of its task. */
export type WorkerReply =
  | { readonly kind: "bytes"; readonly count: number }
  | { readonly kind: "notice"; readonly message: string }
  | { readonly kind: "result"; readonly result: TaskResult }
  | { readonly kind: "error"; readonly error: WorkerError };

/** An error as plain data; `code` is null where it is not an EtherError. */
export interface WorkerError {
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly file?: string | null;
  readonly tensor?: string | null;
  readonly field?: string | null;
  readonly hint?: string | null;
  readonly stack: string | undefined;
}
