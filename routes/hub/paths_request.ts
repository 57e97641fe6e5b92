/** Which paths a `paths-info` request names: as a form, or as JSON. */
import { parseJson } from "../../runtime/json/parse.ts";
import { RequestError } from "../problem.ts";
import { isTrue } from "./query.ts";

/** The largest repositories have some hundred files. */
const MAX_PATHS = 1000;

/** What is asked. */
export interface PathsRequest {
  readonly paths: readonly string[];
  /** With the last commit of each. */
  readonly expand: boolean;
}

/** Reads the body. @throws {RequestError} 400, 413, 415 */
export function readPathsRequest(contentType: string | null, body: Uint8Array): PathsRequest {
  const type = (contentType ?? "").split(";")[0]!.trim().toLowerCase();
  let request: PathsRequest;
  if (type === "application/json") request = readJson(body);
  else if (type === "application/x-www-form-urlencoded") request = readForm(body);
  else throw new RequestError(415, "usage", "the body is neither a form nor JSON", { field: "Content-Type" });
  if (request.paths.length > MAX_PATHS) {
    throw new RequestError(413, "too_large", `${request.paths.length} paths are more than ${MAX_PATHS}`);
  }
  return request;
}

function readForm(body: Uint8Array): PathsRequest {
  const form = new URLSearchParams(new TextDecoder().decode(body));
  return { paths: form.getAll("paths"), expand: isTrue(form.get("expand")) };
}

function readJson(body: Uint8Array): PathsRequest {
  const value = parseJson(body, "usage", "the body");
  const paths = value instanceof Map ? value.get("paths") : undefined;
  const list = typeof paths === "string" ? [paths] : paths;
  if (!(value instanceof Map) || !Array.isArray(list) || !list.every((path) => typeof path === "string")) {
    throw new RequestError(400, "usage", 'the body is not {"paths": [...]}', { field: "paths" });
  }
  return { paths: list, expand: value.get("expand") === true };
}
