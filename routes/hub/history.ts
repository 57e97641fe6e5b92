/** Branches and commits: the base is `main`, each adapter that fits it a branch, and a recipe one commit on the base. */
import type { BaseRepository } from "../../runtime/repositories/base_repository.ts";
import type { Repositories, Visible } from "../../runtime/repositories/repositories.ts";
import type { Repository } from "../../runtime/repositories/repository.ts";
import { refusesRecipe } from "./hub_error.ts";

/** A client waits ten seconds for a list; every branch takes a look at an adapter's files the first time. */
const MAX_BRANCHES = 500;

/** A branch. */
export interface Branch {
  readonly name: string;
  readonly ref: string;
  readonly targetCommit: string;
}

/** `main`, and one branch for each adapter that the caller may read and that can be merged into this base. */
export async function listBranches(
  repositories: Repositories,
  base: BaseRepository,
  visible: Visible,
): Promise<Branch[]> {
  const branches = [branch("main", base.commit)];
  for (const { id, base: home } of await repositories.adapters(visible)) {
    if (branches.length > MAX_BRANCHES) break;
    if (home !== null && home !== base.id) continue;
    const merged = await resolvable(repositories, base, id, visible);
    if (merged !== null) branches.push(branch(id, merged.commit));
  }
  return branches;
}

/** The commits of a revision, youngest first. */
export function listCommits(base: BaseRepository, repository: Repository) {
  const revisions: readonly Repository[] = repository.commit === base.commit ? [repository] : [repository, base];
  return revisions.map(({ commit, revision, lastModified }) => ({
    ...{ id: commit, title: revision, message: "", authors: [], date: lastModified.toISOString() },
  }));
}

function branch(name: string, targetCommit: string): Branch {
  return { name, ref: `refs/heads/${name}`, targetCommit };
}

/** Null for an adapter of another base, or a broken one: others are listed all the same. */
async function resolvable(repositories: Repositories, base: BaseRepository, id: string, visible: Visible) {
  try {
    return await repositories.revision(base, id, visible);
  } catch (error) {
    if (refusesRecipe(error)) return null;
    throw error;
  }
}
