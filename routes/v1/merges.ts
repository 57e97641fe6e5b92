/** `POST /v1/merges`: a recipe as the repository that it already is. */
import type { Context } from "hono";
import type { Recipe } from "../../runtime/recipes/recipe.ts";
import type { RouteContext, RouteEnv } from "../context.ts";
import { noAdapter, noBase, readJson } from "./input.ts";
import { type MergeAnswerBody, MergeRequest } from "./schemas.ts";

/** Computes no weight: the bytes come from the Hub routes when they are asked for. */
export async function describeMerge(context: Context<RouteEnv>, routes: RouteContext): Promise<MergeAnswerBody> {
  const { repositories } = routes;
  const { visible } = context.get("caller");
  const request = await readJson(context, MergeRequest, routes);
  const base = await repositories.base(request.base);
  if (base === null) throw noBase(request.base);
  const recipe: Recipe = request.adapters.map(({ id, strength = 1 }) => {
    // -0 + 0 is 0.
    return { name: id, tenThousandths: Math.round(strength * 10_000) + 0 };
  });
  const repository = await repositories.recipe(base, recipe, visible);
  if (repository === null) {
    for (const { name } of recipe) {
      if (await repositories.adapter(name, visible) === null) throw noAdapter(name);
    }
    throw noAdapter(recipe[0]?.name ?? "");
  }
  const { id, revision, commit, files } = repository;
  return { repo: id, revision, commit, files: files.map(({ path, size, etag }) => ({ path, size, etag })) };
}
