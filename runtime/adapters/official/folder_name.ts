/** What training writes into the name of a checkpoint's folder. */

/** The settings that the name tells. */
export interface TrainingName {
  /** `ether`, `etherplus`, `etherplusHH` or `oft`. */
  readonly type: string;
  readonly numBlocks: number;
  /** Some of `qkvpmh`. */
  readonly targets: string;
  /** `_FS`: `mlp.proj` was trained on its output side. */
  readonly flipSide: boolean;
}

/**
 * `{d<MMDD-HHMMSS>|j<job>}_<type>-r<blocks>_<targets>_lr…_bs…_ep…_dr…_wd…_wu…[_sq…][_<precision>][_SWR][_FS]`, as
 * `finetune/ether.py` makes it. A job's name may hold anything, underscores too.
 */
const GRAMMAR = new RegExp(
  "^(?:d\\d{4}-\\d{6}|j.+)_(ether|etherplus|etherplusHH|oft)-r([1-9]\\d{0,8})_(q?k?v?p?m?h?)" +
    "_lr[^_]+_bs[^_]+_ep[^_]+_dr[^_]+_wd[^_]+_wu[^_]+(?:_sq\\d+)?(?:_(?!SWR|FS)[^_]+)?(?:_SWR)?(_FS)?$",
  "s",
);

/** The settings in a folder's name; null where it is none that training gives. */
export function parseTrainingName(name: string): TrainingName | null {
  // A hostile name would only cost time: real ones have some 100 characters.
  const match = name.length > 400 ? null : GRAMMAR.exec(name);
  if (match === null) return null;
  return { type: match[1]!, numBlocks: Number(match[2]), targets: match[3]!, flipSide: match[4] !== undefined };
}
