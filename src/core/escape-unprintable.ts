/** What a terminal, a log or an XML file would obey, hide or refuse instead of showing it. */
export const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}]/gu;

/**
 * `text` with every control, formatting or other invisible character, line feeds among them, as `\u001b`: the escape that
 * JSON and YAML read back to the character.
 */
export function escapeUnprintable(text: string): string {
  return text.replace(unprintable, (character) =>
    Array.from({ length: character.length }, (_, unit) => escapeUnit(character.charCodeAt(unit))).join(""),
  );
}

/** The same for text of several lines, which stay. */
export function escapeUnprintableInLines(text: string): string {
  return text.split("\n").map(escapeUnprintable).join("\n");
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, "0")}`;
}
