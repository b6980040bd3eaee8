/** Returns a number with its noun, singular only for 1: `1 row`, `2 rows`, `0 rows`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Returns `a`, `a and b`, `a, b and c`; for more than `most` items, the first few and the number of the others. */
export function listed(items: readonly string[], most = 5): string {
  const shown = items.length > most ? [...items.slice(0, most - 1), `${items.length - most + 1} more`] : items;
  if (shown.length < 2) return shown.join("");
  return `${shown.slice(0, -1).join(", ")} and ${shown[shown.length - 1]}`;
}

const mostItems = 10;

/**
 * Returns `a, b, c`; for more than `most` items, the first ones and the number of the others, to keep messages short.
 */
export function listedFirst(items: readonly (string | number)[], most = mostItems): string {
  const shown = items.slice(0, most).join(", ");
  return items.length > most ? `${shown}, … and ${items.length - most} more` : shown;
}

/** Characters that a terminal, a log or an XML file would interpret, hide or refuse instead of showing. */
export const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}]/gu;

/**
 * Returns `text` with every control, formatting or other invisible character, including line feeds, as `\u001b`: the
 * escape that JSON and YAML read back as the character.
 */
export function escapeUnprintable(text: string): string {
  return text.replace(unprintable, (character) =>
    Array.from({ length: character.length }, (_, unit) => escapeUnit(character.charCodeAt(unit))).join(""),
  );
}

/** Does the same for text of several lines, and keeps the line breaks. */
export function escapeUnprintableInLines(text: string): string {
  return text.split("\n").map(escapeUnprintable).join("\n");
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, "0")}`;
}

/** Quotes `word` so that a POSIX shell reads it as one word, whatever its characters. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Formats rising numbers, such as ids of layers, in a message: `0, 3, 10-20`. */
export function rangesText(numbers: readonly number[]): string {
  const ranges: [first: number, last: number][] = [];
  for (const number of numbers) {
    const range = ranges.at(-1);
    if (range !== undefined && number === range[1] + 1) range[1] = number;
    else ranges.push([number, number]);
  }
  return listedFirst(ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)));
}

/**
 * Replaces every string in plain data by the engine's one copy of that text, in place, and returns the data; arrays of numbers
 * stay. Strings that come from a file or another thread are copies of their own. On Node 20 code that is compiled while such a
 * copy is first used as a key sometimes finds it equal to nothing, so that `scores: softmax` was taken for logits.
 */
export function withOwnStrings<Data>(data: Data): Data {
  if (typeof data === "string") return Object.keys({ [data]: null })[0] as Data;
  if (typeof data !== "object" || data === null || ArrayBuffer.isView(data) || Object.isFrozen(data)) return data;
  const entries = data as Record<string, unknown>;
  for (const key of Object.keys(entries)) {
    const value = entries[key];
    if (typeof value === "string" || typeof value === "object") entries[key] = withOwnStrings(value);
  }
  return data;
}
