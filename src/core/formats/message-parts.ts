import { escapeUnprintable } from "../escape-unprintable.ts";

/** Dimensions of a shape, names of a list and characters of a name that a message shows: a damaged header has millions. */
const [mostLengths, mostNames, mostCharacters] = [8, 20, 120];

/** A shape as messages show it, `[3, 4]`. */
export function shapeText(shape: readonly number[]): string {
  if (shape.length <= mostLengths) return `[${shape.join(", ")}]`;
  return `[${shape.slice(0, mostLengths).join(", ")}, … (${shape.length} in all)]`;
}

/** The beginning of `text` from a file, fit for a message of one line. */
export function shorten(text: string): string {
  return escapeUnprintable(text.length > mostCharacters ? `${text.slice(0, mostCharacters)}…` : text);
}

/** The beginning of a name or text from a file, quoted. */
export function quoteName(name: string): string {
  return escapeUnprintable(JSON.stringify(name.length > mostCharacters ? `${name.slice(0, mostCharacters)}…` : name));
}

/** The first of `names`, and how many there are if that is not all. */
export function listNames(names: readonly string[]): string {
  if (names.length <= mostNames) return names.join(", ");
  return `${names.slice(0, mostNames).join(", ")}, … (${names.length} in all)`;
}
