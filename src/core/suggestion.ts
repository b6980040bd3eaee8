import { closest, distance } from "fastest-levenshtein";

/** Characters that a word has at least to be taken for the beginning of a longer one. */
const fewestBeginning = 3;

/** Longer words are no slips of the pen. */
const mostLetters = 60;

/** ` Did you mean "…"?`: the first of `known` that starts with `word`, or else the nearest; nothing if none is near. */
export function suggestion(word: string, known: readonly string[]): string {
  if (known.length === 0 || word.length > mostLetters) return "";
  const longer = word.length < fewestBeginning ? undefined : known.find((one) => one.startsWith(word));
  if (longer !== undefined) return ` Did you mean "${longer}"?`;
  const nearest = closest(word, known);
  // Half of the word wrong is no slip of the pen.
  return distance(word, nearest) <= Math.max(2, word.length / 2) ? ` Did you mean "${nearest}"?` : "";
}
