import { distance } from "fastest-levenshtein";

/** Characters that a word has at least to be taken for the beginning of a longer one. */
const fewestBeginning = 3;

/** Characters that it has at least if it is misspelt, too. */
const fewestMisspelt = 6;

/** Longer words are no slips of the pen. */
const mostLetters = 60;

/**
 * ` Did you mean "…"?`: the first of `known` that starts with `word`, or else the nearest, of which `word` may also be a
 * misspelt beginning; nothing if none is near. Upper and lower case are the same.
 */
export function suggestion(word: string, known: readonly string[]): string {
  if (word.length > mostLetters) return "";
  const lower = word.toLowerCase();
  const same = known.find((one) => one.toLowerCase() === lower);
  const longer = word.length < fewestBeginning ? undefined : known.find((one) => one.toLowerCase().startsWith(lower));
  const found = same ?? longer ?? nearestOf(lower, known);
  return found === undefined ? "" : ` Did you mean "${found}"?`;
}

function nearestOf(word: string, known: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const one of known) {
    const cost = costOf(word, one.toLowerCase());
    if (cost >= least) continue;
    nearest = one;
    least = cost;
  }
  return nearest;
}

/** How many letters `word` has wrong; infinity if they are too many for a slip of the pen. */
function costOf(word: string, known: string): number {
  const whole = distance(word, known);
  // Half of the word wrong is no slip of the pen.
  const ofWhole = whole <= Math.max(2, word.length / 2) ? whole : Number.POSITIVE_INFINITY;
  if (word.length < fewestMisspelt || known.length <= word.length) return ofWhole;
  const beginnings = [-1, 0, 1].map((more) => distance(word, known.slice(0, word.length + more)));
  const ofBeginning = Math.min(...beginnings);
  // Of equally near names, the whole one comes first.
  return ofBeginning <= word.length / 4 ? Math.min(ofWhole, ofBeginning + 1 / 2) : ofWhole;
}
