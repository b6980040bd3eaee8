import { unprintable } from "../core/escape-unprintable.ts";

const mostCharacters = 60;

/**
 * Text of a scenario or a result file as one line for people's eyes: control, formatting and other invisible characters
 * by their code (`\u{1b}`), and no more than 60 characters.
 */
export function printable(text: string): string {
  const shown = text.replace(unprintable, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
  const characters = Array.from(shown);
  return characters.length <= mostCharacters ? shown : `${characters.slice(0, mostCharacters - 1).join("")}…`;
}
