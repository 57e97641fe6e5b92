/**
 * The one error of the project. Its `code` never changes meaning: the command line prints it, a server maps it to a
 * status, a library user switches on it.
 */
import { clip } from "./json/quote.ts";

/** The most of a path or a name in an error's line; the error itself has all of it. */
const WHERE_LENGTH = 300;
/** The most of a message and of a hint. */
const WHAT_LENGTH = 800;

/** Every code, with what it means. Closed: a new code is added here, with a test and a line in docs/errors.md. */
export const ERROR_CODES = {
  bad_header: "a safetensors header breaks the format",
  bad_index: "a shard index does not describe the files beside it",
  bad_config: "a config lacks a required field or has an impossible value",
  bad_recipe: "a recipe of adapters breaks the grammar",
  bad_pickle: "a torch checkpoint is damaged, or holds what no plain file of tensors holds",
  bad_shape: "a tensor has the wrong rank, or the two vectors of a reflection differ in shape",
  bad_blocks: "the block count or the vectors' length does not tile the side",
  missing_param: "a tensor that the config promises is not there",
  unused_tensor: "an adapter tensor has no use",
  unknown_target: "no tensor, or more than one, of the base is meant by an adapter's module",
  zero_vector: "a reflection vector is all zero",
  nonfinite_vector: "a reflection vector holds a NaN or an infinity",
  layout_required: "the config does not say in which layout the input side was trained",
  tied_head: "the adapter changes a head that shares its weight with the embedding",
  base_mismatch: "the adapter was trained on another base",
  unsupported: "the operation is not defined for this input",
  unsupported_dtype: "a target has a dtype that cannot be transformed",
  unsupported_format: "the base holds no safetensors weights",
  unsupported_feature: "a config asks for something that is not supported and would change the result",
  singular: "the merge has no inverse, or one that enlarges rounding errors too much",
  not_found: "a named input does not exist",
  exists: "the output exists",
  locked: "another process writes the same output",
  host_refused: "a URL leads to a host, or to an address, that must not be asked",
  access_denied: "a host elsewhere wants a token, or one that may do more",
  source_changed: "a file elsewhere became another one while it was read",
  io_error: "the operating system refused a read or a write, or a host elsewhere does not do its part",
  no_space: "the disk is full",
  verify_failed: "an output differs from its manifest",
  usage: "the request itself is wrong",
  interrupted: "the caller stopped the work",
  unauthorized: "the request brings no token, or one that is not known here",
  forbidden: "the token does not allow this",
  too_large: "a file, a body or a list is larger than the limit for it",
  timed_out: "the other side took too long",
  busy: "the server has no room for this now",
} as const;

/** A stable error code; see {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Where an error lies and what to do about it. */
export interface ErrorDetails {
  /** The file at fault, as the user named it. */
  file?: string | undefined;
  /** The tensor at fault. */
  tensor?: string | undefined;
  /** The config field, header field or flag at fault. */
  field?: string | undefined;
  /** What to do. */
  hint?: string | undefined;
  /** The error underneath. */
  cause?: unknown;
}

/** An error whose code is part of the interface. */
export class EtherError extends Error {
  /** Always `EtherError`. */
  override readonly name = "EtherError";
  /** The stable code. */
  readonly code: ErrorCode;
  /** See {@link ErrorDetails.file}. */
  readonly file: string | undefined;
  /** See {@link ErrorDetails.tensor}. */
  readonly tensor: string | undefined;
  /** See {@link ErrorDetails.field}. */
  readonly field: string | undefined;
  /** See {@link ErrorDetails.hint}. */
  readonly hint: string | undefined;

  /**
   * Makes an error.
   *
   * @param code     stable code
   * @param message  what is wrong, with the offending value; no full stop, no file name (that is `details.file`)
   */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.file = details.file;
    this.tensor = details.tensor;
    this.field = details.field;
    this.hint = details.hint;
  }

  /** `<code>: <where>: <what>; <hint>`, always one line, and a bounded one: names may be hostile. */
  toLine(): string {
    const where = [this.file, this.tensor, this.field].filter((part) => part !== undefined);
    const parts = [...where.map((part) => clip(oneLine(part), WHERE_LENGTH)), clip(oneLine(this.message), WHAT_LENGTH)];
    return `${this.code}: ${parts.join(": ")}${this.hint ? `; ${clip(oneLine(this.hint), WHAT_LENGTH)}` : ""}`;
  }

  /** The body of `{"error": …}` on the command line and of a problem document. */
  toJSON(): Record<string, string | null> {
    return {
      code: this.code,
      message: this.message,
      file: this.file ?? null,
      tensor: this.tensor ?? null,
      field: this.field ?? null,
      hint: this.hint ?? null,
    };
  }

  /** The same error, with `details` where it had none: a reader knows the field, its caller the file. */
  within(details: ErrorDetails): EtherError {
    return new EtherError(this.code, this.message, {
      file: this.file ?? details.file,
      tensor: this.tensor ?? details.tensor,
      field: this.field ?? details.field,
      hint: this.hint ?? details.hint,
      cause: this.cause ?? details.cause,
    });
  }
}

/**
 * Escapes what would break a line or steer a terminal: C0, C1, line and paragraph separators, bidi controls. In JSON
 * they only occur in strings, where the escaped form means the same.
 */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
