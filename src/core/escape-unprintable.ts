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
