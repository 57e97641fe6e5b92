/** One operation as the document shows it. */
import type * as z from "zod/mini";

/** Who may call. */
export type Access =
  /** Everyone. */
  | "open"
  /** Everyone, or readers where a rule of a token reads. */
  | "read"
  /** Writers; the operation does not exist where there are none. */
  | "write";

/** What a body may be. */
export interface Content {
  readonly type: string;
  /** Absent: bytes. */
  readonly schema?: z.ZodMiniType | undefined;
  /** One value that is right. */
  readonly example?: unknown;
}

/** One answer. */
export interface Answer {
  readonly description: string;
  readonly content?: readonly Content[] | undefined;
  /** Headers beside `X-Request-Id`, by name. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** One operation. */
export interface Operation {
  readonly id: string;
  readonly method: "get" | "head" | "put" | "post" | "delete";
  /** In OpenAPI's form, `/v1/adapters/{id}`. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string | undefined;
  readonly tag: "adapters" | "models" | "merging" | "hub" | "state" | "pages";
  readonly access: Access;
  /** Of the parameters that `path` names; any text where one is not here. */
  readonly params?: Readonly<Record<string, z.ZodMiniType>> | undefined;
  /** Each property is a parameter. */
  readonly query?: z.ZodMiniObject | undefined;
  /** Request headers that mean something, by name. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: readonly Content[] | undefined;
  /** By status. */
  readonly answers: Readonly<Record<number, Answer>>;
  /** Statuses of errors, beside those that any operation may answer. */
  readonly errors: readonly number[];
}
