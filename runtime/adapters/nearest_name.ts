/** The longest name that is worth comparing: a hostile one must not cost quadratic time. */
const MAX_LENGTH = 300;
/** Characters compared with characters before it is given up: a fifth of a second, for a hint. */
const MAX_COMPARED = 50_000_000;

/** The name with the least edit distance, if any is less than half of it away; for hints only. */
export function nearestName(name: string, names: Iterable<string>): string | null {
  if (name.length > MAX_LENGTH) return null;
  let nearest: string | null = null;
  let least = Math.ceil(name.length / 2);
  let compared = 0;
  for (const candidate of names) {
    if (Math.abs(candidate.length - name.length) >= least) continue;
    compared += name.length * candidate.length;
    if (compared > MAX_COMPARED) break;
    const distance = editDistance(name, candidate, least);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

/** Levenshtein distance, or `limit` as soon as it is sure to be that much. */
function editDistance(a: string, b: string, limit: number): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const distance = Math.min(substitution, previous[j]! + 1, current[j - 1]! + 1);
      current.push(distance);
      least = Math.min(least, distance);
    }
    if (least >= limit) return limit;
    previous = current;
  }
  return previous[b.length]!;
}
