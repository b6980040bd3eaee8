const digits = 5;
const digitsInWords = 3;

/** A number of a picture, with more digits than a pixel shows and no more, since pages hold many of them. */
export function rounded(value: number): number {
  return Number(value.toPrecision(digits));
}

/**
 * Control characters, line breaks among them, those that no XML document may hold, and those that turn the direction of
 * the text around them.
 */
const undrawable = /[\p{Cc}\p{Cs}\p{Bidi_Control}\uFFFE\uFFFF]+/gu;

/**
 * The one name under which ECharts, which remembers how wide texts are by the texts themselves, would find and change the
 * prototype of all objects; with a word joiner, that nobody sees, it is another.
 */
const prototypeName = "__proto__";
const wordJoiner = "\u2060";

/** A router's name as pictures write it: on one line, whatever a scenario calls it. */
export function drawnName(name: string): string {
  return name === prototypeName ? `${name}${wordJoiner}` : name.replace(undrawable, " ");
}

/** A phrase as a title. */
export function capitalized(phrase: string): string {
  return phrase.charAt(0).toUpperCase() + phrase.slice(1);
}

/** A number in a sentence. */
export function inWords(value: number): string {
  return String(Number(value.toPrecision(digitsInWords))).replace("-", "−");
}
