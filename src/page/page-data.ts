import type { Picture } from "../core/pictures/picture.ts";

/** A router, or a variant of a sweep, that the page's script highlights in all pictures and tables at once. */
export interface PageRouter {
  /** Name in the pictures. */
  readonly name: string;
  /** Whether it is in the list beside the contents, which only has room for the featured ones. */
  readonly isListed: boolean;
  /** Token and dash of its lines; null if pictures draw folders and not routers. */
  readonly color: string | null;
  readonly dash: string | null;
}

/** Data for the page's script. */
export interface PageData {
  readonly pictures: readonly Picture[];
  readonly routers: readonly PageRouter[];
}

const significantDigits = 6;
// Escapes what would end the script element or open a comment in it, and what older scripts took for a line break.
const unsafe = /[<\u2028\u2029]/g;

/**
 * Returns `value` as JSON that can stand in a script element: it contains no `<`. Fractions are rounded to six
 * significant digits, a difference that no picture shows; integers stay whole.
 */
export function embeddedJson(value: unknown): string {
  return JSON.stringify(value, (_, item) =>
    isFraction(item) ? Number(item.toPrecision(significantDigits)) : item,
  ).replace(unsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function isFraction(item: unknown): item is number {
  return typeof item === "number" && !Number.isInteger(item);
}
