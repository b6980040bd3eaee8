/** Parts of messages about files: what a file says of itself may be long, or not fit to be shown. */
import { escapeUnprintable } from "../words.ts";

/**
 * Maximum dimensions of a shape, names of a list and characters of a name in a message: a damaged header has millions.
 */
const [mostLengths, mostNames, mostCharacters] = [8, 20, 120];

/** Formats a shape for messages, `[3, 4]`. */
export function shapeText(shape: readonly number[]): string {
  if (shape.length <= mostLengths) return `[${shape.join(", ")}]`;
  return `[${shape.slice(0, mostLengths).join(", ")}, … (${shape.length} in all)]`;
}

/** Returns the beginning of `text` from a file, fit for a message of one line. */
export function shorten(text: string): string {
  return escapeUnprintable(text.length > mostCharacters ? `${text.slice(0, mostCharacters)}…` : text);
}

/** Returns the beginning of a name or text from a file, quoted. */
export function quoteName(name: string): string {
  return escapeUnprintable(JSON.stringify(name.length > mostCharacters ? `${name.slice(0, mostCharacters)}…` : name));
}

/** Returns the first `names`, and the total number if there are more. */
export function listNames(names: readonly string[]): string {
  if (names.length <= mostNames) return names.join(", ");
  return `${names.slice(0, mostNames).join(", ")}, … (${names.length} in all)`;
}

/** Says what is wrong with a logit that no router takes: NaN, or infinite as float32. */
export function logitProblem(value: number): string {
  return (
    `${Number.isNaN(value) ? "NaN" : "infinite, or too large for float32"}; ` +
    "logits must be finite as float32, or -inf for a disabled expert"
  );
}
