/** `GET /v1/models`. */
import type { RouteContext } from "../context.ts";
import type { ModelListBody } from "./schemas.ts";

/** Every base, as OpenAI's clients expect a list of models. */
export async function listModels({ repositories }: RouteContext): Promise<ModelListBody> {
  const models = await repositories.models();
  return { object: "list", data: models.map(({ id, commit }) => ({ id, object: "model", commit })) };
}
