import { distance } from "fastest-levenshtein";

/** Minimum length of a word that may be the beginning of a longer one. */
const fewestBeginning = 3;

/** Minimum length if it may also be misspelt. */
const fewestMisspelt = 6;

/** Longer words are not typing errors. */
const mostLetters = 60;

/**
 * Returns ` Did you mean "…"?`: the first of `known` that starts with `word`, or else the nearest, of which `word` may
 * also be a misspelt beginning; nothing if none is near. Ignores case.
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

/** Returns how many letters of `word` are wrong; infinity if they are too many for a typing error. */
function costOf(word: string, known: string): number {
  const whole = distance(word, known);
  // A word that is half wrong is not a typing error.
  const ofWhole = whole <= Math.max(2, word.length / 2) ? whole : Number.POSITIVE_INFINITY;
  if (word.length < fewestMisspelt || known.length <= word.length) return ofWhole;
  const beginnings = [-1, 0, 1].map((more) => distance(word, known.slice(0, word.length + more)));
  const ofBeginning = Math.min(...beginnings);
  // If several names are equally near, a whole one comes first.
  return ofBeginning <= word.length / 4 ? Math.min(ofWhole, ofBeginning + 1 / 2) : ofWhole;
}
